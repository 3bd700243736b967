"""The tool with which an agent sends messages and polls, reacts, and changes what it has sent.

Guarantees: no message leaves but through the outbox; the same call sends once, whatever crashes. A
turn that has read untrusted text acts only in the conversation it is in, and sends only links to
files that stand in what it has read. An agent changes and deletes only messages that left through
this gateway into that conversation. Messages to sessions of this gateway reach those the agent
reaches.

Source: OpenClaw, `message` tool, actions `send`, `reply`, `poll`, `react`, `edit`, `delete`,
`unsend`, `read`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Protocol

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, tool
from portico.channels.model import Peer, Poll, ReplyRoute
from portico.channels.registry import ChannelRegistry
from portico.channels.webchat import CHANNEL as WEBCHAT
from portico.channels.webchat import UNTRUSTED
from portico.outbox.actions import MessageActions
from portico.outbox.routes import route_to
from portico.outbox.service import Outbox
from portico.protocol.errors import GatewayError
from portico.sessions.model import Session

WAIT_S = 10.0
MAX_SENDS = 20  # of one turn; other actions count, too
MAX_MEDIA = 10
MIN_OPTIONS = 2
CHANGES = frozenset({"edit", "delete", "unsend"})
MAX_TEXT_CHARS = 100_000

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class MessageArgs(ToolArgs, frozen=True, kw_only=True):
    """What `message` takes."""

    message: Annotated[
        str, msgspec.Meta(max_length=MAX_TEXT_CHARS, description="The text, as Markdown.")
    ] = ""
    media: Annotated[
        tuple[Name, ...],
        msgspec.Meta(
            max_length=MAX_MEDIA,
            description="Files to attach: web addresses, or media:… of a tool.",
        ),
    ] = ()
    to: Annotated[
        Name | None,
        msgspec.Meta(description="Whom to write to; none: the conversation this turn is in."),
    ] = None
    channel: Annotated[
        Name | None, msgspec.Meta(description="Through which channel, from channels_list.")
    ] = None
    account_id: Name | None = None
    thread_id: Name | None = None
    action: Literal["send", "reply", "poll", "react", "edit", "delete", "unsend", "read"] = "send"
    message_id: Annotated[
        Name | None,
        msgspec.Meta(
            description="Which message is answered, reacted to, changed or deleted; none: the one "
            "this turn answers."
        ),
    ] = None
    emoji: Annotated[str, msgspec.Meta(max_length=100, description="To react with.")] = ""
    remove: Annotated[bool, msgspec.Meta(description="Take the reaction back.")] = False
    poll_question: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    poll_option: Annotated[tuple[Name, ...], msgspec.Meta(max_length=12)] = ()
    poll_multi: Annotated[
        bool, msgspec.Meta(description="Whether several options can be chosen.")
    ] = False
    poll_duration_hours: Annotated[int, msgspec.Meta(ge=1, le=168)] | None = None


class MessageActed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """It was done."""

    action: str
    channel: str
    message_id: str


class MessageSent(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What became of it."""

    delivery_id: str
    state: str
    channel: str
    message_id: str | None = None
    error: str | None = None


class ReachesSessions(Protocol):
    """Which sessions an agent's tools reach."""

    async def find(self, call: ToolCall, given: str | None) -> Session:
        """Return a session that is reached.

        Raises:
            ToolError: it is not.
        """
        ...


class MessageTools:
    """`message`."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        senders: ChannelRegistry,
        reach: ReachesSessions,
        actions: MessageActions,
    ) -> None:
        self._outbox = outbox
        self._senders = senders
        self._reach = reach
        self._actions = actions

    @tool("message", group="messaging")
    async def message(self, call: ToolCall, args: MessageArgs) -> MessageSent | MessageActed:
        """Send a message or a poll: into this conversation at once, or to somebody on a channel.

        The answer of a turn is sent by itself; this is for what should arrive besides. Or react to
        a message, change or delete one that was sent, mark one as read.
        """
        if call.earlier >= MAX_SENDS:
            raise ToolError(f"A turn sends at most {MAX_SENDS} messages.")
        match args.action:
            case "send" | "reply":
                return await self._send(call, args)
            case "poll":
                return await self._send_poll(call, args)
            case _:
                return await self._act(call, args)

    async def _send(self, call: ToolCall, args: MessageArgs) -> MessageSent:
        if not args.message.strip() and not args.media:
            raise ToolError("There is neither a message nor media.")
        self._check_media(call, args.media)
        route = await self._route(call, args)
        if args.action == "reply":
            context = {**route.context, "replyToId": _message_id(call, args)}
            route = msgspec.structs.replace(route, context=context)
        delivery_id = await self._outbox.send(
            route,
            args.message,
            media=args.media,
            session_key=call.session_key,
            delivery_id=_delivery_id(call),
        )
        return await self._settled(delivery_id)

    async def _send_poll(self, call: ToolCall, args: MessageArgs) -> MessageSent:
        if not args.poll_question.strip() or len(args.poll_option) < MIN_OPTIONS:
            raise ToolError("A poll has a pollQuestion and two pollOption or more.")
        route = await self._route(call, args)
        if not self._senders.takes_polls(route.channel, route.account):
            raise ToolError(f"There are no polls on {route.channel}.")
        hours = args.poll_duration_hours
        poll = Poll(
            args.poll_question,
            args.poll_option,
            len(args.poll_option) if args.poll_multi else 1,
            None if hours is None else hours * 3_600,
        )
        delivery_id = await self._outbox.send(
            route,
            poll.question,
            media=(),
            session_key=call.session_key,
            delivery_id=_delivery_id(call),
            poll=poll,
        )
        return await self._settled(delivery_id)

    async def _act(self, call: ToolCall, args: MessageArgs) -> MessageActed:
        route = await self._route(call, args)
        message_id = _message_id(call, args)
        if args.action == "react" and not args.emoji and not args.remove:
            raise ToolError("Say with which emoji.")
        if args.action == "edit" and not args.message.strip():
            raise ToolError("There is no message to put in its place.")
        if args.action in CHANGES:
            await self._check_ours(route, message_id)
        try:
            match args.action:
                case "react":
                    await self._actions.react(route, message_id, args.emoji, remove=args.remove)
                case "edit":
                    await self._actions.edit(route, message_id, args.message)
                case "read":
                    await self._actions.mark_read(route, message_id)
                case _:
                    await self._actions.delete(route, message_id)
        except GatewayError as error:
            raise ToolError(error.message) from None
        return MessageActed(action=args.action, channel=route.channel, message_id=message_id)

    async def _check_ours(self, route: ReplyRoute, message_id: str) -> None:
        if await self._outbox.sent_as(route, message_id) is None:
            raise ToolError("That is none of the messages sent from here into this conversation.")

    async def _settled(self, delivery_id: str) -> MessageSent:
        delivery = await self._outbox.wait_settled(delivery_id, WAIT_S)
        if delivery is None:
            raise ToolError("The message was taken, and its record is gone.")
        receipt = delivery.receipt if isinstance(delivery.receipt, dict) else {}
        return MessageSent(
            delivery_id=delivery_id,
            state=delivery.state.value,
            channel=delivery.channel,
            message_id=receipt.get("messageId"),
            error=delivery.last_error,
        )

    async def _route(self, call: ToolCall, args: MessageArgs) -> ReplyRoute:
        own = call.origin
        if own is not None and _is_own(args, own):
            return self._own_route(call, own)
        if call.is_untrusted:
            raise ToolError(
                "This turn has read text from outside: it sends only into its own conversation."
            )
        if args.to is None:
            raise ToolError("Say whom to write to: this call belongs to no conversation.")
        route = route_to(
            self._senders,
            to=args.to,
            channel=args.channel or (own.channel if own is not None else None),
            account=args.account_id,
            thread_id=args.thread_id,
        )
        if route.channel != WEBCHAT:
            return route
        session = await self._reach.find(call, args.to)
        return msgspec.structs.replace(route, peer=Peer("direct", session.key))

    def _own_route(self, call: ToolCall, own: ReplyRoute) -> ReplyRoute:
        if self._senders.find(own.channel, own.account) is None:
            raise ToolError("Nothing can be sent into this conversation besides the answer.")
        if own.channel == WEBCHAT and call.is_untrusted:
            return msgspec.structs.replace(own, context={**own.context, UNTRUSTED: True})
        return own

    @staticmethod
    def _check_media(call: ToolCall, media: tuple[str, ...]) -> None:
        for url in media:
            if not url.startswith(("https://", "http://", "media:")):
                raise ToolError("Only web addresses, and what tools have made, can be attached.")
            if call.is_untrusted and not call.has_read(url):
                raise ToolError(
                    "This turn has read text from outside: it attaches only addresses that stand "
                    "in what it has read."
                )


def _is_own(args: MessageArgs, own: ReplyRoute) -> bool:
    asked = (args.to, args.channel, args.account_id, args.thread_id)
    here = (own.peer.id, own.channel, own.account, own.thread_id)
    named = [(given, known) for given, known in zip(asked, here, strict=True) if given is not None]
    if args.to is None and args.thread_id is None:
        return all(given == known for given, known in named)
    # Somebody was named: only the very same conversation is this one.
    return args.thread_id == own.thread_id and all(given == known for given, known in named)


def _message_id(call: ToolCall, args: MessageArgs) -> str:
    """Return the message that is meant; `messageId` in a route is the one a turn answers."""
    if args.message_id is not None:
        return args.message_id
    own = None if call.origin is None else call.origin.context.get("messageId")
    if own is None or args.to is not None or args.action in CHANGES:
        raise ToolError("Say which messageId.")
    return str(own)


def _delivery_id(call: ToolCall) -> str:
    made = f"{call.run_id or call.session_key}\0{call.call_id}"
    return f"dlv_{hashlib.blake2b(made.encode(), digest_size=16).hexdigest()}"
