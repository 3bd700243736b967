"""Each bundled skill, followed step by step by an agent with the real tools of a whole gateway."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from portico.agents.skills.folders import FolderLimits, Root, Shelf
from portico.agents.skills.frontmatter import body
from portico.agents.skills.service import BUNDLED
from portico.channels.webhook.signature import prove
from tests.fakes.receiver import Answer, Receiver
from tests.fakes.speech import KEY, SpeechServices
from tests.fakes.webhook_partner import Partner
from tests.support.following import Led, Script, Sent, calls, following, says
from tests.support.waiting import eventually

NAMES = {
    *("assign-task", "daily-briefing", "dispatch-webhook"),
    *("qmd-brain", "task-capture", "tts-voice"),
}
FOUND = Shelf(Root(BUNDLED, "openclaw-bundled"), FolderLimits()).look()


def test_every_bundled_skill_is_in_order() -> None:
    assert FOUND.troubles == ()
    assert {skill.name for skill in FOUND.skills} == NAMES


@pytest.mark.parametrize("skill", FOUND.skills, ids=lambda skill: skill.name)
async def test_the_tools_a_bundled_skill_names_are_there(tmp_path: Path, skill: Any) -> None:
    async with following(tmp_path, Script()) as led:
        there = {tool.name for tool in led.gateway.conversation.toolbox.registry.declared()}
    text = body(skill.file.read_text())
    assert set(skill.document.allowed_tools) <= there
    assert all(name in text for name in skill.document.allowed_tools)
    assert len(text) < 20_000


def was_told(sent: Sent, skill: str) -> None:
    assert f"- {skill}: " in sent.instructions


async def test_task_capture(tmp_path: Path) -> None:
    script = Script(
        calls("skill_read", name="task-capture"),
        calls("tasks", action="add", texts=["Send Ann the lease, signed", "Book a table for six"]),
        says(lambda sent: "Noted: " + "; ".join(t["id"] for t in sent.results[-1]["tasks"])),
    )
    async with following(tmp_path, script) as led:
        assert await led.say("I have to send Ann the lease and book a table") == "Noted: t1; t2"
        was_told(script.sent[0], "task-capture")
        assert '"action": "add"' in script.sent[1].results[0]
        file = tmp_path / "work" / "main" / "TASKS.md"
        assert "- [ ] Send Ann the lease, signed ^t1\n" in file.read_text()
        file.write_text(file.read_text().replace("- [ ] Book", "- [ ] By hand\n- [ ] Book"))
        script.then(
            calls("tasks", action="list", search="ann"),
            calls(
                "tasks",
                lambda sent: {"action": "done", "ids": [sent.results[-1]["tasks"][0]["id"]]},
            ),
            says(lambda sent: f"{sent.results[-1]['open']} left"),
        )
        assert await led.say("I sent it") == "2 left"
        assert "- [x] Send Ann the lease, signed · done 20" in file.read_text()
        assert "- [ ] By hand ^t3\n" in file.read_text()


async def test_dispatch_webhook(tmp_path: Path) -> None:
    secret = "a-secret-of-some-length"
    async with Receiver(Answer(503), Answer(202)) as receiver:
        target = {"url": f"{receiver.url}/deploy", "secret": secret, "allowPrivate": True}
        entries = {"dispatch-webhook": {"config": {"targets": {"deploys": target}}}}
        script = Script(
            calls("skill_read", name="dispatch-webhook"),
            calls("webhooks_list"),
            calls(
                "webhook_send",
                lambda sent: {
                    "target": sent.results[-1][0]["name"],
                    "event": "deploy.requested",
                    "data": {"service": "shop", "version": "1.4.2"},
                    "idempotencyKey": "deploy-shop-1.4.2",
                },
            ),
            says(lambda sent: f"{sent.results[-1]['outcome']} {sent.results[-1]['eventId']}"),
        )
        async with following(tmp_path, script, skills={"entries": entries}) as led:
            answer = await led.say("Deploy the shop, 1.4.2")
            assert answer == "done deploy-shop-1.4.2"
            was_told(script.sent[0], "dispatch-webhook")
            told = str(script.sent[-1].messages)
            assert secret not in told
            assert receiver.url not in told
            now_s = led.gateway.ground.clock.now_ms() // 1000
    first, second = receiver.calls
    assert second.json["data"] == {"service": "shop", "version": "1.4.2"}
    assert prove(secret, second.headers, second.body, now_s=now_s, tolerance_s=60)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "deploy-shop-1.4.2"


async def test_dispatch_webhook_is_not_offered_without_targets(tmp_path: Path) -> None:
    script = Script(says("hi"))
    async with following(tmp_path, script) as led:
        await led.say("hi")
        status = await led.call("skills.status")
    assert "dispatch-webhook" not in script.sent[0].instructions
    (shown,) = (one for one in status["skills"] if one["name"] == "dispatch-webhook")
    assert shown["missing"]["config"] == ["skills.entries.dispatch-webhook.config.targets"]


async def test_assign_task(tmp_path: Path) -> None:
    order = "Task: Find the price of a hat.\nWanted: one number."
    script = Script(
        calls("skill_read", name="assign-task"),
        calls("agents_list"),
        calls(
            "sessions_send",
            lambda sent: {
                "agentId": next(
                    one["id"]
                    for one in sent.results[-1]["agents"]
                    if one["reachable"] and one["id"] == "research"
                ),
                "message": order,
                "timeoutSeconds": 20,
            },
        ),
        says(lambda sent: f"research says: {sent.results[-1]['reply']}"),
    )
    research = Script(says("12 euros"))
    rules = {"agentToAgent": {"enabled": True}, "sessions": {"visibility": "all"}}
    async with following(tmp_path, script, others={"research": research}, tools=rules) as led:
        assert await led.say("Let research find the price") == "research says: 12 euros"
        was_told(script.sent[0], "assign-task")
    assert order in research.sent[0].asked


async def test_assign_task_without_an_agent_that_can_be_reached(tmp_path: Path) -> None:
    rules = {"agentToAgent": {"enabled": False}}
    script = Script(
        calls("skill_read", name="assign-task"),
        calls("agents_list"),
        calls("sessions_send", agentId="research", message="Task: x"),
        says(lambda sent: str(sent.results[-1])),
    )
    async with following(tmp_path, script, others={"research": Script()}, tools=rules) as led:
        said = await led.say("Let research do it")
    reachable = {one["id"]: one["reachable"] for one in script.sent[2].results[1]["agents"]}
    assert reachable["research"] is False
    assert "research" in said


@asynccontextmanager
async def partnered(
    folder: Path, script: Script, *, auto: str = "off", **more: Any
) -> AsyncIterator[tuple[Led, Partner]]:
    """A person behind a channel that takes files, and a speech service."""
    async with SpeechServices() as services, Partner("") as partner:
        openai = {"apiKey": KEY, "baseUrl": services.openai_url}
        config: dict[str, Any] = {
            "channels": {"webhook": {**partner.settings(), "dmPolicy": "open", "allowFrom": ["*"]}},
            "tools": {"trusted": ["webhook"]},
            "tts": {"providers": {"openai": openai}, "auto": auto},
            **more,
        }
        async with following(folder, script, **config) as led:
            partner.door = f"{led.url}/integrations/webhook/default"
            yield led, partner


async def heard(partner: Partner, count: int) -> list[dict[str, Any]]:
    await eventually(lambda: len(partner.taken) >= count)
    return [*partner.taken.values()]


def content(url: str) -> bytes:
    kind, _, data = url.partition(",")
    assert kind == "data:audio/mpeg;base64"
    return base64.b64decode(data)


async def test_tts_voice(tmp_path: Path) -> None:
    script = Script(
        calls("skill_read", name="tts-voice"),
        calls("tts", text="Good morning, Ann."),
        calls("message", lambda sent: {"media": [sent.results[-1]["media"]]}),
        says(lambda sent: f"Sent: {sent.results[-1]['state']}"),
    )
    async with partnered(tmp_path, script) as (_led, partner):
        await partner.say("Say good morning, I want to hear it")
        voice, text = await heard(partner, 2)
        was_told(script.sent[0], "tts-voice")
    assert content(voice["media"][0]) == b"mp3:gpt-4o-mini-tts:alloy:Good morning, Ann."
    assert (text["text"], text.get("media")) == ("Sent: sent", None)


async def test_tts_voice_without_a_voice(tmp_path: Path) -> None:
    script = Script(
        calls("skill_read", name="tts-voice"),
        calls("tts", text="Hi", provider="elevenlabs"),
        says(lambda sent: str(sent.results[-1])),
    )
    async with partnered(tmp_path, script) as (_led, partner):
        await partner.say("Say hi")
        (answer,) = await heard(partner, 1)
    assert answer["text"] == "ElevenLabs has no key, or its program is not here."


async def test_every_answer_goes_out_with_a_voice_when_that_is_set(tmp_path: Path) -> None:
    script = Script(says("**Hello** Ann."), says("And again."))
    async with partnered(tmp_path, script, auto="always") as (led, partner):
        await partner.say("Hello")
        (answer,) = await heard(partner, 1)
        await led.call("tts.disable")
        await partner.say("Hello")
        _, silent = await heard(partner, 2)
    assert answer["text"] == "**Hello** Ann."
    assert content(answer["media"][0]) == b"mp3:gpt-4o-mini-tts:alloy:Hello Ann."
    assert "media" not in silent


async def test_qmd_brain(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "rome.md").write_text("# Rome\n\nThe flat costs 900 euros.\n")
    entries = {"qmd-brain": {"config": {"folder": str(notes), "engine": "built-in"}}}
    script = Script(
        calls("skill_read", name="qmd-brain"),
        calls("memory_search", query="Rome flat rent"),
        calls("notes_search", query="Rome flat rent"),
        calls("notes_read", lambda sent: {"path": sent.results[-1]["results"][0]["path"]}),
        calls("memory_append", text="The flat in Rome costs 900 euros (rome.md)."),
        says(lambda sent: f"900 euros; noted in {sent.results[-1]['path']}"),
    )
    async with following(tmp_path, script, skills={"entries": entries}) as led:
        said = await led.say("What does the flat in Rome cost? Remember it.")
        was_told(script.sent[0], "qmd-brain")
        assert script.sent[2].results[1] == {"results": []}
        assert "The flat costs 900 euros." in script.sent[4].results[3]["text"]
        noted = tmp_path / "work" / "main" / said.rpartition(" ")[2]
        assert "900 euros (rome.md)" in noted.read_text()
        script.then(
            calls("memory_search", query="flat Rome"),
            says(lambda sent: sent.results[-1]["results"][0]["snippet"]),
        )
        assert "costs 900 euros" in await led.say("And what did you note?")
        status = await led.call("skills.status")
    (shown,) = (one for one in status["skills"] if one["name"] == "qmd-brain")
    assert shown["eligible"]
    assert shown["install"][0]["command"] == "npm install -g --ignore-scripts @tobilu/qmd"


async def test_daily_briefing(tmp_path: Path) -> None:
    feed = "<rss><channel><item><title>Hats are back</title></item></channel></rss>"
    async with Receiver(Answer(200, feed, {"Content-Type": "application/rss+xml"})) as news:
        url = f"{news.url}/feed.xml"
        entries = {"daily-briefing": {"config": {"feeds": [url]}}}
        script = Script(
            calls("skill_read", name="daily-briefing"),
            calls("cron", action="list"),
            calls(
                "cron",
                action="add",
                name="daily-briefing",
                cron="0 7 * * *",
                tz="Europe/Rome",
                session="isolated",
                message="Use the skill daily-briefing: write today's briefing, and nothing else.",
            ),
            says(lambda sent: f"Every day at seven: {sent.results[-1]['id']}"),
        )
        allowed = {"trusted": ["webhook", "cron"], "web": {"fetch": {"allowPrivate": True}}}
        async with partnered(tmp_path, script, tools=allowed, skills={"entries": entries}) as (
            led,
            partner,
        ):
            await partner.say("Send me a briefing every day at seven")
            (answer,) = await heard(partner, 1)
            was_told(script.sent[0], "daily-briefing")
            assert url in script.sent[1].results[0]
            job = answer["text"].rpartition(" ")[2]
            (listed,) = (await led.call("cron.list"))["jobs"]
            assert (listed["id"], listed["schedule"]["tz"]) == (job, "Europe/Rome")
            script.then(
                calls("skill_read", name="daily-briefing"),
                calls("tasks", action="list"),
                calls("memory_search", query="today"),
                calls("web_fetch", url=url),
                says(lambda sent: f"**News** – {'Hats are back' in str(sent.results[-1])}"),
            )
            await led.call("cron.run", {"id": job, "mode": "force"})
            _, briefing = await heard(partner, 2)

            async def ended() -> list[dict[str, Any]]:
                listed: dict[str, Any] = await led.call("cron.runs", {"id": job})
                return [one for one in listed["entries"] if one.get("status")]

            (run,) = await eventually(ended)
        assert briefing["text"] == "**News** – True"
        assert briefing["to"] == answer["to"]
        assert run["status"] == "ok"
        assert "Use the skill daily-briefing" in script.sent[4].asked
        assert len(news.calls) == 1
