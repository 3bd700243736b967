"""A Matrix account in a whole gateway: the real client library against a real homeserver."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portico.agents.runtime import AgentRuntime, Final, TextDelta
from portico.auth.model import Principal
from portico.channels.accounts import store as account_store
from portico.channels.accounts.supervisor import Supervisor
from portico.channels.contract import OutgoingPoll, Rejected
from portico.channels.model import Peer, ReplyRoute
from portico.protocol.scopes import Role, expand
from portico.rpc.call import Call
from tests.e2e.gateway import GatewayProcess
from tests.support.house import ALL_SCOPES
from tests.support.http import House, Scripted, house, settings
from tests.support.synapse import Person, Synapse
from tests.support.waiting import eventually

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAADCAYAAAC56t6BAAAAD0lEQVR42mNk+M9QzwAEAAmGAYCgJpZ0AAAAAElF"
)


def configured(bot: Person, **account: Any) -> dict[str, Any]:
    login = {} if "password" in account else {"accessToken": bot.token}
    matrix = {
        "homeserver": bot.url,
        "pollSeconds": 1,
        "dmPolicy": "open",
        "allowFrom": ["*"],
        "groupPolicy": "open",
        "groups": {"*": {}},
        **login,
        **account,
    }
    return settings(channels={"matrix": matrix}, messages={"queue": {"cap": 1000}})


@asynccontextmanager
async def matrix(
    folder: Path,
    bot: Person,
    *,
    runtime: AgentRuntime | None = None,
    state: str = "connected",
    **account: Any,
) -> AsyncIterator[House]:
    async with house(folder, configured(bot, **account), runtime=runtime) as gateway:
        try:
            await eventually(lambda: account_of(gateway).state.value == state)
        except TimeoutError:
            kept = account_of(gateway)
            raise AssertionError(f"the account is {kept.state}: {kept.error}") from None
        yield gateway


def account_of(gateway: House) -> Supervisor:
    found = gateway.gateway.path.accounts.find("matrix", "default")
    assert found is not None
    return found


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


def live_of(gateway: House) -> Any:
    found = account_of(gateway).live
    assert found is not None
    return found


async def recorded(gateway: House) -> list[Any]:
    found = await gateway.gateway.ground.store.read(account_store.list_events, channel="matrix")
    return [row.event for row in found]


async def until_recorded(gateway: House, key: str) -> Any:
    async def find() -> Any:
        return next((e for e in await recorded(gateway) if e.event_key == key), None)

    return await eventually(find)


def chat(ann: Person, bot: Person) -> str:
    """A one-to-one room that both are in."""
    room_id = ann.room(bot, is_direct=True)
    bot.join(room_id)
    return room_id


def club(ann: Person, bot: Person) -> str:
    room_id = ann.room(bot, name="Club")
    bot.join(room_id)
    return room_id


async def answered(ann: Person, bot: Person, room_id: str, *texts: str) -> None:
    try:
        await eventually(lambda: len(ann.said_by(bot, room_id)) >= len(texts))
    except TimeoutError:
        raise AssertionError(f"said: {ann.said_by(bot, room_id)}") from None
    assert ann.said_by(bot, room_id) == [*texts]


def route(room_id: str, *, thread_id: str | None = None) -> ReplyRoute:
    return ReplyRoute("matrix", "default", Peer("group", room_id), thread_id)


# -- coming in -------------------------------------------------------------------------------------


async def test_a_person_invites_writes_and_is_answered(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    async with matrix(tmp_path, bot) as gateway:
        room_id = ann.room(bot, is_direct=True)
        ann.say(room_id, "hello")  # perhaps before the invitation is accepted
        await answered(ann, bot, room_id, "Echo: hello")
        listed = bot.call("GET", f"/_matrix/client/v3/user/{bot.user_id}/account_data/m.direct")
        assert listed == {ann.user_id: [room_id]}
        assert account_of(gateway).seen.identity == {
            "id": bot.user_id,
            "name": "Bot",
            "deviceId": bot.device_id,
        }


async def test_nothing_that_was_said_before_it_was_started(
    tmp_path: Path, synapse: Synapse
) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = chat(ann, bot)
    ann.say(room_id, "long ago")
    async with matrix(tmp_path, bot):
        ann.say(room_id, "now")
        await answered(ann, bot, room_id, "Echo: now")


async def test_nothing_from_before_the_invitation(tmp_path: Path, synapse: Synapse) -> None:
    ann, bob, bot = synapse.person(), synapse.person("bob"), synapse.person("bot")
    async with matrix(tmp_path, bot, requireMention=False):
        room_id = ann.room(bob, name="Club")
        bob.join(room_id)
        for number in range(52):
            ann.say(room_id, f"among us {number}")
        ann.call("POST", f"/_matrix/client/v3/rooms/{room_id}/invite", {"user_id": bot.user_id})
        ann.say(room_id, "welcome")
        await answered(ann, bot, room_id, "Echo: welcome")


async def test_more_than_a_page_was_said_while_it_was_off(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = chat(ann, bot)
    runtime = Scripted()
    async with matrix(tmp_path, bot, runtime=runtime):
        ann.say(room_id, "first")
        await eventually(lambda: len(runtime.seen) == 1)
    texts = [f"number {number}" for number in range(75)]
    for text in texts:
        ann.say(room_id, text)
    async with matrix(tmp_path, bot, runtime=runtime):
        await eventually(lambda: len(runtime.seen) >= 76)
        assert [request.text for request in runtime.seen] == ["first", *texts]


async def test_too_much_to_catch_up_with_is_said(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = chat(ann, bot)
    runtime = Scripted()
    async with matrix(tmp_path, bot):
        pass
    for number in range(80):
        ann.say(room_id, f"number {number}")
    async with matrix(tmp_path, bot, runtime=runtime, catchUpLimit=10) as gateway:
        await eventually(lambda: runtime.seen and runtime.seen[-1].text == "number 79")
        seen = [request.text for request in runtime.seen]
        assert "number 10" not in seen
        assert seen[-60:] == [f"number {number}" for number in range(20, 80)]
        assert any("catchUpLimit" in e.data.get("problem", "") for e in await recorded(gateway))


async def test_rooms_mentions_and_replies(tmp_path: Path, synapse: Synapse) -> None:
    ann, bob, bot = synapse.person(), synapse.person("bob"), synapse.person("bot")
    runtime = Scripted()
    async with matrix(tmp_path, bot, runtime=runtime, replyToMode="all"):
        room_id = ann.room(bot, bob, name="Club")
        bob.join(room_id)
        await eventually(lambda: bot.user_id in ann.members(room_id))
        ann.say(room_id, "nobody listens")
        ann.say(room_id, "bothersome, is it not?")
        named = ann.say(room_id, "Bot: what time is it?")
        await eventually(lambda: len(runtime.seen) == 1)
        intended = {"m.mentions": {"user_ids": [bot.user_id]}}
        ann.say(room_id, "you there", **intended)
        await eventually(lambda: len(runtime.seen) == 2)
        ann.say(room_id, "Bot is a word, too", **{"m.mentions": {"user_ids": [bob.user_id]}})
        pill = f'<a href="https://matrix.to/#/{bot.user_id.replace(":", "%3A")}">Bot</a>: hm'
        formatted = {"format": "org.matrix.custom.html", "formatted_body": pill}
        ann.say(room_id, "B.: hm", **formatted)
        await eventually(lambda: len(runtime.seen) == 3)
        await eventually(lambda: len(ann.contents_by(bot, room_id)) == 3)
        mine = [e for e in ann.timeline(room_id) if e["sender"] == bot.user_id]
        last = next(e for e in reversed(mine) if e["type"] == "m.room.message")
        tie = {"m.in_reply_to": {"event_id": last["event_id"]}}
        bob.say(room_id, "> <@bot:x> done\n> more\n\nand now?", **{"m.relates_to": tie})
        await eventually(lambda: len(runtime.seen) == 4)
        assert runtime.seen[3].text.endswith("and now?")
        assert "> " not in runtime.seen[3].text
        first = ann.contents_by(bot, room_id)[0]
        assert first["m.relates_to"] == {"m.in_reply_to": {"event_id": named}}


async def test_threads_are_answered_where_they_are(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = club(ann, bot)
    async with matrix(tmp_path, bot, requireMention=False):
        root = ann.say(room_id, "a topic")
        await answered(ann, bot, room_id, "Echo: a topic")
        tie = {
            "rel_type": "m.thread",
            "event_id": root,
            "is_falling_back": True,
            "m.in_reply_to": {"event_id": root},
        }
        asked = ann.say(room_id, "in the thread", **{"m.relates_to": tie})
        await answered(ann, bot, room_id, "Echo: a topic", "Echo: in the thread")
        main, threaded = ann.contents_by(bot, room_id)
        assert "m.relates_to" not in main
        assert threaded["m.relates_to"] == {**tie, "m.in_reply_to": {"event_id": asked}}


async def test_what_is_no_message_is_recorded(tmp_path: Path, synapse: Synapse) -> None:
    ann, bob, bot = synapse.person(), synapse.person("bob"), synapse.person("bot")
    room_id = club(ann, bot)
    async with matrix(tmp_path, bot, requireMention=False) as gateway:
        said = ann.say(room_id, "first")
        await answered(ann, bot, room_id, "Echo: first")
        fresh = {"msgtype": "m.text", "body": "second"}
        replaces = {"rel_type": "m.replace", "event_id": said}
        edit = ann.say(room_id, "* second", **{"m.new_content": fresh, "m.relates_to": replaces})
        annotates = {"rel_type": "m.annotation", "event_id": said, "key": "👍"}
        reaction = ann.event(room_id, "m.reaction", {"m.relates_to": annotates})
        gone = ann.say(room_id, "oops", msgtype="m.notice")
        redaction = ann.redact(room_id, gone)
        ann.state(room_id, "m.room.topic", {"topic": "tea"})
        ann.call("POST", f"/_matrix/client/v3/rooms/{room_id}/invite", {"user_id": bob.user_id})
        bob.join(room_id)
        bob.leave(room_id)
        vote = {"m.relates_to": {"rel_type": "m.reference", "event_id": said}}
        answers = {"org.matrix.msc3381.poll.response": {"answers": ["1"]}}
        ballot = ann.event(room_id, "org.matrix.msc3381.poll.response", {**vote, **answers})
        ann.read(room_id, said)
        read = await until_recorded(gateway, f"read:{said}:{ann.user_id}")
        assert (read.kind, read.sender, read.target_id) == ("read", ann.user_id, said)
        found = {e.event_key: e for e in await recorded(gateway)}
        assert (found[edit].kind, found[edit].target_id) == ("edit", said)
        assert found[edit].data == {"text": "second"}
        assert (found[reaction].kind, found[reaction].data) == ("reaction", {"emoji": "👍"})
        assert (found[redaction].kind, found[redaction].target_id) == ("delete", gone)
        assert found[ballot].kind == "poll_answer"
        assert found[ballot].data == {"options": ["1"]}
        kinds = [(e.kind, e.sender) for e in found.values()]
        assert ("join", bob.user_id) in kinds
        assert ("leave", bob.user_id) in kinds
        assert any(e.data.get("type") == "m.room.topic" for e in found.values())
        assert ann.said_by(bot, room_id) == ["Echo: first"]


@pytest.mark.parametrize(
    ("account", "direct", "room"),
    [
        ({}, True, True),
        ({"groups": {}, "groupPolicy": "allowlist"}, True, False),
        ({"dmPolicy": "disabled"}, False, True),
        ({"dmPolicy": "allowlist", "allowFrom": ["@nobody:here"]}, False, True),
        ({"autoJoin": "off"}, False, False),
        ({"autoJoin": "always", "dmPolicy": "disabled", "groupPolicy": "disabled"}, True, True),
    ],
)
async def test_invitations_are_accepted_by_policy(
    tmp_path: Path, synapse: Synapse, account: dict[str, Any], direct: bool, room: bool
) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    async with matrix(tmp_path, bot, **account) as gateway:
        rooms = ann.room(bot, is_direct=True), ann.room(bot, name="Club")
        for room_id, is_wanted in zip(rooms, (direct, room), strict=True):
            event = await until_recorded(gateway, f"invite:{room_id}:{ann.user_id}")
            assert event.data["joined"] is is_wanted
            assert (bot.user_id in ann.members(room_id)) is is_wanted


async def test_a_third_person_makes_a_direct_room_a_group(tmp_path: Path, synapse: Synapse) -> None:
    ann, bob, bot = synapse.person(), synapse.person("bob"), synapse.person("bot")
    room_id = chat(ann, bot)
    runtime = Scripted()
    async with matrix(tmp_path, bot, runtime=runtime) as gateway:
        ann.say(room_id, "between us")
        await eventually(lambda: len(runtime.seen) == 1)
        ann.call("POST", f"/_matrix/client/v3/rooms/{room_id}/invite", {"user_id": bob.user_id})
        bob.join(room_id)
        ann.say(room_id, "not for you")
        last = bob.event(room_id, "org.example.mark", {})
        await until_recorded(gateway, last)
        assert len(runtime.seen) == 1
    async with matrix(tmp_path, bot, runtime=runtime) as gateway:  # nor after a restart
        ann.say(room_id, "not for you")
        last = bob.event(room_id, "org.example.mark", {})
        await until_recorded(gateway, last)
        assert len(runtime.seen) == 1


# -- files -----------------------------------------------------------------------------------------


async def test_files_come_in(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = chat(ann, bot)
    runtime = Scripted()
    async with matrix(tmp_path, bot, runtime=runtime, mediaMaxMb=1):
        picture = {"mimetype": "image/png", "size": len(PNG), "w": 2, "h": 3}
        url = ann.upload(PNG, "image/png")
        ann.say(room_id, "my cat", msgtype="m.image", url=url, filename="cat.png", info=picture)
        voice = {"org.matrix.msc3245.voice": {}, "info": {"mimetype": "audio/ogg"}}
        ann.say(room_id, "Voice", msgtype="m.audio", url=ann.upload(b"OggS"), **voice)
        large = ann.upload(b"x" * 2_000_000)
        ann.say(room_id, "big.bin", msgtype="m.file", url=large)  # its size is not told
        told = {"size": 9_000_000, "mimetype": "video/mp4"}
        ann.say(room_id, "film.mp4", msgtype="m.video", url=large, info=told)
        ann.say(room_id, "gone.zip", msgtype="m.file", url="mxc://portico.test/gone")
        ann.say(room_id, "Oslo", msgtype="m.location", geo_uri="geo:59.9,10.7")
        await eventually(lambda: len(runtime.seen) == 6)
        image, audio, *named, place = runtime.seen
        assert image.text == "my cat"
        (cat,) = image.attachments
        assert (cat.type, cat.file_name, cat.mime_type) == ("image", "cat.png", "image/png")
        assert cat.read() == PNG
        assert audio.attachments[0].type == "audio"
        assert audio.attachments[0].read() == b"OggS"
        assert [request.attachments[0].read() for request in named] == [None] * 3
        assert place.text == "[location Oslo, geo:59.9,10.7]"


async def test_files_of_strangers_are_not_fetched(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = chat(ann, bot)
    async with matrix(tmp_path, bot, dmPolicy="allowlist", allowFrom=["@x:y"]) as gateway:
        fetched: list[str] = []

        async def download(mxc: str, *, max_bytes: int) -> bytes:
            fetched.append(mxc)
            return b""

        live_of(gateway)._home.download = download
        ann.say(room_id, "a.bin", msgtype="m.file", url=ann.upload(b"x"))
        mark = ann.event(room_id, "org.example.mark", {})
        await until_recorded(gateway, mark)
        assert fetched == []


async def test_files_go_out(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = chat(ann, bot)
    async with matrix(tmp_path, bot) as gateway:
        media = (
            f"data:image/png;base64,{base64.b64encode(PNG).decode()}",
            "data:audio/ogg;base64,T2dnUw==",
            "data:text/plain,hello",
            "http://127.0.0.1:1/private",
        )
        await gateway.gateway.path.outbox.send(
            route(room_id), "look", media=media, session_key=None
        )
        await eventually(lambda: len(ann.contents_by(bot, room_id)) == 4)
        text, image, voice, file = ann.contents_by(bot, room_id)
        assert text["body"].startswith("look\n\n[a file is missing: ")
        assert image["msgtype"] == "m.image"
        assert image["info"] == {"mimetype": "image/png", "size": len(PNG), "w": 2, "h": 3}
        assert ann.download(image["url"]) == PNG
        assert (voice["msgtype"], "org.matrix.msc3245.voice" in voice) == ("m.audio", True)
        assert (file["msgtype"], ann.download(file["url"])) == ("m.file", b"hello")


# -- going out -------------------------------------------------------------------------------------


async def test_markdown_is_formatted(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = chat(ann, bot)
    said = f"**bold** <b> [x](javascript:1) ![p](https://e.org/p.png) {ann.user_id}"
    async with matrix(tmp_path, bot, runtime=Scripted(Final(said))):
        ann.say(room_id, "go")
        await answered(ann, bot, room_id, said)
        (content,) = ann.contents_by(bot, room_id)
        markup = content["formatted_body"]
        assert "<strong>bold</strong> &lt;b&gt; [x](javascript:1) p (https://e.org/p.png)" in markup
        assert f'<a href="https://matrix.to/#/{ann.user_id}">{ann.user_id}</a>' in markup
        assert content["m.mentions"] == {"user_ids": [ann.user_id]}


async def test_an_answer_grows_in_one_message(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = chat(ann, bot)
    runtime = Growing()
    async with matrix(tmp_path, bot, runtime=runtime):
        asked = ann.say(room_id, "go")
        await answered(ann, bot, room_id, "It begins with these words")
        runtime.go.set()
        whole = "It begins with these words and **ends** so."
        await eventually(lambda: ann.said_by(bot, room_id) == [whole])
        (content,) = ann.contents_by(bot, room_id)
        assert "<strong>ends</strong>" in content["formatted_body"]
        sync = ann.call("GET", "/_matrix/client/v3/sync", timeout=0)
        ephemeral = sync["rooms"]["join"][room_id]["ephemeral"]["events"]
        read = next(e for e in ephemeral if e["type"] == "m.receipt")["content"]
        assert bot.user_id in read[asked]["m.read"]


class Growing(Scripted):
    async def run(self, turn: Any) -> AsyncIterator[Any]:
        yield TextDelta("It begins with these words")
        await self.go.wait()
        yield TextDelta(" and **ends** so.")
        yield Final("It begins with these words and **ends** so.")

    def __init__(self) -> None:
        super().__init__(held=True)


async def test_what_an_account_can_do_besides(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = club(ann, bot)
    async with matrix(tmp_path, bot) as gateway:
        account = live_of(gateway)
        said = ann.say(room_id, "hello")
        await account.react(route(room_id), said, "👍")
        await account.react(route(room_id), said, "👍")  # it is there already
        reactions = [e for e in ann.timeline(room_id) if e["type"] == "m.reaction"]
        assert [e["content"]["m.relates_to"]["key"] for e in reactions] == ["👍"]
        await account.react(route(room_id), said, "👍", remove=True)
        assert not any(e["content"] for e in ann.timeline(room_id) if e["type"] == "m.reaction")
        sent = await gateway.gateway.path.outbox.send(
            route(room_id), "wrong", media=(), session_key=None
        )

        async def receipt() -> Any:
            delivery = await gateway.gateway.path.outbox.find(sent)
            return delivery and delivery.receipt

        message_id = (await eventually(receipt))["messageId"]
        assert ann.said_by(bot, room_id) == ["wrong"]
        await account.edit(route(room_id), message_id, "right")
        assert ann.said_by(bot, room_id) == ["right"]
        await account.delete(route(room_id), message_id)
        assert ann.said_by(bot, room_id) == []

        poll = OutgoingPoll("dlv_poll", route(room_id), "Tea?", ("yes", "no"))
        first, again = await account.send_poll(poll), await account.send_poll(poll)
        assert first == again
        (event,) = [e for e in ann.timeline(room_id) if "poll.start" in e["type"]]
        start = event["content"]["org.matrix.msc3381.poll.start"]
        assert [a["org.matrix.msc1767.text"] for a in start["answers"]] == ["yes", "no"]

        found = await account.directory(query="club", limit=10)
        assert [(one.kind, one.id) for one in found] == [("group", room_id)]
        assert ann.user_id in {one.id for one in await account.directory(query="", limit=10)}
        assert (await account.probe())["ok"] is True
        with pytest.raises(Rejected):
            await account.edit(route("!no:where"), "$event", "x")
        with pytest.raises(Rejected):
            await account.edit(route("just a name"), "$event", "x")


async def test_somebody_never_met_is_written_to(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    async with matrix(tmp_path, bot) as gateway:
        to_ann = ReplyRoute("matrix", "default", Peer("direct", ann.user_id))
        for text in ("good morning", "still there?"):
            await gateway.gateway.path.outbox.send(to_ann, text, media=(), session_key=None)
        (room_id,) = await eventually(ann.invitations)
        ann.join(room_id)
        await answered(ann, bot, room_id, "good morning", "still there?")
        ann.say(room_id, "yes")
        await answered(ann, bot, room_id, "good morning", "still there?", "Echo: yes")


async def test_the_same_delivery_again_is_the_same_event(tmp_path: Path, synapse: Synapse) -> None:
    from portico.channels.contract import Outgoing

    ann, bot = synapse.person(), synapse.person("bot")
    room_id = chat(ann, bot)
    message = Outgoing("dlv_same", route(room_id), "once")
    receipts = []
    for _ in range(2):  # across a restart, too: the token is the same
        async with matrix(tmp_path, bot) as gateway:
            receipts += [await live_of(gateway).send(message) for _ in range(2)]
    assert ann.said_by(bot, room_id) == ["once"]
    assert len({receipt.message_id for receipt in receipts}) == 1


async def test_limits_of_the_server_are_waited_for(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = chat(ann, bot)
    synapse.limit(bot, per_second=1, burst=1)
    async with matrix(tmp_path, bot, streaming="off") as gateway:
        for number in range(3):
            text = f"number {number}"
            await gateway.gateway.path.outbox.send(route(room_id), text, media=(), session_key=None)
        await answered(ann, bot, room_id, *[f"number {number}" for number in range(3)])


# -- logging in ------------------------------------------------------------------------------------


def login_file(folder: Path) -> Path:
    (found,) = folder.rglob("login.json")
    return found


async def test_a_password_logs_in_once(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = chat(ann, bot)
    name = "The gateway"
    login: Any = {"userId": bot.user_id, "password": bot.password, "deviceName": name}
    seen = []
    for text in ("one", "two"):
        async with matrix(tmp_path, bot, **login):
            ann.say(room_id, text)
            await eventually(lambda text=text: f"Echo: {text}" in ann.said_by(bot, room_id))
        file = login_file(tmp_path)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        seen.append(json.loads(file.read_text()))
    assert seen[0] == seen[1]
    devices = {one["device_id"]: one for one in bot.call("GET", DEVICES)["devices"]}
    assert devices[seen[0]["deviceId"]]["display_name"] == "The gateway"

    async with matrix(tmp_path, bot, **login) as gateway:
        request = b'{"channel": "matrix"}'
        done = await gateway.gateway.front.dispatcher.request(
            "channels.logout", request, operator()
        )
        assert done.cleared
    assert seen[0]["deviceId"] not in {d["device_id"] for d in bot.call("GET", DEVICES)["devices"]}
    assert json.loads(login_file(tmp_path).read_text())["accessToken"] is None


DEVICES = "/_matrix/client/v3/devices"


async def test_refused_credentials_wait_for_a_person(tmp_path: Path, synapse: Synapse) -> None:
    bot = synapse.person("bot")
    login: Any = {"userId": bot.user_id, "password": "wrong"}
    async with matrix(tmp_path / "a", bot, state="login", **login) as gateway:
        assert "password" in (account_of(gateway).error or "")
    wrong = replace(bot, token="syt_wrong")
    async with matrix(tmp_path / "b", wrong, state="login") as gateway:
        assert "M_UNKNOWN_TOKEN" in (account_of(gateway).error or "")
    async with matrix(tmp_path / "c", bot) as gateway:
        bot.call("POST", "/_matrix/client/v3/logout", {})
        await eventually(lambda: account_of(gateway).state.value == "login")


async def test_a_login_that_ended_begins_anew_with_its_device(
    tmp_path: Path, synapse: Synapse
) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = chat(ann, bot)
    login: Any = {"userId": bot.user_id, "password": bot.password}
    async with matrix(tmp_path, bot, **login) as gateway:
        first = json.loads(login_file(tmp_path).read_text())
        gateways = replace(bot, token=first["accessToken"])
        gateways.call("POST", "/_matrix/client/v3/logout", {})
        await eventually(lambda: account_of(gateway).state.value == "login")
        ann.say(room_id, "meanwhile")
        await gateway.gateway.path.accounts.want("matrix", "default", "running")
        await answered(ann, bot, room_id, "Echo: meanwhile")
        second = json.loads(login_file(tmp_path).read_text())
        assert first["accessToken"] != second["accessToken"]
        assert first["deviceId"] == second["deviceId"]


async def test_settings_without_a_login_are_named(tmp_path: Path, synapse: Synapse) -> None:
    config = settings(channels={"matrix": {"homeserver": synapse.url}})
    async with house(tmp_path, config) as gateway:
        await eventually(lambda: "accessToken" in (account_of(gateway).error or ""))


async def test_the_token_is_in_no_log(tmp_path: Path, synapse: Synapse) -> None:
    ann, bot = synapse.person(), synapse.person("bot")
    room_id = chat(ann, bot)
    config = {**configured(bot), "logging": {"level": "debug"}}
    config["gateway"]["port"] = 0
    gateway = GatewayProcess(tmp_path, config=config)
    await asyncio.to_thread(gateway.start)
    try:

        async def is_heard() -> bool:
            ann.say(room_id, "a word nobody logs")
            await asyncio.sleep(0.3)
            return bool(ann.said_by(bot, room_id))

        await eventually(is_heard)
        bot.call("POST", "/_matrix/client/v3/logout", {})
        await eventually(lambda: "matrix" in gateway.log() and "login" in gateway.log())
    finally:
        await asyncio.to_thread(gateway.stop)
    assert bot.token not in gateway.log()
    assert "a word nobody logs" not in gateway.log()
