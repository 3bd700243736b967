"""RPC methods `poll` and `message.action`: what else a caller does through a channel.

`message.action` takes the action's own parameters under the names of the `message` tool.

Source: OpenClaw gateway protocol, "poll", "message.action"; OpenClaw docs, cli/message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec

from portico.channels.model import Poll, ReplyRoute
from portico.channels.registry import ChannelRegistry
from portico.outbox.actions import MessageActions
from portico.outbox.direct import DirectSends, keyed_id, receipt_of
from portico.outbox.routes import refused, route_to
from portico.outbox.store import Delivery
from portico.protocol.errors import InvalidRequest, Outcome
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Options = Annotated[tuple[NonEmpty, ...], msgspec.Meta(min_length=2, max_length=12)]
Selections = Annotated[int, msgspec.Meta(ge=1, le=12)]
WEEK_S = 604_800
HOUR_S = 3_600


class SendPoll(Params, frozen=True, kw_only=True):
    """`{to, question, options[2..12], …, idempotencyKey}`."""

    to: NonEmpty
    question: NonEmpty
    options: Options
    idempotency_key: NonEmpty
    max_selections: Selections = 1
    duration_seconds: Annotated[int, msgspec.Meta(ge=1, le=WEEK_S)] | None = None
    duration_hours: Annotated[int, msgspec.Meta(ge=1, le=WEEK_S // HOUR_S)] | None = None
    silent: bool | None = None
    is_anonymous: bool = False
    thread_id: str | None = None
    channel: str | None = None
    account_id: str | None = None


class PollSent(Result, frozen=True, kw_only=True):
    """The provider has it."""

    run_id: str
    message_id: str
    channel: str
    poll_id: str | None = None
    conversation_id: str | None = None


class ReplyWish(msgspec.Struct, frozen=True, rename="camel"):
    """Which message is answered."""

    reply_to_id: NonEmpty
    source: Literal["explicit", "implicit"]
    mode: Literal["first", "all"] | None = None


class Action(Params, frozen=True, kw_only=True):
    """`{channel, action, params, idempotencyKey, …}`."""

    channel: NonEmpty
    action: NonEmpty
    params: dict[str, Any]
    idempotency_key: NonEmpty
    reply: ReplyWish | None = None
    account_id: str | None = None
    requester_account_id: str | None = None
    requester_sender_id: str | None = None
    sender_is_owner: bool | None = None
    session_key: str | None = None
    session_id: str | None = None
    inbound_turn_kind: Literal["user_request", "room_event"] | None = None
    agent_id: str | None = None
    tool_context: dict[str, Any] | None = None
    conversation_read_origin: Literal["direct-operator"] | None = None


class ActionDone(Result, frozen=True, kw_only=True):
    """`{ok: true, action, channel, messageId …}`."""

    ok: Literal[True]
    action: str
    channel: str
    message_id: str
    run_id: str | None = None
    poll_id: str | None = None
    conversation_id: str | None = None


class _Given(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The parameters of an action; what a channel of theirs takes besides is left alone."""

    to: str | int | None = None
    target: str | int | None = None
    channel_id: str | int | None = None
    chat_id: str | int | None = None
    message_id: str | int | None = None
    thread_id: str | int | None = None
    reply_to: str | int | None = None
    message: str | None = None
    text: str | None = None
    media: str | None = None
    emoji: str | None = None
    remove: bool = False
    poll_question: NonEmpty | None = None
    poll_option: Options | None = None
    poll_multi: bool = False
    poll_anonymous: bool = False
    poll_duration_hours: Annotated[int, msgspec.Meta(ge=1, le=WEEK_S // HOUR_S)] | None = None
    poll_duration_seconds: Annotated[int, msgspec.Meta(ge=1, le=WEEK_S)] | None = None

    @property
    def words(self) -> str:
        """What is to be said."""
        return self.message or self.text or ""


Act = Callable[[Call, Action, _Given, ReplyRoute], Awaitable[ActionDone]]


class ActionMethods:
    """`poll` and `message.action`."""

    def __init__(
        self, *, direct: DirectSends, actions: MessageActions, senders: ChannelRegistry
    ) -> None:
        self._direct = direct
        self._actions = actions
        self._senders = senders
        self._known: dict[str, Act] = {
            "send": self._send,
            "reply": self._reply,
            "poll": self._poll,
            "react": self._react,
            "edit": self._edit,
            "delete": self._delete,
            "unsend": self._delete,
            "read": self._read,
        }

    @method("poll", scope=Scope.WRITE, mutates=True)
    async def poll(self, call: Call, params: SendPoll) -> PollSent:
        """Send a poll to somebody on a channel, and answer once the provider has it."""
        route = route_to(
            self._senders,
            to=params.to,
            channel=params.channel,
            account=params.account_id,
            thread_id=params.thread_id,
        )
        poll = Poll(
            params.question,
            params.options,
            params.max_selections,
            _seconds(params.duration_seconds, params.duration_hours),
            params.is_anonymous,
        )
        delivery = await self._direct.poll(
            route, poll, delivery_id=keyed_id(call.principal.subject, params.idempotency_key)
        )
        receipt = receipt_of(delivery)
        return PollSent(
            run_id=params.idempotency_key,
            message_id=receipt["messageId"],
            channel=delivery.channel,
            poll_id=receipt.get("pollId"),
            conversation_id=receipt.get("conversationId"),
        )

    @method("message.action", scope=Scope.WRITE, mutates=True)
    async def act(self, call: Call, params: Action) -> ActionDone:
        """Send, reply, poll, react, edit, delete or read through a channel."""
        act = self._known.get(params.action)
        if act is None:
            raise InvalidRequest(
                f"unsupported action: {params.action}; there are {', '.join(self._known)}",
                details={"code": "ACTION_UNSUPPORTED", "action": params.action},
                outcome=Outcome.NOT_STARTED,
            )
        given = _given(params.params)
        to = next(
            (one for one in (given.to, given.target, given.channel_id, given.chat_id) if one), None
        )
        if to is None:
            raise refused("invalid message.action params: params.to is required")
        asked = None if params.reply is None else params.reply.reply_to_id
        route = route_to(
            self._senders,
            to=str(to),
            channel=params.channel,
            account=params.account_id,
            thread_id=_id(given.thread_id),
            reply_to_id=_id(given.reply_to) or asked,
        )
        return await act(call, params, given, route)

    # -- what goes through the outbox ------------------------------------------------------------

    async def _send(
        self, call: Call, params: Action, given: _Given, route: ReplyRoute
    ) -> ActionDone:
        delivery = await self._direct.message(
            route,
            given.words,
            media=() if given.media is None else (given.media,),
            session_key=params.session_key,
            delivery_id=_delivery_id(call, params),
        )
        return _sent(params, delivery)

    async def _reply(
        self, call: Call, params: Action, given: _Given, route: ReplyRoute
    ) -> ActionDone:
        context = {**route.context, "replyToId": _message_id(given)}
        answer = msgspec.structs.replace(route, context=context)
        return await self._send(call, params, given, answer)

    async def _poll(
        self, call: Call, params: Action, given: _Given, route: ReplyRoute
    ) -> ActionDone:
        if given.poll_question is None or given.poll_option is None:
            raise refused(
                "invalid message.action params: params.pollQuestion and 2 to 12 params.pollOption "
                "are required"
            )
        poll = Poll(
            given.poll_question,
            given.poll_option,
            len(given.poll_option) if given.poll_multi else 1,
            _seconds(given.poll_duration_seconds, given.poll_duration_hours),
            given.poll_anonymous,
        )
        delivery = await self._direct.poll(route, poll, delivery_id=_delivery_id(call, params))
        return _sent(params, delivery)

    # -- what is done at once --------------------------------------------------------------------

    async def _react(
        self, call: Call, params: Action, given: _Given, route: ReplyRoute
    ) -> ActionDone:
        if not given.emoji and not given.remove:
            raise refused("invalid message.action params: params.emoji is required")
        message_id = _message_id(given)
        await self._actions.react(route, message_id, given.emoji or "", remove=given.remove)
        return _done(params, message_id)

    async def _edit(
        self, call: Call, params: Action, given: _Given, route: ReplyRoute
    ) -> ActionDone:
        if not given.words.strip():
            raise refused("invalid message.action params: params.message is required")
        message_id = _message_id(given)
        await self._actions.edit(route, message_id, given.words)
        return _done(params, message_id)

    async def _delete(
        self, call: Call, params: Action, given: _Given, route: ReplyRoute
    ) -> ActionDone:
        message_id = _message_id(given)
        await self._actions.delete(route, message_id)
        return _done(params, message_id)

    async def _read(
        self, call: Call, params: Action, given: _Given, route: ReplyRoute
    ) -> ActionDone:
        message_id = _message_id(given)
        await self._actions.mark_read(route, message_id)
        return _done(params, message_id)


def _given(params: dict[str, Any]) -> _Given:
    option = params.get("pollOption")
    several = {"pollOption": [option]} if isinstance(option, str) else {}
    try:
        return msgspec.convert({**params, **several}, _Given)
    except msgspec.ValidationError as error:
        raise refused(f"invalid message.action params: params: {error}") from None


def _id(given: str | int | None) -> str | None:
    return None if given in (None, "") else str(given)


def _message_id(given: _Given) -> str:
    found = _id(given.message_id)
    if found is None:
        raise refused("invalid message.action params: params.messageId is required")
    return found


def _seconds(seconds: int | None, hours: int | None) -> int | None:
    return hours * HOUR_S if seconds is None and hours is not None else seconds


def _delivery_id(call: Call, params: Action) -> str:
    return keyed_id(call.principal.subject, f"message.action\0{params.idempotency_key}")


def _sent(params: Action, delivery: Delivery) -> ActionDone:
    receipt = receipt_of(delivery)
    return ActionDone(
        ok=True,
        action=params.action,
        channel=delivery.channel,
        message_id=receipt["messageId"],
        run_id=params.idempotency_key,
        poll_id=receipt.get("pollId"),
        conversation_id=receipt.get("conversationId"),
    )


def _done(params: Action, message_id: str) -> ActionDone:
    return ActionDone(ok=True, action=params.action, channel=params.channel, message_id=message_id)
