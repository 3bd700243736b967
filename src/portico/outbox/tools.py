"""The tool with which an agent sends a message, as a delivery like every other.

Guarantees: nothing leaves but through the outbox; the same call sends once, whatever crashes. A
turn that has read untrusted text sends only into the conversation it is in, and only links to files
that stand in what it has read. Messages to sessions of this gateway reach those the agent reaches.

Source: OpenClaw, `message` tool, action `send`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Protocol

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, tool
from portico.channels.model import Peer, ReplyRoute
from portico.channels.registry import ChannelRegistry
from portico.channels.webchat import CHANNEL as WEBCHAT
from portico.channels.webchat import UNTRUSTED
from portico.outbox.routes import route_to
from portico.outbox.service import Outbox
from portico.sessions.model import Session

WAIT_S = 10.0
MAX_SENDS = 20  # of one turn
MAX_MEDIA = 10
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
    action: Literal["send"] = "send"


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

    def __init__(self, *, outbox: Outbox, senders: ChannelRegistry, reach: ReachesSessions) -> None:
        self._outbox = outbox
        self._senders = senders
        self._reach = reach

    @tool("message", group="messaging")
    async def send(self, call: ToolCall, args: MessageArgs) -> MessageSent:
        """Send a message: into this conversation at once, or to somebody on a channel.

        The answer of a turn is sent by itself; this is for what should arrive besides.
        """
        if not args.message.strip() and not args.media:
            raise ToolError("There is neither a message nor media.")
        if call.earlier >= MAX_SENDS:
            raise ToolError(f"A turn sends at most {MAX_SENDS} messages.")
        self._check_media(call, args.media)
        delivery_id = await self._outbox.send(
            await self._route(call, args),
            args.message,
            media=args.media,
            session_key=call.session_key,
            delivery_id=_delivery_id(call),
        )
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


def _delivery_id(call: ToolCall) -> str:
    made = f"{call.run_id or call.session_key}\0{call.call_id}"
    return f"dlv_{hashlib.blake2b(made.encode(), digest_size=16).hexdigest()}"
