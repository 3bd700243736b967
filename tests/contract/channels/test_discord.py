"""A Discord bot in a whole gateway: the real client library against a faithful Discord."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from portico.agents.runtime import AgentRuntime, Final, TextDelta
from portico.channels.accounts import store as account_store
from portico.channels.accounts.supervisor import Supervisor
from portico.channels.contract import (
    OutgoingPoll,
    Polls,
    Reacts,
    Rejected,
)
from portico.channels.discord import channel as discord_channel
from portico.channels.discord import history, sending
from portico.channels.discord.channel import Discord
from portico.channels.model import Peer, ReplyRoute
from portico.outbox.life import DeliveryState
from portico.testkit import Outcome
from tests.e2e.gateway import GatewayProcess
from tests.fakes.discord import BOT_ID, PRIVILEGED, TOKEN, FakeDiscord
from tests.support.http import House, Scripted, house, settings
from tests.support.waiting import eventually

PNG = b"\x89PNG\r\n\x1a\n not really"
AT_BOT = {"mentions": [{"id": BOT_ID, "username": "Portico"}]}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discord asks for seconds before a new session; here nobody is there to mind."""
    monkeypatch.setattr(discord_channel, "PAUSE_S", (0.01, 0.02))


def configured(discord: FakeDiscord, **account: Any) -> dict[str, Any]:
    bot = {
        **discord.settings(),
        "dmPolicy": "open",
        "allowFrom": ["*"],
        "groupPolicy": "open",
        "guilds": {"*": {}},
        "streaming": "off",
        **account,
    }
    return settings(channels={"discord": bot})


@asynccontextmanager
async def bot(
    folder: Path,
    discord: FakeDiscord,
    *,
    runtime: AgentRuntime | None = None,
    state: str = "connected",
    **account: Any,
) -> AsyncIterator[House]:
    async with house(folder, configured(discord, **account), runtime=runtime) as gateway:
        await eventually(lambda: account_of(gateway).state.value == state)
        yield gateway


def account_of(gateway: House) -> Supervisor:
    found = gateway.gateway.path.accounts.find("discord", "default")
    assert found is not None
    return found


def live(gateway: House) -> Discord:
    found = account_of(gateway).live
    assert isinstance(found, Discord)
    return found


async def answered(discord: FakeDiscord, channel: str, *texts: str) -> None:
    await eventually(lambda: len(discord.texts(channel)) >= len(texts))
    assert discord.texts(channel) == [*texts]


async def recorded(gateway: House) -> list[Any]:
    return [
        row.event
        for row in await gateway.gateway.ground.store.read(
            account_store.list_events, channel="discord"
        )
    ]


async def kinds(gateway: House) -> list[str]:
    return sorted(event.kind for event in await recorded(gateway))


# -- in ------------------------------------------------------------------------------------------


async def test_a_person_writes_and_is_answered(tmp_path: Path) -> None:
    async with FakeDiscord() as discord, bot(tmp_path, discord) as gateway:
        ann = discord.person("Ann")
        said = discord.says(ann, "hello")
        await answered(discord, discord.direct(ann), "Echo: hello")
        await eventually(lambda: discord.is_acknowledged(discord.key_of(said)))
        assert account_of(gateway).seen.identity == {"id": BOT_ID, "username": "Portico"}
        assert discord.direct(ann) in discord.typing


async def test_servers_threads_and_mentions(tmp_path: Path) -> None:
    runtime = Scripted()
    async with FakeDiscord() as discord:
        club = discord.server("Club", bot_roles=("77",))
        room = discord.channel(club, "general")
        thread = discord.thread(room, "plans")
        ann = discord.person("Ann")
        async with bot(tmp_path, discord, runtime=runtime, replyToMode="all"):
            discord.says(ann, "nobody listens", to=room)
            asked = discord.says(ann, f"<@{BOT_ID}> see <#{room}>?", to=room, **AT_BOT)
            await answered(discord, room, "done")
            assert discord.posts[0]["message_reference"]["message_id"] == asked["id"]
            assert runtime.seen[-1].text == "@Portico see #general?"
            discord.says(ann, "by role <@&77>", to=thread, mention_roles=["77"])
            await answered(discord, thread, "done")
            mine = discord.posts[0]
            reply = {"type": 19, "referenced_message": mine}
            discord.says(ann, "and now?", to=room, message_reference={}, **reply)
            await answered(discord, room, "done", "done")


async def test_rules_of_servers_channels_threads_and_roles(tmp_path: Path) -> None:
    async with FakeDiscord() as discord:
        club, other = discord.server("Club"), discord.server("Other")
        room, shut = discord.channel(club, "help"), discord.channel(club, "secret")
        thread, far = discord.thread(room, "t"), discord.channel(other, "far")
        mods = discord.channel(club, "mods")
        ann, eve = discord.person("Ann"), discord.person("Eve")
        discord.roles[club, ann] = ["5"]
        rules = {
            club: {
                "requireMention": False,
                "channels": {room: {}, mods: {"roles": ["5"]}, shut: {"allow": False}},
            }
        }
        async with bot(tmp_path, discord, groupPolicy="allowlist", guilds=rules):
            for place in (shut, far, room, thread):
                discord.says(eve, "hi", to=place)
            discord.says(eve, "let me in", to=mods)
            discord.says(ann, "I am one", to=mods)
            await answered(discord, mods, "Echo: I am one")
            await answered(discord, room, "Echo: hi")
            await answered(discord, thread, "Echo: hi")
            assert discord.texts(shut) == discord.texts(far) == []


async def test_nobody_is_refused_because_discord_is_broken(tmp_path: Path) -> None:
    """After a resumed session channels must be asked for; what they are decides who may write."""
    async with FakeDiscord() as discord:
        club = discord.server("Club", bot_roles=("77",))
        thread = discord.thread(discord.channel(club, "help"), "plans")
        parent = discord.channels[thread]["parent_id"]
        ann = discord.person("Ann")
        rules: dict[str, Any] = {club: {"channels": {parent: {}}}}
        async with bot(tmp_path, discord, guilds=rules):
            pass
        discord.says(ann, "<@&77>?", to=thread, mention_roles=["77"])
        discord.failing += ["GET channels/*", "GET guilds/*/members/*"]
        async with bot(tmp_path, discord, guilds=rules):
            await answered(discord, thread, "Echo: <@&77>?")
        assert (discord.identifies, discord.failing) == (1, [])


async def test_files_in_and_out(tmp_path: Path) -> None:
    picture = "data:image/png;base64," + base64.b64encode(PNG).decode()
    runtime = Scripted()
    async with (
        FakeDiscord() as discord,
        bot(tmp_path, discord, runtime=runtime, mediaMaxMb=1) as gateway,
    ):
        ann = discord.person("Ann")
        good, large = discord.file(PNG), discord.file(b"x" * 2_000_000, mime="video/mp4")
        elsewhere = {**discord.file(b"z"), "url": "http://169.254.169.254/latest/meta-data"}
        gone = {**discord.file(b"z"), "url": f"{discord.url}/files/1/gone"}
        discord.says(ann, "", attachments=[good, large, elsewhere, gone])
        await eventually(lambda: len(runtime.seen) == 1)
        files = runtime.seen[0].attachments
        assert [f.type for f in files] == ["image", "video", "image", "image"]
        assert [f.read() is not None for f in files] == [True, False, False, False]
        assert files[0].read() == PNG
        await eventually(lambda: len(discord.posts) == 1)
        route = ReplyRoute("discord", "default", Peer("direct", ann))
        outbox = gateway.gateway.path.outbox
        await outbox.send(route, "with a picture", media=(picture,), session_key=None)
        await eventually(lambda: len(discord.posts) == 2)
        (sent,) = discord.posts[1]["attachments"]
        assert (sent["filename"], sent["size"]) == ("file.png", len(PNG))


async def test_files_of_strangers_are_not_fetched(tmp_path: Path) -> None:
    async with FakeDiscord() as discord, bot(tmp_path, discord, allowFrom=["1"]):
        said = discord.says(discord.person("Eve"), "look", attachments=[discord.file(PNG)])
        await eventually(lambda: discord.is_acknowledged(discord.key_of(said)))
        assert discord.fetched == []


async def test_what_is_no_message_is_recorded(tmp_path: Path) -> None:
    async with FakeDiscord(granted=PRIVILEGED["content"] | PRIVILEGED["members"]) as discord:
        club = discord.server("Club")
        room = discord.channel(club, "general")
        ann = discord.person("Ann")
        account: dict[str, Any] = {"intents": {"guildMembers": True}}
        async with bot(tmp_path, discord, **account) as gateway:
            said = discord.says(ann, "one", to=room)
            discord.edits_message(said, "first")
            about = {"channel_id": room, "guild_id": club, "message_id": said["id"]}
            for what in ("ADD", "REMOVE", "ADD"):  # the same once more is another event
                name = f"MESSAGE_REACTION_{what}"
                discord.tell(name, {**about, "user_id": ann, "emoji": {"name": "👍"}})
            discord.tell("MESSAGE_POLL_VOTE_ADD", {**about, "user_id": ann, "answer_id": 2})
            discord.tell("GUILD_MEMBER_ADD", {"guild_id": club, "user": discord.users[ann]})
            discord.tell("MESSAGE_DELETE", {**about, "id": said["id"]})
            machine = discord.person("Robot", bot=True)
            discord.says(machine, "beep", to=room, **AT_BOT)
            discord.says(ann, "", to=room, embeds=[{}])
            discord.tell("SOMETHING_NEW", {"channel_id": room})
            expected = ["delete", "edit", "join", "other", "other", "other", "poll_answer"]

            async def are_there() -> bool:
                return await kinds(gateway) == [*expected, "reaction", "reaction", "reaction"]

            await eventually(are_there)
            assert discord.posts == []


# -- slash commands ------------------------------------------------------------------------------


async def test_a_command_is_seen_at_once_and_answered_in_its_place(tmp_path: Path) -> None:
    runtime = Scripted(held=True)
    async with FakeDiscord() as discord:
        club = discord.server("Club")
        room = discord.channel(club, "general")
        ann = discord.person("Ann")
        async with bot(tmp_path, discord, runtime=runtime):
            await eventually(lambda: set(discord.commands) == {"ask", "new", "status", "stop"})
            used = discord.uses(ann, "ask", to=room, text="what time is it?")
            await eventually(lambda: discord.callbacks == [(used, {"type": 5})])
            await eventually(lambda: runtime.seen)
            assert runtime.seen[0].text == "what time is it?"
            assert discord.posts == []
            runtime.go.set()
            await answered(discord, room, "done")
            assert discord.attempts() == 0  # it took the place that was waiting for it
            status = discord.uses(ann, "status", to=room)
            await eventually(lambda: discord.callbacks[-1] == (status, {"type": 5}))
            await eventually(lambda: len(discord.texts(room)) == 2)
            late = discord.uses(ann, "ask", text="late")
            discord.expire(late)
            await answered(discord, discord.direct(ann), "done")  # a plain message
        assert discord.written_commands == 4
        async with bot(tmp_path, discord):
            await eventually(lambda: discord.calls.count("GET applications/*/commands") == 2)
        assert discord.written_commands == 4  # as they should be: not written again


async def test_a_command_of_somebody_who_may_not_is_declined(tmp_path: Path) -> None:
    async with FakeDiscord() as discord, bot(tmp_path, discord, dmPolicy="disabled"):
        used = discord.uses(discord.person("Eve"), "ask", text="hi")
        await eventually(lambda: discord.callbacks)
        ((which, shown),) = discord.callbacks
        assert (which, shown["type"], shown["data"]["flags"]) == (used, 4, 64)
        await eventually(lambda: discord.is_acknowledged(f"interaction:{used}"))
        assert discord.posts == []


# -- out -----------------------------------------------------------------------------------------


async def test_long_answers_and_tables_mention_nobody(tmp_path: Path) -> None:
    table = "@everyone <@5>\n\n| a | b |\n| - | - |\n| 1 | 22 |"
    runtime = Scripted(Final(table + "\n\n" + "word " * 900))
    async with FakeDiscord() as discord, bot(tmp_path, discord, runtime=runtime):
        ann = discord.person("Ann")
        discord.says(ann, "go")
        chat = discord.direct(ann)
        await eventually(lambda: sum(t.count("word") for t in discord.texts(chat)) == 900)
        first, *rest = discord.texts(chat)
        assert first.startswith("@everyone <@5>\n\n```\na  b\n-  --\n1  22\n```")
        assert rest
        assert max(map(len, discord.texts(chat))) <= 2000


async def test_a_growing_answer_becomes_the_final_message(tmp_path: Path) -> None:
    words = [TextDelta(f"this is word number {n} ") for n in range(20)]
    runtime = Scripted(*words, Final("".join(one.text for one in words) + "end"))
    shown = Slow(runtime)
    account: dict[str, Any] = {"runtime": shown, "streaming": "partial"}
    async with FakeDiscord() as discord, bot(tmp_path, discord, **account):
        ann = discord.person("Ann")
        discord.says(ann, "go")
        chat = discord.direct(ann)
        await eventually(lambda: discord.texts(chat))
        assert not discord.texts(chat)[0].endswith("end")
        shown.go.set()
        await eventually(lambda: discord.texts(chat)[0].endswith("end"))
        assert len(discord.texts(chat)) == 1
        assert discord.edits


class Slow(Scripted):
    """Says everything but the end, and then waits."""

    def __init__(self, inner: Scripted) -> None:
        super().__init__(*inner.events, held=True)

    async def run(self, turn: Any) -> AsyncIterator[Any]:
        self.seen.append(turn.request)
        for event in self.events[:-1]:
            yield event
        await self.go.wait()
        yield self.events[-1]


async def test_reactions_edits_polls_directory_and_probe(tmp_path: Path) -> None:
    async with FakeDiscord() as discord:
        club = discord.server("Club")
        room = discord.channel(club, "general")
        ann = discord.person("Ann")
        async with bot(tmp_path, discord) as gateway:
            account = live(gateway)
            assert isinstance(account, Reacts)
            assert isinstance(account, Polls)
            where = ReplyRoute("discord", "default", Peer("channel", room))
            said = discord.says(ann, "hi", to=room)
            await account.react(where, said["id"], "👍")
            await account.react(where, said["id"], "👍", remove=True)
            made = [("PUT", said["id"], "👍"), ("DELETE", said["id"], "👍")]
            assert discord.reactions == made
            poll = OutgoingPoll("d1", where, "Tea?", ("yes", "no"), duration_s=5400)
            first, again = await account.send_poll(poll), await account.send_poll(poll)
            assert first == again
            assert discord.posts[0]["poll"]["duration"] == 2
            outbox = gateway.gateway.path.outbox
            await outbox.send(where, "one", media=(), session_key=None)
            await eventually(lambda: len(discord.posts) == 2)
            await account.edit(where, discord.posts[1]["id"], "first")
            assert discord.texts(room)[1] == "first"
            await account.delete(where, discord.posts[1]["id"])
            assert len(discord.texts(room)) == 1
            people = await account.directory(query="ann", limit=5)
            assert [(one.kind, one.id) for one in people] == [("user", ann)]
            rooms = await account.directory(query="", limit=5)
            assert [(one.kind, one.name) for one in rooms] == [("channel", "#general (Club)")]
            assert (await account.probe())["ok"] is True
            with pytest.raises(Rejected, match="no id"):
                await account.edit(where, "../../x", "y")


async def test_who_cannot_be_written_to_fails_for_good(tmp_path: Path) -> None:
    async with FakeDiscord() as discord, bot(tmp_path, discord) as gateway:
        ann = discord.person("Ann")
        discord.blocked.add(ann)
        route = ReplyRoute("discord", "default", Peer("direct", ann))
        outbox = gateway.gateway.path.outbox
        sent = await outbox.send(route, "hello?", media=(), session_key=None)

        async def ended() -> Any:
            found = await outbox.find(sent)
            return found if found is not None and found.ended_at else None

        found = await eventually(ended)
        assert found.state is DeliveryState.FAILED
        assert "50007" in found.last_error


async def test_in_doubt_for_longer_than_a_nonce_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord has forgotten the nonce: the channel itself tells that the message is there."""
    monkeypatch.setattr(sending, "NONCE_IS_GOOD_MS", 0)
    async with FakeDiscord(nonce_lives_s=0) as discord, bot(tmp_path, discord) as gateway:
        ann = discord.person("Ann")
        route = ReplyRoute("discord", "default", Peer("direct", ann))
        outbox = gateway.gateway.path.outbox
        discord.plan(Outcome.DROP_ANSWER)
        sent = await outbox.send(route, "perhaps", media=(), session_key=None)

        async def is_sent() -> bool:
            found = await outbox.find(sent)
            return found is not None and found.state is DeliveryState.SENT

        await eventually(is_sent)
        chat = discord.direct(ann)
        assert discord.texts(chat) == ["perhaps"]
        await outbox.send(route, "perhaps", media=(), session_key=None)  # said twice on purpose
        await answered(discord, chat, "perhaps", "perhaps")


# -- the connection ------------------------------------------------------------------------------


async def test_a_session_is_resumed_after_every_kind_of_loss(tmp_path: Path) -> None:
    async with FakeDiscord() as discord:
        ann, bob = discord.person("Ann"), discord.person("Bob")
        chat = discord.direct(ann)
        async with bot(tmp_path, discord) as gateway:
            generation = account_of(gateway).seen.generation
            await discord.cut()
            discord.says(ann, "cut")
            await answered(discord, chat, "Echo: cut")
            discord.ask_to_reconnect()
            await eventually(lambda: discord.resumes == 2)
            discord.says(ann, "asked to")
            await answered(discord, chat, "Echo: cut", "Echo: asked to")
            assert account_of(gateway).seen.generation == generation
        discord.says(bob, "while it was off")  # his first words
        async with bot(tmp_path, discord):
            await answered(discord, discord.direct(bob), "Echo: while it was off")
        assert (discord.identifies, discord.resumes) == (1, 3)


async def test_after_a_lost_session_what_was_missed_is_fetched_in_order(tmp_path: Path) -> None:
    async with FakeDiscord() as discord:
        club = discord.server("Club")
        room, quiet = discord.channel(club, "general"), discord.channel(club, "quiet")
        thread = discord.thread(room, "plans")
        ann = discord.person("Ann")
        chat = discord.direct(ann)
        account: dict[str, Any] = {
            "guilds": {club: {"requireMention": False, "channels": {room: {}}}}
        }
        async with bot(tmp_path, discord, **account):
            discord.says(ann, "one")
            discord.says(ann, "one", to=room)
            await answered(discord, chat, "Echo: one")
            await answered(discord, room, "Echo: one")
        discord.invalidate()
        for place in (chat, room, thread, quiet):
            discord.says(ann, "two", to=place)
        discord.says(ann, "three")
        async with bot(tmp_path, discord, **account) as gateway:
            discord.says(ann, "four")
            expected = [f"Echo: {word}" for word in ("one", "two", "three", "four")]
            await answered(discord, chat, *expected)
            await answered(discord, room, "Echo: one", "Echo: two")
            await answered(discord, thread, "Echo: two")
            assert discord.texts(quiet) == []
            assert discord.refused_resumes == 1
            assert await kinds(gateway) == []
            discord.invalidate(told=True)  # while it is connected
            await eventually(lambda: discord.identifies == 3)
            discord.says(ann, "five")
            await answered(discord, chat, *expected, "Echo: five")


async def test_a_session_outlives_the_address_it_was_resumed_at(tmp_path: Path) -> None:
    async with FakeDiscord() as discord:
        ann = discord.person("Ann")
        discord.resume_url = "ws://127.0.0.1:9/gateway"  # nobody is there
        async with bot(tmp_path, discord):
            await discord.cut()
            discord.says(ann, "hello")
            await answered(discord, discord.direct(ann), "Echo: hello")
        assert (discord.identifies, discord.resumes) == (1, 1)


async def test_an_outage_of_discord_is_survived(tmp_path: Path) -> None:
    async with FakeDiscord() as discord:
        ann, bob = discord.person("Ann"), discord.person("Bob")
        async with bot(tmp_path, discord) as gateway:
            discord.says(ann, "before")
            await answered(discord, discord.direct(ann), "Echo: before")
            await discord.go_away()
            await eventually(lambda: account_of(gateway).state.value == "waiting")
            route = ReplyRoute("discord", "default", Peer("direct", bob))
            await gateway.gateway.path.outbox.send(route, "news", media=(), session_key=None)
            discord.says(ann, "during")
            await discord.listen()
            await answered(discord, discord.direct(ann), "Echo: before", "Echo: during")
            await answered(discord, discord.direct(bob), "news")


async def test_what_is_too_much_to_fetch_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_MESSAGES", 2)
    monkeypatch.setattr(history, "PAGE", 2)
    async with FakeDiscord() as discord:
        ann = discord.person("Ann")
        async with bot(tmp_path, discord):
            discord.says(ann, "one")
            await answered(discord, discord.direct(ann), "Echo: one")
        discord.invalidate()
        for number in range(5):
            discord.says(ann, f"missed {number}")
        async with bot(tmp_path, discord) as gateway:

            async def is_said() -> bool:
                return any("not fetched" in str(e.data) for e in await recorded(gateway))

            await eventually(is_said)


async def test_refusals_are_explained(tmp_path: Path) -> None:
    async with FakeDiscord(granted=0) as discord:
        async with house(tmp_path / "a", configured(discord)) as gateway:
            await eventually(lambda: "Message Content Intent" in (account_of(gateway).error or ""))
            assert account_of(gateway).state.value == "unusable"
        without = configured(discord, intents={"messageContent": False})
        club = discord.server("Club")
        room = discord.channel(club, "general")
        async with house(tmp_path / "b", without) as gateway:
            await eventually(lambda: account_of(gateway).state.value == "connected")
            ann = discord.person("Ann")
            discord.says(ann, "not seen", to=room)
            discord.says(ann, "seen", to=room, **AT_BOT)
            await answered(discord, room, "Echo: seen")
        discord.starts_left = 0
        async with house(tmp_path / "c", without) as gateway:
            await eventually(lambda: "no more sessions" in (account_of(gateway).error or ""))
        discord.token = "not.the.same"
        async with house(tmp_path / "d", without) as gateway:
            await eventually(lambda: account_of(gateway).state.value == "login")
            assert "Reset Token" in (account_of(gateway).error or "")


async def test_two_accounts_have_an_address_each(tmp_path: Path) -> None:
    async with FakeDiscord() as one, FakeDiscord() as two:
        shared = {"dmPolicy": "open", "allowFrom": ["*"]}
        accounts = {"one": one.settings(), "two": two.settings()}
        config = settings(channels={"discord": {**shared, "accounts": accounts}})
        async with house(tmp_path, config):
            for discord in (one, two):
                ann = discord.person("Ann")
                await eventually(lambda where=discord: where.sessions)
                discord.says(ann, "hi")
                await answered(discord, discord.direct(ann), "Echo: hi")


async def test_no_token_is_in_any_log(tmp_path: Path) -> None:
    async with FakeDiscord(bucket=(2, 0.3)) as discord:
        config = {**configured(discord), "logging": {"level": "debug"}}
        config["gateway"]["port"] = 0
        gateway = GatewayProcess(tmp_path, config=config)
        await asyncio.to_thread(gateway.start)
        try:
            await eventually(lambda: discord.sessions)
            ann = discord.person("Ann")
            discord.plan(Outcome.FAIL, Outcome.LIMIT)
            discord.says(ann, "hello")
            used = discord.uses(ann, "ask", text="hi")
            discord.tell_raw("INTERACTION_CREATE", {"type": 2, "token": "odd-one-token"})
            await eventually(lambda: len(discord.posts) == 2)
            discord.ask_to_reconnect()
            await eventually(lambda: discord.resumes)
        finally:
            await asyncio.to_thread(gateway.stop)
        written = gateway.log()
        assert "discord" in written
        for secret in (TOKEN, TOKEN.rpartition(".")[2], f"interaction-token-{used}", "odd-one"):
            assert secret not in written
        assert all(TOKEN not in path for path in discord.paths)


def test_nothing_of_it_is_imported_before_an_account_starts() -> None:
    import subprocess

    script = (
        "import sys; import portico.app; from portico.channels.manifest import find_manifests; "
        "assert 'discord' in find_manifests(); "
        "find_manifests()['discord'].settings(); "
        "print([m for m in ('discord', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
