"""A channel from the command line: added, paired, answered, looked at, stopped, removed."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from tests.e2e.gateway import GatewayProcess
from tests.e2e.test_cli import Terminal
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram import TOKEN, FakeTelegram
from tests.fakes.webhook_partner import SECRET, Partner
from tests.support.waiting import eventually


class Desk:
    """A terminal that does not hold up the partner."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._terminal = Terminal(gateway.state_dir)

    async def json(self, *words: str, code: int = 0) -> Any:
        return await asyncio.to_thread(self._terminal.json, *words, code=code)

    async def run(self, *words: str) -> str:
        done = await asyncio.to_thread(self._terminal, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout


async def test_a_channel_from_the_command_line(gateway: GatewayProcess) -> None:
    desk = Desk(gateway)
    async with Partner(f"{gateway.url}/integrations/webhook/default") as partner:
        url = f"url={partner.url}/in"
        wrong = await desk.json("channels", "add", "webhook", "secret=short", code=5)
        assert "at least 16" in wrong["error"]["message"]
        added = await desk.json("channels", "add", "webhook", f"secret={SECRET}", url)
        assert added["path"] == str(gateway.state_dir / "portico.json")
        await connected(desk)

        await partner.say("hello", sender="ann")
        (answer,) = await eventually(partner.sent)
        code = re.search(r"code: (\S+)", answer.text)
        assert code is not None
        assert "ann" in await desk.run("pairing", "list")
        approved = await desk.run("pairing", "approve", "webhook", code[1], "--notify")
        assert approved == "Approved: ann may write to webhook:default\n"
        await eventually(lambda: len(partner.sent()) == 2)

        (refused,) = (await desk.json("inbox", "list", "--state", "refused"))["messages"]
        assert refused["reason"] == "not approved yet: a pairing code was sent"
        shown = await desk.json("inbox", "show", refused["messageId"])
        assert (shown["text"], shown["senderName"]) == ("hello", "Ann")
        await desk.json("inbox", "retry", refused["messageId"])
        await eventually(lambda: len(partner.sent()) == 3)
        assert partner.sent()[-1].text == "Echo: hello"
        assert (await desk.json("lanes", "list"))["lanes"] == []

        sent = (await desk.json("deliveries", "list", "--state", "sent"))["deliveries"]
        assert len(sent) == 3
        one = await desk.run("deliveries", "show", sent[0]["deliveryId"])
        assert "Echo: hello" in one
        assert re.search(r"createdAt +.* ago\n", one)
        wrong = await desk.json("deliveries", "list", "--state", "lost", code=2)
        assert "unknown" in wrong["error"]["message"]
        over = await desk.json("deliveries", "retry", sent[0]["deliveryId"], code=5)
        assert "nothing to decide" in over["error"]["message"]

        assert "Stopped" in await desk.run("channels", "stop", "webhook")
        assert "Connected" in await desk.run("channels", "start", "webhook")
        status = await desk.json("channels", "status", "webhook", "--probe")
        assert status["channelAccounts"]["webhook"][0]["probe"]["ok"] is True
        assert "Webhook" in await desk.run("channels", "list")
        await desk.json("pairing", "revoke", "webhook", "ann")
        await desk.json("pairing", "revoke", "webhook", "ann", code=5)
        await desk.json("channels", "remove", "webhook", "--yes")
        assert (await desk.json("channels", "status"))["channelOrder"] == ["webchat", "http"]


async def test_nothing_but_a_token_of_telegram(start_gateway) -> None:
    """A stranger asks, is approved and answered; another one is rejected. And a hand is lent."""
    async with FakeTelegram() as telegram:
        bot = {"botToken": TOKEN, "apiRoot": telegram.url}  # its address is all that is unusual
        gateway = await asyncio.to_thread(start_gateway, {"channels": {"telegram": bot}})
        desk = Desk(gateway)
        ann, bob = telegram.person("Ann"), telegram.person("Bob")
        telegram.says(ann, "hello")
        await eventually(lambda: telegram.texts(ann))
        code = re.search(r"code: (\S+)", telegram.texts(ann)[0])
        assert code is not None
        await desk.run("pairing", "approve", "telegram", code[1], "--notify")
        telegram.says(ann, "hello again")
        await eventually(lambda: telegram.texts(ann)[2:] == ["Echo: hello again"])

        telegram.says(bob, "and me?")
        await eventually(lambda: telegram.texts(bob))
        assert await desk.run("pairing", "reject", "telegram", str(bob.id)) == (
            f"Rejected: {bob.id}\n"
        )
        where = ("--channel", "telegram", "--target", str(ann.id))
        sent = await desk.json("message", "send", *where, "--message", "one *moment*")
        there = ("--message-id", sent["messageId"])
        await desk.run("message", "edit", *where, *there, "--message", "two moments")
        assert telegram.texts(ann)[-1] == "two moments"
        options = ("--poll-option", "Soup", "--poll-option", "Salad")
        await desk.run("message", "poll", *where, "--poll-question", "Lunch?", *options)
        assert len(telegram.sent[-1]["poll"]["options"]) == 2
        reaction = ("message", "react", *where, "--message-id", "1", "--emoji", "👍")
        assert await desk.run(*reaction) == "Reacted: 1\n"
        assert await desk.run("message", "delete", *where, *there) == (
            f"Deleted: {sent['messageId']}\n"
        )
        assert (
            "Message to edit not found"
            in (await desk.json("message", "edit", *where, *there, "--message", "x", code=5))[
                "error"
            ]["message"]
        )


async def connected(desk: Desk, account: int = 0) -> dict[str, Any]:
    async def is_connected() -> dict[str, Any] | None:
        status = await desk.json("channels", "status", "webhook")
        shown = status["channelAccounts"].get("webhook", [])
        return shown[account] if len(shown) > account and shown[account]["connected"] else None

    return await eventually(is_connected)


async def test_nothing_but_a_discord_token_answers_after_pairing(
    start_gateway, tmp_path: Path
) -> None:
    async with FakeDiscord() as discord:
        auth = {"auth": {"token": "0123456789abcdef0123456789abcdef"}}
        written = {"gateway": auth, "channels": {"discord": discord.settings()}}
        gateway = await asyncio.to_thread(start_gateway, written)
        desk = Desk(gateway)
        await eventually(lambda: discord.sessions)
        ann = discord.person("Ann")
        chat = discord.direct(ann)
        discord.says(ann, "hello")
        await eventually(lambda: discord.texts(chat))
        code = re.search(r"code: (\S+)", discord.texts(chat)[0])
        assert code is not None
        assert "Ann" in await desk.run("pairing", "list")
        await desk.run("pairing", "approve", "discord", code[1])
        discord.says(ann, "hello again")
        await eventually(lambda: discord.texts(chat)[1:] == ["Echo: hello again"])
        status = await desk.json("channels", "status", "discord", "--probe")
        assert status["channelAccounts"]["discord"][0]["probe"]["ok"] is True


async def test_a_gateway_that_does_not_run_finds_the_account_when_it_starts(
    gateway: GatewayProcess,
) -> None:
    desk = Desk(gateway)
    assert gateway.stop() == 0
    await desk.json("channels", "add", "webhook", f"secret={SECRET}")
    await desk.json("channels", "add", "webhook", "--account", "crm", "dmPolicy=disabled")
    await desk.json("channels", "add", "webhook", "--account", "crm", 'allowFrom=["ann"]')
    written = json.loads(await desk.run("config", "get", "channels.webhook"))
    assert set(written["accounts"]) == {"default", "crm"}
    assert written["accounts"]["crm"] == {"dmPolicy": "disabled", "allowFrom": ["ann"]}
    gateway.start()
    assert (await connected(desk))["accountId"] == "crm"
    assert (await connected(desk, 1))["accountId"] == "default"
    await desk.json("channels", "remove", "webhook", "--account", "nobody", "--yes", code=5)
    await desk.json("channels", "remove", "webhook", "--account", "crm", "--yes")
    status = await desk.json("channels", "status")
    assert [one["accountId"] for one in status["channelAccounts"]["webhook"]] == ["default"]


async def test_a_broken_channel_does_not_keep_a_gateway_from_starting(
    start_gateway, tmp_path: Path
) -> None:
    gateway = start_gateway(
        {
            "gateway": {"auth": {"token": "0123456789abcdef0123456789abcdef"}},
            "channels": {
                "webhook": {"secret": "${NOBODY_SET_THIS}"},
                "carrier-pigeon": {"token": "x"},
            },
        }
    )
    desk = Desk(gateway)
    status = await desk.json("channels", "status")
    (issue,) = status["statusIssues"]
    assert "NOBODY_SET_THIS" in issue["message"]
    assert "carrier-pigeon" not in status["channels"]
