"""`send`, `poll`, `message.action` and the `message` tool, with Telegram's real client library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.agents.tools.contract import ToolCall, ToolError
from portico.channels.model import Peer, ReplyRoute
from portico.protocol.errors import GatewayError
from tests.contract.channels.test_telegram import account_of, bot, configured, operator
from tests.fakes.telegram import TOKEN, Broken, Chat, FakeTelegram, Limited, Lost, Refused
from tests.fakes.webhook_partner import SECRET
from tests.support.http import House, house
from tests.support.waiting import eventually


class Room:
    """A gateway with a bot, and a person who has written to it."""

    def __init__(self, gateway: House, telegram: FakeTelegram, ann: Chat) -> None:
        self.gateway = gateway.gateway
        self.account = account_of(gateway)
        self.telegram = telegram
        self.ann = ann
        self._keys = 0

    async def call(self, name: str, **params: Any) -> dict[str, Any]:
        self._keys += 1
        given = {"idempotencyKey": f"k{self._keys}", "channel": "telegram", **params}
        raw = msgspec.json.encode(given)
        answer = await self.gateway.front.dispatcher.request(name, raw, operator())
        return dict(msgspec.json.decode(msgspec.json.encode(answer)))

    async def act(self, action: str, **params: Any) -> dict[str, Any]:
        return await self.call("message.action", action=action, params={"to": self.ann.id} | params)

    async def refused(self, action: str, **params: Any) -> GatewayError:
        with pytest.raises(GatewayError) as refusal:
            await self.act(action, **params)
        return refusal.value

    async def tool(self, call: ToolCall, **arguments: Any) -> Any:
        tool = (await self.gateway.conversation.toolbox.registry.every())["message"]
        return await tool.run(call, arguments)


@asynccontextmanager
async def room(folder: Path) -> AsyncIterator[Room]:
    async with FakeTelegram() as telegram, bot(folder, telegram) as gateway:
        yield Room(gateway, telegram, telegram.person("Ann"))


async def test_send_and_poll(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        to = str(here.ann.id)
        sent = await here.call("send", to=to, message="**hi**", idempotencyKey="s1")
        assert sent == {"runId": "s1", "messageId": "1", "channel": "telegram"}
        assert here.telegram.texts(here.ann) == ["hi"]
        answer = await here.call("send", to=to, message="there", replyToId="1")
        assert here.telegram.sent[-1]["reply_to_message"]["message_id"] == 1
        asked = {"question": "Lunch?", "options": ["Soup", "Salad"], "durationSeconds": 60}
        poll = await here.call("poll", to=to, **asked, idempotencyKey="p1")
        assert poll == await here.call("poll", to=to, **asked, idempotencyKey="p1")  # sent once
        assert (poll["runId"], poll["messageId"]) == ("p1", "3")
        assert here.telegram.sent[-1]["poll"]["id"] == poll["pollId"]
        assert [option["text"] for option in here.telegram.sent[-1]["poll"]["options"]] == [
            "Soup",
            "Salad",
        ]
        assert len(here.telegram.sent) == 3
        assert answer["messageId"] == "2"


async def test_every_action(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        said = here.telegram.says(here.ann, "hello")
        await eventually(lambda: here.telegram.texts(here.ann) == ["Echo: hello"])
        done = await here.act("react", messageId=said["message_id"], emoji="👍")
        assert done == {"ok": True, "action": "react", "channel": "telegram", "messageId": "1"}
        await here.act("react", messageId=1, remove=True)
        first, second = [
            params.get("reaction")  # none: taken back
            for name, params in here.telegram.actions
            if name == "setMessageReaction"
        ]
        assert "👍" in str(first)
        assert "👍" not in str(second)

        sent = await here.act("send", message="one")
        await here.act("edit", messageId=sent["messageId"], message="_two_")
        await here.act("edit", messageId=sent["messageId"], message="_two_")  # it is so already
        assert here.telegram.texts(here.ann)[-1] == "two"
        reply = await here.act("reply", messageId="1", message="to you")
        assert here.telegram.sent[-1]["reply_to_message"]["message_id"] == 1
        await here.act("delete", messageId=reply["messageId"])
        await here.act("unsend", messageId=sent["messageId"])
        assert [key for key in here.telegram.messages if key[1] > 2] == []
        poll = await here.act("poll", pollQuestion="Tea?", pollOption=["Yes", "No"], pollMulti=True)
        assert poll["pollId"]


async def test_what_cannot_be_done_is_said_with_a_code(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        sent = (await here.act("send", message="x"))["messageId"]
        for error, code in (
            (Limited(7), "CHANNEL_RATE_LIMITED"),
            (Refused(400, "Bad Request: REACTION_INVALID"), "CHANNEL_REJECTED"),
            (Refused(401, "Unauthorized"), "CHANNEL_LOGGED_OUT"),
            (Broken(), "CHANNEL_OUTCOME_UNKNOWN"),
            (Lost(), "CHANNEL_OUTCOME_UNKNOWN"),
        ):
            here.telegram.plan("setMessageReaction", error)
            failed = await here.refused("react", messageId=sent, emoji="👍")
            assert failed.details["code"] == code, failed
            assert TOKEN not in str(failed)
            if code == "CHANNEL_RATE_LIMITED":
                assert (failed.retryable, failed.retry_after_ms) == (True, 7000)
        for action, params, said in (
            ("dance", {}, "unsupported action: dance; there are send, reply"),
            ("react", {"messageId": "1"}, "params.emoji is required"),
            ("react", {"emoji": "x"}, "params.messageId is required"),
            ("edit", {"messageId": "1"}, "params.message is required"),
            ("edit", {"messageId": "1", "message": "x" * 5000}, "too long"),
            ("delete", {"messageId": "x"}, "no id of Telegram"),
            ("send", {}, "text or media is required"),
            ("send", {"message": 7}, "Expected `str | null`, got `int` - at `$.message`"),
            ("poll", {"pollQuestion": "?", "pollOption": "one"}, "length >= 2"),
            ("poll", {"pollQuestion": "?"}, "pollOption"),
            ("read", {"messageId": "1"}, "telegram cannot read"),
        ):
            failed = await here.refused(action, **params)
            assert said in failed.message
            assert failed.details["outcome"] == "not_started"
        with pytest.raises(GatewayError, match=r"params\.to is required"):
            await here.call("message.action", action="send", params={"message": "x"})
        with pytest.raises(GatewayError, match="unsupported channel: pigeon"):
            await here.call("message.action", action="send", params={"to": "x"}, channel="pigeon")
        too_many = {"to": "x", "question": "?", "options": ["a", "b"], "maxSelections": 3}
        with pytest.raises(GatewayError, match="more selections than options"):
            await here.call("poll", **too_many)
        await here.gateway.path.accounts.want("telegram", "default", "stopped")
        await eventually(lambda: here.account.state.value == "off")
        failed = await here.refused("react", messageId=sent, emoji="👍")
        assert (failed.details["code"], failed.retryable) == ("CHANNEL_NOT_CONNECTED", True)


async def test_a_channel_without_actions(tmp_path: Path) -> None:
    async with FakeTelegram() as telegram:
        config = configured(telegram)
        config["channels"]["webhook"] = {"secret": SECRET, "url": "http://127.0.0.1:1/in"}
        async with house(tmp_path, config) as gateway:
            here = Room(gateway, telegram, telegram.person("Ann"))
            found = gateway.gateway.path.accounts.find("webhook", "default")
            await eventually(lambda: found is not None and found.state.value == "connected")
            for channel in ("webhook", "webchat"):
                for action in ("react", "edit", "delete", "poll"):
                    given: dict[str, Any] = {"to": "x", "messageId": "1", "message": "x"}
                    given |= {"emoji": "x", "pollQuestion": "?", "pollOption": ["a", "b"]}
                    with pytest.raises(GatewayError) as refusal:
                        await here.call(
                            "message.action", action=action, params=given, channel=channel
                        )
                    assert refusal.value.details["code"] == "ACTION_UNSUPPORTED", (channel, action)


async def test_the_tool_acts_in_its_conversation_and_changes_only_its_own(tmp_path: Path) -> None:
    async with room(tmp_path) as here:
        here.telegram.says(here.ann, "hello")
        await eventually(lambda: here.telegram.texts(here.ann) == ["Echo: hello"])
        peer = Peer("direct", str(here.ann.id))
        own = ReplyRoute("telegram", "default", peer, context={"messageId": 1})
        turn = {"agent_id": "main", "session_key": "agent:main:main", "run_id": "r", "origin": own}
        for number, is_untrusted in enumerate((False, True)):

            def call(name: str, *, eyes: bool = is_untrusted, turn_no: int = number) -> ToolCall:
                return ToolCall(call_id=f"{turn_no}{name}", is_untrusted=eyes, **turn)  # type: ignore[arg-type]  # as above

            sent = await here.tool(call("a"), action="reply", message="one")
            assert here.telegram.sent[-1]["reply_to_message"]["message_id"] == 1
            done = await here.tool(call("b"), action="react", emoji="👍")
            assert done.message_id == "1"
            await here.tool(call("c"), action="edit", messageId=sent.message_id, message="two")
            assert here.telegram.texts(here.ann)[-1] == "two"
            await here.tool(call("d"), action="delete", messageId=sent.message_id)
            here.telegram.sent.pop()
            ask = {"action": "poll", "pollQuestion": "?", "pollOption": ["a", "b"]}
            assert (await here.tool(call("e"), **ask)).state == "sent"
            here.telegram.sent.pop()
            for arguments, said in (
                ({"action": "delete", "messageId": "1"}, "none of the messages sent from here"),
                ({"action": "edit", "messageId": "1", "message": "x"}, "none of the messages"),
                ({"action": "delete"}, "Say which messageId"),
                ({"action": "react"}, "which emoji"),
                ({"action": "edit", "messageId": "2"}, "no message to put"),
                ({"action": "poll", "pollQuestion": "?"}, "two pollOption"),
                ({"action": "read"}, "telegram cannot read"),
            ):
                with pytest.raises(ToolError, match=said):
                    await here.tool(call("f"), **arguments)
        elsewhere = {"to": "999", "messageId": "1", "emoji": "👍", "action": "react"}
        with pytest.raises(ToolError, match="only into its own conversation"):
            await here.tool(ToolCall(call_id="z", is_untrusted=True, **turn), **elsewhere)  # type: ignore[arg-type]  # as above
