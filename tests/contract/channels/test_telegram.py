"""A Telegram bot in a whole gateway: the real client library against a faithful Bot API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from portico.agents.runtime import AgentRuntime
from portico.auth.model import Principal
from portico.channels.accounts import store as account_store
from portico.channels.accounts.supervisor import Supervisor
from portico.protocol.scopes import Role, expand
from portico.rpc.call import Call
from tests.e2e.gateway import GatewayProcess
from tests.fakes.telegram import TOKEN, Broken, Chat, FakeTelegram, Limited, Lost, Refused
from tests.support.house import ALL_SCOPES
from tests.support.http import House, Scripted, house, listening, settings
from tests.support.waiting import eventually

PNG = b"\x89PNG\r\n\x1a\n not really"


def configured(telegram: FakeTelegram, **account: Any) -> dict[str, Any]:
    bot = {
        "botToken": TOKEN,
        "apiRoot": telegram.url,
        "pollSeconds": 1,
        "dmPolicy": "open",
        "allowFrom": ["*"],
        "groupPolicy": "open",
        "groups": {"*": {}},
        **account,
    }
    return settings(channels={"telegram": bot})


@asynccontextmanager
async def bot(
    folder: Path,
    telegram: FakeTelegram,
    *,
    runtime: AgentRuntime | None = None,
    state: str = "connected",
    **account: Any,
) -> AsyncIterator[House]:
    async with house(folder, configured(telegram, **account), runtime=runtime) as gateway:
        await eventually(lambda: account_of(gateway).state.value == state)
        yield gateway


def account_of(gateway: House) -> Supervisor:
    found = gateway.gateway.path.accounts.find("telegram", "default")
    assert found is not None
    return found


async def answered(telegram: FakeTelegram, chat: Chat, *texts: str) -> None:
    await eventually(lambda: len(telegram.texts(chat)) >= len(texts))
    assert telegram.texts(chat) == [*texts]


def operator() -> Call:
    return Call(
        Principal(
            role=Role.OPERATOR,
            granted=ALL_SCOPES,
            scopes=expand(frozenset(ALL_SCOPES)),
            method="internal",
            subject="test",
        )
    )


def letters(telegram: FakeTelegram, chat: Chat) -> str:
    return "".join("".join(telegram.texts(chat)).split())


async def recorded(gateway: House) -> list[Any]:
    return await gateway.gateway.ground.store.read(account_store.list_events, channel="telegram")


async def test_a_person_writes_and_is_answered(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram, bot(tmp_path, telegram) as gateway:
        ann = telegram.person("Ann")
        telegram.says(ann, "hello")
        await answered(telegram, ann, "Echo: hello")
        await eventually(lambda: telegram.waiting == 0)  # confirmed, after it was on disk
        assert account_of(gateway).seen.identity
        menu = {c["command"] for c in telegram.commands}
        assert {"new", "status", "stop", "help"} <= menu
        assert not {"restart", "approve"} & menu  # those are for owners


async def test_what_was_not_confirmed_comes_again_and_is_not_answered_twice(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram:
        ann = telegram.person("Ann")
        async with bot(tmp_path, telegram):
            telegram.says(ann, "one")
            await answered(telegram, ann, "Echo: one")
        telegram.redeliver({"update_id": 1, "message": telegram.messages[ann.id, 1]})
        telegram.says(ann, "two")
        async with bot(tmp_path, telegram):
            await answered(telegram, ann, "Echo: one", "Echo: two")
            await eventually(lambda: telegram.waiting == 0)
            assert telegram.texts(ann) == ["Echo: one", "Echo: two"]


async def test_an_album_is_one_message_and_its_pictures_are_there(tmp_path: Path) -> None:
    runtime = Scripted()
    async with FakeTelegram() as telegram, bot(tmp_path, telegram, runtime=runtime):
        ann = telegram.person("Ann")
        telegram.album(ann, PNG, PNG + b"2", PNG + b"3", caption="my cat")
        await answered(telegram, ann, "done")
        (seen,) = runtime.seen
        assert seen.text == "my cat"
        assert [a.type for a in seen.attachments] == ["image"] * 3
        assert seen.attachments[2].read() == PNG + b"3"


async def test_files_of_every_kind(tmp_path: Path) -> None:
    runtime = Scripted()
    async with FakeTelegram() as telegram, bot(tmp_path, telegram, runtime=runtime, mediaMaxMb=1):
        ann = telegram.person("Ann")
        voice = telegram.file(b"OggS", mime_type="audio/ogg", duration=2)
        telegram.says(ann, voice=voice)
        paper = telegram.file(b"%PDF", mime_type="application/pdf", file_name="a.pdf")
        telegram.says(ann, document=paper, caption="read it")
        large = telegram.file(b"x" * 2_000_000, mime_type="video/mp4", width=1, height=1)
        telegram.says(ann, video={**large, "duration": 3})
        gone = {**telegram.file(b"z", mime_type="application/zip"), "file_id": "gone"}
        telegram.says(ann, document=gone)
        telegram.says(ann, location={"latitude": 59.9, "longitude": 10.7})
        await answered(telegram, ann, *["done"] * 5)
        files = [r.attachments[0] for r in runtime.seen[:4]]
        assert [f.type for f in files] == ["audio", "file", "video", "file"]
        assert [f.sha256 is not None for f in files] == [True, True, False, False]
        assert files[1].file_name == "a.pdf"
        assert runtime.seen[4].text == "[location 59.9, 10.7]"


async def test_what_a_stranger_attaches_is_not_fetched(tmp_path: Path) -> None:
    async with (
        FakeTelegram() as telegram,
        bot(tmp_path, telegram, dmPolicy="allowlist", allowFrom=[]),
    ):
        eve = telegram.person("Eve")
        telegram.says(eve, document=telegram.file(b"x" * 50, mime_type="application/zip"))
        await eventually(lambda: telegram.waiting == 0)
        assert "getFile" not in telegram.calls


async def test_groups_topics_and_mentions(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram, bot(tmp_path, telegram, replyToMode="all"):
        ann = telegram.person("Ann")
        club = telegram.group("Club", topics=(7,))
        topic = {"message_thread_id": 7, "is_topic_message": True}
        telegram.says(ann, "nobody listens", to=club, **topic)
        asked = telegram.says(ann, "@portico_bot what time is it?", to=club, **topic)
        await answered(telegram, club, "Echo: @portico_bot what time is it?")
        sent = telegram.sent[0]
        assert sent["message_thread_id"] == 7
        assert sent["reply_to_message"]["message_id"] == asked["message_id"]
        telegram.says(ann, "and now?", to=club, reply_to_message=sent, **topic)
        await eventually(lambda: len(telegram.sent) == 2)
        telegram.says(ann, "/status@portico_bot", to=club)
        await eventually(lambda: len(telegram.sent) == 3)
        assert "message_thread_id" not in telegram.sent[2]


async def test_a_limit_is_waited_for_and_an_unknown_fate_is_shown(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram, bot(tmp_path, telegram) as gateway:
        ann, bob, eve = (telegram.person(name) for name in ("Ann", "Bob", "Eve"))
        telegram.plan("sendMessage", Limited(1))
        telegram.says(ann, "hi")
        await answered(telegram, ann, "Echo: hi")
        assert telegram.calls.count("sendMessage") == 2

        telegram.plan("sendMessage", Lost())
        telegram.says(bob, "hi")
        await answered(telegram, bob, "Echo: hi")  # it arrived; the gateway cannot know

        eve.blocked = True
        telegram.says(eve, "hi")

        async def states() -> bool:
            found = await gateway.gateway.front.dispatcher.request(
                "deliveries.list", b"{}", operator()
            )
            return {d.state for d in found.deliveries} == {"sent", "unknown", "failed"}

        await eventually(states)
        assert telegram.texts(bob) == ["Echo: hi"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("**bold** and `code` <b>", "bold and code <b>"),
        ("- one\n- two", "• one\n• two"),
        ("[x](javascript:alert) [y](https://e.org)", "[x](javascript:alert) y"),
        ("```py\na < b\n```", "a < b"),
    ],
)
async def test_markdown_is_formatted(tmp_path: Path, said: str, shown: str) -> None:
    from portico.agents.runtime import Final

    runtime = Scripted(Final(said))
    async with FakeTelegram() as telegram, bot(tmp_path, telegram, runtime=runtime):
        ann = telegram.person("Ann")
        telegram.says(ann, "go")
        await answered(telegram, ann, shown)


async def test_what_telegram_cannot_format_goes_out_as_it_stands(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram, bot(tmp_path, telegram):
        ann = telegram.person("Ann")
        refusal = Refused(400, "Bad Request: can't parse entities: planned")
        telegram.plan("sendMessage", refusal)
        telegram.says(ann, "a *star*")
        await answered(telegram, ann, "Echo: a *star*")


async def test_long_answers_come_in_pieces_in_order(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram, bot(tmp_path, telegram):
        ann = telegram.person("Ann")
        telegram.says(ann, "/sim words=1500")
        whole = "".join(f"word{n}" for n in range(1500))
        await eventually(lambda: len(letters(telegram, ann)) >= len(whole))
        assert letters(telegram, ann) == whole
        assert len(telegram.sent) >= 3


async def test_an_odd_update_holds_up_nothing(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram, bot(tmp_path, telegram) as gateway:
        ann = telegram.person("Ann")
        telegram.update(message={"message_id": "x", "chat": 3})
        telegram.update(something_new={"a": [1]})
        edited = telegram.says(ann, "first")
        telegram.update(edited_message={**edited, "text": "second", "edit_date": 1_795_000_009})
        telegram.says(ann, new_chat_members=[ann.user()])
        reaction = {
            "chat": ann.shape(),
            "message_id": edited["message_id"],
            "user": ann.user(),
            "date": 1_795_000_010,
            "old_reaction": [],
            "new_reaction": [{"type": "emoji", "emoji": "👍"}],
        }
        telegram.update(message_reaction=reaction)
        telegram.says(ann, "still here?")
        await answered(telegram, ann, "Echo: first", "Echo: still here?")
        kinds = sorted(e.event.kind for e in await recorded(gateway))
        assert kinds == ["edit", "join", "other", "other", "reaction"]


async def test_a_second_receiver_is_explained_and_a_bad_token_waits_for_a_person(
    tmp_path: Path,
) -> None:
    async with FakeTelegram() as telegram:
        taken = Refused(409, "Conflict: terminated by other getUpdates request")
        telegram.plan("getUpdates", *[taken] * 3)
        async with bot(tmp_path / "a", telegram) as gateway:
            ann = telegram.person("Ann")
            telegram.says(ann, "hi")
            await eventually(lambda: "409" in (account_of(gateway).error or ""))
            await answered(telegram, ann, "Echo: hi")
        telegram.plan("getMe", Refused(401, "Unauthorized"))
        async with house(tmp_path / "b", configured(telegram)) as gateway:
            await eventually(lambda: "@BotFather" in (account_of(gateway).error or ""))


async def test_updates_by_webhook(tmp_path: Path) -> None:
    secret = "a-secret-of-the-webhook"
    async with FakeTelegram() as telegram:
        config = configured(telegram, webhookUrl="http://127.0.0.1:9", webhookSecret=secret)
        async with house(tmp_path, config) as gateway, listening(gateway.gateway) as url:
            await eventually(lambda: telegram.webhook.get("url"))
            path = telegram.webhook["url"].removeprefix("http://127.0.0.1:9")
            assert path == "/integrations/telegram/default"
            for headers, body, status in (
                ({}, b"{}", 401),
                ({"x-telegram-bot-api-secret-token": "wrong"}, b"{}", 401),
                ({"x-telegram-bot-api-secret-token": secret}, b"{no", 400),
                ({"x-telegram-bot-api-secret-token": secret}, b"[]", 400),
                ({"x-telegram-bot-api-secret-token": secret}, b'{"update_id": "x"}', 400),
            ):
                posted = await gateway.client.post(path, content=body, headers=headers)
                assert posted.status_code == status
            telegram.webhook["url"] = f"{url}{path}"
            ann = telegram.person("Ann")
            telegram.says(ann, "by post")
            await answered(telegram, ann, "Echo: by post")
            assert telegram.waiting == 0


async def test_trouble_at_the_provider_is_survived(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram, bot(tmp_path, telegram):
        ann = telegram.person("Ann")
        telegram.plan("getUpdates", Broken(), Broken(500, "{no json"))
        telegram.says(ann, "hello")
        await answered(telegram, ann, "Echo: hello")


async def test_the_token_is_in_no_log(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram:
        config = {**configured(telegram), "logging": {"level": "debug"}}
        config["gateway"]["port"] = 0
        gateway = GatewayProcess(tmp_path, config=config)
        await asyncio.to_thread(gateway.start)
        try:
            ann = telegram.person("Ann")
            telegram.plan("sendMessage", Broken())
            telegram.plan("getUpdates", Broken(), Refused(409, "Conflict: planned"))
            telegram.says(ann, "hello")
            await eventually(lambda: telegram.calls.count("sendMessage") >= 1)
        finally:
            await asyncio.to_thread(gateway.stop)
        written = gateway.log()
        assert "telegram" in written
        assert TOKEN not in written
        assert TOKEN.partition(":")[2] not in written
