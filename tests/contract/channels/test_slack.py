"""A Slack app in a whole gateway: the real client library against a faithful Slack."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from portico.agents.runtime import AgentRuntime, Final, TextDelta
from portico.channels.accounts import store as account_store
from portico.channels.accounts.supervisor import Supervisor
from portico.channels.contract import Outgoing, RateLimited, Rejected
from portico.channels.model import Peer, ReplyRoute
from portico.channels.slack import looking
from tests.contract.channels.test_telegram import operator
from tests.e2e.gateway import GatewayProcess
from tests.fakes.slack import (
    APP_TOKEN,
    BOT,
    BOT_TOKEN,
    SECRET,
    Broken,
    Channel,
    FakeSlack,
    Late,
    Limited,
    Lost,
    Refused,
    User,
)
from tests.support.http import House, Scripted, house, listening, settings
from tests.support.waiting import eventually

PNG = b"\x89PNG\r\n\x1a\n not really"
ME = f"<@{BOT['user_id']}>"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "SETTLE_S", 0.3)


def configured(slack: FakeSlack, **account: Any) -> dict[str, Any]:
    app = {
        "dmPolicy": "open",
        "allowFrom": ["*"],
        "groupPolicy": "open",
        "groups": {"*": {}},
        **slack.settings(**account),
    }
    quick = {"restart": {"firstMs": 20, "longestMs": 200}}
    return settings(channels={"slack": app, "defaults": quick})


@asynccontextmanager
async def app(
    folder: Path,
    slack: FakeSlack,
    *,
    runtime: AgentRuntime | None = None,
    state: str = "connected",
    **account: Any,
) -> AsyncIterator[House]:
    async with house(folder, configured(slack, **account), runtime=runtime) as gateway:
        await eventually(lambda: account_of(gateway).state.value == state)
        yield gateway


def account_of(gateway: House, name: str = "default") -> Supervisor:
    found = gateway.gateway.path.accounts.find("slack", name)
    assert found is not None
    return found


def live(gateway: House) -> Any:
    found = account_of(gateway).live
    assert found is not None
    return found


async def answered(slack: FakeSlack, where: User | Channel, *texts: str) -> None:
    await eventually(lambda: len(slack.texts(where)) >= len(texts))
    assert slack.texts(where) == [*texts]


async def recorded(gateway: House) -> list[Any]:
    found = await gateway.gateway.ground.store.read(account_store.list_events, channel="slack")
    return [one.event for one in found]


async def states(gateway: House) -> list[str]:
    found = await gateway.gateway.front.dispatcher.request("deliveries.list", b"{}", operator())
    return sorted(d.state for d in found.deliveries)


# -- people


async def test_a_person_writes_and_is_answered(tmp_path: Path) -> None:
    runtime = Scripted(Final("hello, Ann"))
    async with FakeSlack() as slack, app(tmp_path, slack, runtime=runtime) as gateway:
        ann = slack.person("Ann")
        slack.says(ann, "a &lt; b &amp; c")
        await answered(slack, ann, "hello, Ann")
        assert runtime.seen[0].text == "a < b & c"
        identity = account_of(gateway).seen.identity
        assert identity is not None
        assert (identity["id"], identity["username"]) == (BOT["user_id"], "portico")
        await eventually(lambda: not slack.pending)
        assert await recorded(gateway) == []  # its own messages are told to it, and no news
        assert slack.leaks == []


async def test_what_agents_read_of_links_mentions_and_channels(tmp_path: Path) -> None:
    runtime = Scripted()
    async with FakeSlack() as slack, app(tmp_path, slack, runtime=runtime):
        ann = slack.person("Ann")
        said = (
            f"{ME} see <https://e.org/?a=1&amp;b=2|the page>, <https://e.org>, <#C1|general>, "
            "<@U9|bob>, <@U8ZZZZZ>, <!here>, <mailto:a@b.c|a@b.c> &lt;3"
        )
        forwarded = [{"is_share": True, "text": "old\nnews"}]
        slack.says(ann, said, attachments=forwarded)
        await answered(slack, ann, "done")
        assert runtime.seen[0].text == (
            "@portico see [the page](https://e.org/?a=1&b=2), https://e.org, #general, "
            "@bob, <@U8ZZZZZ>, @here, a@b.c <3\n> old\n> news"
        )


async def test_a_mention_in_a_channel_is_one_message_and_the_rest_is_context(
    tmp_path: Path,
) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        ann, club = slack.person("Ann"), slack.channel("club")
        slack.says(ann, "nobody listens", to=club)
        slack.says(ann, f"{ME} what time is it?", to=club)
        await answered(slack, club, "Echo: @portico what time is it?")
        await eventually(lambda: not slack.pending)
        assert len(slack.told) >= 3  # message, app_mention, message
        assert slack.texts(club) == ["Echo: @portico what time is it?"]
        assert "thread_ts" not in slack.sent[0]
        found = await gateway.gateway.front.dispatcher.request("inbox.list", b"{}", operator())
        assert sorted(m.state for m in found.messages) == ["context", "queued"]


async def test_answers_go_into_the_thread_when_they_are_told_to(tmp_path: Path) -> None:
    async with FakeSlack() as slack:
        by_type = {"direct": "off"}
        async with app(
            tmp_path, slack, replyToMode="all", replyToModeByChatType=by_type
        ) as gateway:
            ann, club = slack.person("Ann"), slack.channel("club", "group")
            slack.says(ann, f"{ME} hello", to=club)
            await answered(slack, club, "Echo: @portico hello")
            root = slack.sent[0]["thread_ts"]
            assert slack.messages[club.id, root]["text"] == f"{ME} hello"
            slack.says(ann, "and now?", to=club, thread=root)  # it has spoken there: addressed
            await answered(slack, club, "Echo: @portico hello", "Echo: and now?")
            assert slack.sent[1]["thread_ts"] == root
            slack.says(ann, "directly")
            await answered(slack, ann, "Echo: directly")
            assert "thread_ts" not in slack.sent[2]
            found = await gateway.gateway.front.dispatcher.request("inbox.list", b"{}", operator())
            in_thread = {m.session_key for m in found.messages if m.thread_id == root}
            assert len(in_thread) == 1


async def test_threads_and_group_messages_are_conversations_of_their_own(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        ann, few = slack.person("Ann"), slack.channel("few", "mpim")
        first = slack.says(ann, "a thread begins", to=few)
        root = slack.told[first].payload["event"]["ts"]
        slack.says(ann, f"{ME} here?", to=few, thread=root)
        await answered(slack, few, "Echo: @portico here?")
        assert slack.sent[0]["thread_ts"] == root
        found = await gateway.gateway.front.dispatcher.request("inbox.list", b"{}", operator())
        assert {m.peer["kind"] for m in found.messages} == {"group"}


async def test_bots_are_recorded_and_not_answered_unless_they_may_be(tmp_path: Path) -> None:
    async with FakeSlack() as slack:
        ann, robot = slack.person("Ann"), slack.person("Robot", is_bot=True)
        async with app(tmp_path / "a", slack) as gateway:
            slack.says(robot, "beep", bot_id="B0OTHER")
            slack.says(ann, "hi")
            await answered(slack, ann, "Echo: hi")
            (event,) = await eventually(lambda: recorded(gateway))
            assert (event.kind, event.data["text"]) == ("other", "beep")
            assert slack.texts(robot) == []
        async with app(tmp_path / "b", slack, allowBots=True):
            slack.says(robot, "boop", bot_id="B0OTHER")
            await answered(slack, robot, "Echo: boop")


async def test_slash_commands_and_buttons(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        ann, club = slack.person("Ann"), slack.channel("club")
        trigger = slack.command(ann, "/portico", "what &amp; when", to=club)
        await answered(slack, club, "Echo: what & when")
        assert slack.told[trigger].answer == {"response_type": "in_channel"}
        slack.command(ann, "/portico", "directly")
        await answered(slack, ann, "Echo: directly")
        slack.command(ann, "/portico")
        slack.presses(ann, "approve", "yes", channel=club.id, ts=slack.sent[0]["ts"])
        await eventually(lambda: not slack.pending)
        pressed, given = await recorded(gateway)
        if pressed.data["type"] == "slash_command":
            pressed, given = given, pressed
        assert (given.kind, given.data["command"]) == ("action", "/portico")
        assert (pressed.kind, pressed.target_id) == ("action", slack.sent[0]["ts"])
        assert pressed.data["actions"][0]["value"] == "yes"


async def test_edits_deletions_reactions_and_joins_are_recorded(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        ann, club = slack.person("Ann"), slack.channel("club")
        where = {"channel": club.id, "channel_type": "channel"}
        old = {"type": "message", "user": ann.id, "text": "first", "ts": "5.5"}
        new = {**old, "text": "second &amp; last"}
        slack.event(
            {
                "type": "message",
                "subtype": "message_changed",
                **where,
                "message": new,
                "previous_message": old,
            }
        )
        slack.event(
            {
                "type": "message",
                "subtype": "message_deleted",
                **where,
                "deleted_ts": "5.5",
                "previous_message": new,
            }
        )
        item = {"type": "message", "channel": ann.dm, "ts": "5.5"}
        for kind in ("reaction_added", "reaction_removed"):
            slack.event({"type": kind, "user": ann.id, "reaction": "eyes", "item": item})
        slack.event({"type": "member_joined_channel", "user": ann.id, **where})
        slack.event({"type": "member_left_channel", "user": ann.id, **where})
        slack.event({"type": "channel_rename", "channel": {"id": club.id, "name": "new"}})
        own = {"type": "reaction_added", "user": BOT["user_id"], "reaction": "eyes", "item": item}
        slack.event(own)
        await eventually(lambda: not slack.pending)
        found = {one.kind: one for one in await recorded(gateway)}
        kinds = sorted(one.kind for one in await recorded(gateway))
        assert kinds == ["delete", "edit", "join", "leave", "other", "reaction", "reaction"]
        assert (found["edit"].target_id, found["edit"].data) == ("5.5", {"text": "second & last"})
        assert found["delete"].target_id == "5.5"
        assert found["reaction"].peer == Peer("direct", ann.id)
        assert found["join"].sender == ann.id


# -- files


async def test_files_come_in_and_the_token_goes_to_slack_only(tmp_path: Path) -> None:
    runtime = Scripted()
    async with FakeSlack() as slack, app(tmp_path, slack, runtime=runtime, mediaMaxMb=1):
        ann = slack.person("Ann")
        picture = slack.file(PNG, "cat.png", "image/png")
        large = slack.file(b"x" * 2_000_000, "film.mp4", "video/mp4")
        unsized = slack.file(b"y" * 2_000_000, "long.bin", "application/zip", size=None)
        outside = slack.file(b"z", "x.pdf", "application/pdf")
        foreign = {**outside, "url_private_download": "http://127.0.0.1:9/x.pdf"}
        away = slack.file(b"z", "y.pdf", "application/pdf", elsewhere="http://127.0.0.1:9/y")
        gone = slack.file(b"z", "z.pdf", "application/pdf")
        del slack.contents[gone["id"]]
        slack.says(ann, "look", files=[picture, large, unsized, foreign, away, gone])
        await answered(slack, ann, "done")
        files = runtime.seen[0].attachments
        assert [f.type for f in files] == ["image", "video", "file", "file", "file", "file"]
        assert files[0].read() == PNG
        assert files[0].file_name == "cat.png"
        assert [f.content for f in files[1:]] == [None] * 5
        assert files[1].size_bytes == 2_000_000


async def test_files_of_strangers_are_named_and_not_fetched(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack, dmPolicy="pairing", allowFrom=[]):
        ann = slack.person("Ann")
        slack.says(ann, "look", files=[slack.file(PNG, "cat.png", "image/png")])
        await eventually(lambda: slack.texts(ann))
        assert slack.fetched == []


async def test_a_login_page_is_not_taken_for_a_file(tmp_path: Path) -> None:
    runtime = Scripted()
    async with FakeSlack() as slack, app(tmp_path, slack, runtime=runtime):
        ann = slack.person("Ann")
        picture = slack.file(PNG, "cat.png", "image/png")
        slack.bot_token = "xoxb-another"  # as when the app lacks the scope
        slack.says(ann, "look", files=[picture])
        await eventually(lambda: runtime.seen)
        assert runtime.seen[0].attachments[0].read() is None


async def test_files_go_out_after_their_text_in_the_thread(tmp_path: Path) -> None:
    data = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        ann, club = slack.person("Ann"), slack.channel("club")
        slack.says(ann, f"{ME} hi", to=club)
        await answered(slack, club, "Echo: @portico hi")
        root = slack.sent[0]["ts"]
        route = ReplyRoute("slack", "default", Peer("channel", club.id), root)
        await gateway.gateway.path.outbox.send(route, "the cat", media=(data,), session_key=None)
        await eventually(lambda: len(slack.sent) == 3)
        assert [one["thread_ts"] for one in slack.sent[1:]] == [root, root]
        (shared,) = slack.sent[2]["files"]
        assert slack.contents[shared["id"]] == PNG

        # The answer to the last step is lost: the file is not shown twice.
        slack.plan("files.completeUploadExternal", Lost())
        await gateway.gateway.path.outbox.send(route, "again", media=(data,), session_key=None)
        await settled(gateway, "sent", "sent", "sent")
        assert len(slack.sent) == 5

        # What is certainly missing of it is brought, and the text not said again.
        slack.plan("files.getUploadURLExternal", Refused("service_unavailable"))
        await gateway.gateway.path.outbox.send(route, "third", media=(data,), session_key=None)
        await settled(gateway, *["sent"] * 4)
        assert [one["text"] for one in slack.sent[5:]] == ["third", ""]
        assert slack.leaks == []


async def settled(gateway: House, *wanted: str) -> None:
    async def are_so() -> bool:
        return await states(gateway) == sorted(wanted)

    await eventually(are_so)


# -- out


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("**bold** and `code` <b>", "*bold* and `code` <b>"),
        ("<!channel> <@U12345> <@everyone>", "<!channel> <@U12345> <@everyone>"),
        ("[x](javascript:alert) [y](https://e.org)", "[x](javascript:alert) y"),
        ("```py\na < b\n```", "```\na < b\n```"),
    ],
)
async def test_markdown_is_formatted(tmp_path: Path, said: str, shown: str) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack, runtime=Scripted(Final(said))):
        ann = slack.person("Ann")
        slack.says(ann, "go")
        await answered(slack, ann, shown)
        assert "<!channel>" not in slack.sent[0]["text"]


async def test_a_limit_is_waited_for_and_a_lost_answer_is_looked_for(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        ann, bob = slack.person("Ann"), slack.person("Bob")
        slack.plan("chat.postMessage", Limited(1))
        slack.says(ann, "hi")
        await answered(slack, ann, "Echo: hi")
        assert slack.calls.count("chat.postMessage") == 2

        slack.plan("chat.postMessage", Lost())
        slack.says(bob, "hi")
        await settled(gateway, "sent", "sent")
        assert slack.texts(bob) == ["Echo: hi"]
        assert slack.calls.count("conversations.history") == 1


async def test_what_arrives_late_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "SETTLE_S", 1.5)
    async with FakeSlack() as slack, app(tmp_path, slack, replyToMode="all") as gateway:
        ann, club = slack.person("Ann"), slack.channel("club")
        slack.page = 3
        slack.plan("chat.postMessage", Late(1.2))
        slack.says(ann, f"{ME} hi", to=club)
        await settled(gateway, "sent")
        await eventually(lambda: slack.sent)
        assert slack.texts(club) == ["Echo: @portico hi"]
        assert slack.calls.count("conversations.replies") >= 2


async def test_what_slack_refuses_is_failed_with_its_reason(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        ann, old = slack.person("Ann"), slack.channel("old")
        slack.says(ann, f"{ME} hi", to=old)
        old.is_archived = True
        slack.plan("chat.postMessage", Refused("missing_scope", {"needed": "chat:write"}))
        await settled(gateway, "failed")
        found = await gateway.gateway.front.dispatcher.request("deliveries.list", b"{}", operator())
        assert "chat:write" in (found.deliveries[0].last_error or "")


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (Broken(503), "sent"),
        (Refused("service_unavailable"), "sent"),
        (Broken(502), "sent"),  # uncertain: looked for, not there, sent
        (Broken(200, "{no json", "application/json"), "sent"),
        (Broken(500, "oh", "text/plain"), "sent"),
        (Refused("internal_error"), "sent"),
        (Refused("msg_too_long"), "failed"),
        (Refused("not_in_channel"), "failed"),
        (Refused("token_revoked"), "failed"),
    ],
)
async def test_each_error_has_its_consequence(tmp_path: Path, fault: Any, state: str) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        ann = slack.person("Ann")
        slack.plan("chat.postMessage", fault)
        slack.says(ann, "hi")
        await settled(gateway, state)
        assert slack.texts(ann) == (["Echo: hi"] if state == "sent" else [])


async def test_what_cannot_be_looked_for_is_left_to_a_person(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        ann = slack.person("Ann")
        slack.plan("chat.postMessage", Lost())
        slack.plan("conversations.history", Refused("missing_scope", {"needed": "im:history"}))
        slack.says(ann, "hi")
        await settled(gateway, "unknown")
        assert slack.texts(ann) == ["Echo: hi"]


async def test_metadata_that_is_not_shown_is_not_taken_for_absence(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        slack.shows_metadata = False
        ann, bob = slack.person("Ann"), slack.person("Bob")
        slack.plan("chat.postMessage", Lost())
        slack.says(ann, "hi")
        await settled(gateway, "unknown")
        slack.plan("chat.postMessage", Broken())
        slack.says(bob, "hi")  # nothing of the app is there at all
        await settled(gateway, "sent", "unknown")
        assert (slack.texts(ann), slack.texts(bob)) == (["Echo: hi"], ["Echo: hi"])


async def test_long_answers_come_in_pieces_in_order(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack, streaming="off"):
        ann = slack.person("Ann")
        slack.says(ann, "/sim words=1500")
        whole = "".join(f"word{n}" for n in range(1500))
        await eventually(lambda: len(letters(slack, ann)) >= len(whole))
        assert letters(slack, ann) == whole
        assert len(slack.sent) >= 3
        assert all(len(one["text"]) <= 4000 for one in slack.sent)


def letters(slack: FakeSlack, who: User) -> str:
    return "".join("".join(slack.texts(who)).split())


async def test_an_answer_is_shown_while_it_grows_and_becomes_the_message(tmp_path: Path) -> None:
    growing = Growing()
    async with FakeSlack() as slack, app(tmp_path, slack, runtime=growing) as gateway:
        ann = slack.person("Ann")
        slack.says(ann, "tell me")
        await eventually(lambda: slack.sent)
        assert slack.texts(ann) == ["Once upon a time there was a *king*"]
        growing.more.set()
        await settled(gateway, "sent")
        assert slack.texts(ann) == ["Once upon a time there was a *king* and he died."]
        assert len(slack.sent) == 1
        await eventually(lambda: not slack.pending)
        assert await recorded(gateway) == []  # edits of its own


class Growing(Scripted):
    """An answer in two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.more = asyncio.Event()

    async def run(self, turn: Any) -> AsyncIterator[Any]:
        first = "Once upon a time there was a **king**"
        yield TextDelta(first)
        await self.more.wait()
        yield Final(f"{first} and he died.")


async def test_a_preview_that_is_gone_or_too_small_makes_way(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        ann = slack.person("Ann")
        account = live(gateway)
        route = ReplyRoute("slack", "default", Peer("direct", ann.id))
        await account.preview(route, "run-1", "so far")
        with pytest.raises(RateLimited):
            await account.preview(route, "run-2", "too soon")
        slack.messages.clear()
        sent = Outgoing("dlv-1", route, "the end", run_id="run-1")
        await account.send(sent)
        assert slack.texts(ann) == ["the end"]
        account._edit_due_s = 0
        await account.preview(route, "run-3", "x&" * 3000)
        assert len(slack.sent[-1]["text"]) <= 4000
        await account.send(Outgoing("dlv-2", route, "&" * 3000, run_id="run-3"))
        assert slack.texts(ann) == ["the end", "&" * 3000]
        account._edit_due_s = 0
        await account.preview(route, "run-4", "never mind")
        await account.drop_preview("run-4")
        assert slack.texts(ann) == ["the end", "&" * 3000]


async def test_a_preview_left_by_a_crash_becomes_the_message(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        ann = slack.person("Ann")
        account = live(gateway)
        route = ReplyRoute("slack", "default", Peer("direct", ann.id))
        await account.preview(route, "run-1", "so far")
        account._previews.clear()  # as another process knows of it
        sent = Outgoing("dlv-1", route, "the end", run_id="run-1", may_have_arrived=True)
        first, again = await account.send(sent), await account.send(sent)
        assert first == again
        assert slack.texts(ann) == ["the end"]


async def test_a_preview_whose_answer_was_lost_is_not_shown_twice(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        ann = slack.person("Ann")
        account = live(gateway)
        route = ReplyRoute("slack", "default", Peer("direct", ann.id))
        slack.plan("chat.postMessage", Lost())
        await account.preview(route, "run-1", "so far")
        account._edit_due_s = 0
        await account.preview(route, "run-1", "so far so good")
        await account.send(Outgoing("dlv-1", route, "the end", run_id="run-1"))
        assert slack.texts(ann) == ["the end"]


async def test_editing_reacting_typing_and_who_is_there(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack, typingReaction="eyes") as gateway:
        ann, club = slack.person("Ann"), slack.channel("club")
        slack.page = 1
        slack.says(ann, "hi")
        await answered(slack, ann, "Echo: hi")
        await eventually(lambda: [r[0] for r in slack.reactions] == ["add", "remove"])
        account, ts = live(gateway), slack.sent[0]["ts"]
        route = ReplyRoute("slack", "default", Peer("direct", ann.id))
        await account.edit(route, ts, "**new**")
        assert slack.texts(ann) == ["*new*"]
        await account.react(route, ts, "👍")
        await account.react(route, ts, ":thumbsup:")  # already there: fine
        assert slack.reactions[-1] == ("add", ann.dm, ts, "thumbsup")
        with pytest.raises(Rejected, match="name"):
            await account.react(route, ts, "🦖🦖")
        with pytest.raises(Rejected):
            await account.react(route, "1.1", "eyes")
        await account.delete(route, ts)
        assert slack.texts(ann) == []
        thread = ReplyRoute("slack", "default", Peer("channel", club.id), "7.7")
        await account.typing(thread, on=True)
        await account.typing(thread, on=False)
        assert [s["status"] != "" for s in slack.statuses] == [True, False]
        slack.plan("assistant.threads.setStatus", Refused("missing_scope"))
        for _ in range(3):
            await account.typing(thread, on=True)
        assert slack.calls.count("assistant.threads.setStatus") == 3
        everybody = await account.directory(query="", limit=10)
        assert [(e.kind, e.name) for e in everybody] == [("user", "Ann"), ("channel", "club")]
        (one,) = await account.directory(query="#clu", limit=10)
        assert one.id == club.id
        assert (await account.probe())["ok"] is True
        slack.plan("auth.test", Refused("invalid_auth"))
        assert (await account.probe())["ok"] is False


# -- the connection


@pytest.mark.parametrize("reason", ["warning", "refresh_requested", "of the future"])
async def test_a_new_connection_stands_before_the_old_one_goes(tmp_path: Path, reason: str) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack) as gateway:
        ann = slack.person("Ann")
        generation = account_of(gateway).seen.generation
        (old,) = slack.sockets
        for number in range(3):
            await slack.disconnect(reason)
            slack.says(ann, f"hi {number}")
            await eventually(lambda n=number: len(slack.texts(ann)) == n + 1)
        assert slack.texts(ann) == ["Echo: hi 0", "Echo: hi 1", "Echo: hi 2"]
        await eventually(lambda: len(slack.sockets) == 1)
        assert old.is_closed
        assert slack.most_sockets == 2
        assert account_of(gateway).seen.generation == generation
        assert account_of(gateway).state.value == "connected"


async def test_what_the_old_connection_still_has_is_acknowledged_on_it(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack):
        ann = slack.person("Ann")
        keys = [slack.says(ann, f"hi {number}") for number in range(5)]
        await slack.disconnect("refresh_requested")
        await eventually(lambda: all(slack.told[key].is_acknowledged for key in keys))
        assert [slack.told[key].attempts for key in keys] == [1] * 5
        await eventually(lambda: len(slack.texts(ann)) == 5)


async def test_a_socket_that_is_closed_without_a_notice_is_made_anew(tmp_path: Path) -> None:
    async with FakeSlack() as slack, app(tmp_path, slack):
        ann = slack.person("Ann")
        key = slack.says(ann, "one")
        await answered(slack, ann, "Echo: one")
        await slack.sockets[0].ws.close()
        slack.repeat(key)
        slack.says(ann, "two")
        await answered(slack, ann, "Echo: one", "Echo: two")
        await eventually(lambda: not slack.pending)
        assert slack.told[key].payload["event"]["text"] == "one"
        assert slack.texts(ann) == ["Echo: one", "Echo: two"]
        assert len(slack.sockets) == 1


async def test_trouble_on_the_way_in_is_explained(tmp_path: Path) -> None:
    async with FakeSlack() as slack:
        slack.plan("auth.test", Broken(), Limited(1))
        slack.plan("apps.connections.open", Refused("internal_error"))
        async with app(tmp_path / "a", slack) as gateway:
            await slack.disconnect("link_disabled")
            await eventually(lambda: account_of(gateway).state.value == "unusable")
            assert "Socket Mode" in (account_of(gateway).error or "")
        await eventually(lambda: not slack.sockets)
        slack.app_token = "xapp-another"
        async with app(tmp_path / "b", slack, state="login") as gateway:
            assert "invalid_auth" in (account_of(gateway).error or "")
        missing = settings(channels={"slack": {"botToken": BOT_TOKEN}})
        async with house(tmp_path / "c", missing) as gateway:
            await eventually(lambda: "appToken" in (account_of(gateway).error or ""))


async def test_other_programs_with_the_same_token_are_noticed(tmp_path: Path) -> None:
    async with FakeSlack() as slack:
        slack.others = 2
        with structlog.testing.capture_logs() as logs:
            async with app(tmp_path, slack) as gateway:
                identity = account_of(gateway).seen.identity or {}
                assert identity["connections"] == 3
        assert any(one["event"] == "slack.others_connected" for one in logs)


async def test_nothing_is_left_when_the_gateway_stops_in_a_handover(tmp_path: Path) -> None:
    async with FakeSlack() as slack:
        async with app(tmp_path, slack):
            slack.says_hello = False
            await slack.disconnect("warning")
            await eventually(lambda: len(slack.sockets) == 2)  # waiting for its hello
        await eventually(lambda: not slack.sockets)


# -- the Events API


async def test_two_apps_by_post_each_at_its_own_door(tmp_path: Path) -> None:
    async with FakeSlack() as slack, FakeSlack() as other:
        other.secret = "another-signing-secret"
        config = configured(slack, mode="http")
        config["channels"]["slack"]["accounts"] = {
            "default": {},
            "work": {"signingSecret": other.secret, "apiUrl": f"{other.url}/api/"},
        }
        async with house(tmp_path, config) as gateway, listening(gateway.gateway) as url:
            for name in ("default", "work"):
                await eventually(lambda n=name: account_of(gateway, n).state.value == "connected")
            slack.door = f"{url}/integrations/slack/events"
            other.door = f"{url}/integrations/slack/work/events"
            for one in (slack, other):
                ann = one.person("Ann")
                key = one.says(ann, "by post")
                await answered(one, ann, "Echo: by post")
                one.repeat(key)  # with X-Slack-Retry-Num
                trigger = one.command(ann, "/portico", "by command")
                one.presses(ann, "a", "v", channel=ann.dm, ts=one.sent[0]["ts"])
                await answered(one, ann, "Echo: by post", "Echo: by command")
                await eventually(lambda one=one: not one.pending)
                assert one.texts(ann) == ["Echo: by post", "Echo: by command"]
                assert any("X-Slack-Retry-Num" in headers for _, headers in one.posts)
                assert {status for status, _ in one.posts} == {200}
                assert json.loads(one.told[trigger].answer) == {"response_type": "in_channel"}
                assert one.sockets == []


async def test_nothing_unsigned_old_or_odd_is_believed(tmp_path: Path) -> None:
    async with FakeSlack() as slack:
        config = configured(slack, mode="http")
        async with house(tmp_path, config) as gateway, listening(gateway.gateway) as url:
            await eventually(lambda: account_of(gateway).state.value == "connected")
            slack.door = f"{url}/integrations/slack/events"
            body = json.dumps({"type": "url_verification", "challenge": "c-1"}).encode()
            assert await slack.post_raw(body) == (200, "c-1")
            for wrong in (
                {"secret": "not the secret"},
                {"at": time.time() - 301},
                {"at": time.time() + 301},
                {"headers": {"X-Slack-Request-Timestamp": "soon"}},
                {"headers": {"X-Slack-Signature": ""}},
                {"headers": {"X-Slack-Signature": "v0=Grüße"}},
            ):
                assert (await slack.post_raw(body, **wrong))[0] == 401
            check = b"ssl_check=1&token=x"
            assert await slack.post_raw(check, "application/x-www-form-urlencoded") == (200, "")
            assert (await slack.post_raw(b"x" * (1 << 20) + b"x"))[0] == 413
            assert await recorded(gateway) == []


async def test_a_flood_of_conversations_is_taken_in_and_each_in_order(tmp_path: Path) -> None:
    async with FakeSlack() as slack:
        config = {**configured(slack), "session": {"dmScope": "per-channel-peer"}}
        people = [slack.person(f"P{number}") for number in range(40)]
        for turn in range(3):
            for who in people:
                slack.says(who, f"turn {turn}")
        wanted = [f"Echo: turn {turn}" for turn in range(3)]
        async with house(tmp_path, config):
            await eventually(lambda: len(slack.sent) == 120, within_s=40)
            assert all(slack.texts(who) == wanted for who in people)


async def test_no_token_is_in_any_log(tmp_path: Path) -> None:
    async with FakeSlack() as slack:
        config = {**configured(slack), "logging": {"level": "debug"}}
        config["gateway"]["port"] = 0
        slack.plan("auth.test", Broken(), Broken(500, "oh", "text/plain"))
        slack.plan("apps.connections.open", Refused("internal_error"))
        slack.plan("chat.postMessage", Broken(), Lost())
        gateway = GatewayProcess(tmp_path, config=config)
        await asyncio.to_thread(gateway.start)
        try:
            ann = slack.person("Ann")
            slack.says(ann, "hello", files=[slack.file(b"x", "a.bin", "application/zip")])
            await answered(slack, ann, "Echo: hello")
            slack.cut_all()
            slack.says(ann, "again")
            await answered(slack, ann, "Echo: hello", "Echo: again")
        finally:
            await asyncio.to_thread(gateway.stop)
        written = gateway.log()
        assert "slack" in written
        for secret in (BOT_TOKEN, APP_TOKEN, SECRET, "ticket-of"):
            assert secret not in written
        assert slack.leaks == []
