"""The contract of a channel: what it is given, what it must do, what it may do besides.

Theory of operation: an account is made from its manifest's runtime with an `AccountContext` and
has one coroutine, `run`, that connects and receives until it is cancelled. Whatever ends it early
is a failure; the account is torn down (everything it started through the context with it) and made
anew, after a wait. What it receives it hands to `ctx.receive`, which returns when the message is
on disk: only then may the provider be told. Sending comes from the outbox, one attempt at a time
per conversation, through `send`; it raises one of the six errors below and nothing else.

Guarantees towards a channel:
    - An account is made, run and thrown away once; nothing of it is used after its `run` ended.
    - `receive` and `note` of an account that was replaced raise `Superseded`: nothing is stored.
    - `send` is not called before `ctx.connected()`.

Source: architecture, "The message path"; docs/channels/writing-a-channel.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from portico.channels.admission import Verdict
from portico.channels.model import ChannelEvent, InboundMessage, PeerKind, ReplyRoute
from portico.clock import Clock
from portico.tasks import Tasks

# -- errors ----------------------------------------------------------------------------------------


class ChannelError(Exception):
    """A send that did not work."""


class NotReady(ChannelError):
    """Not connected yet; try again soon."""


class AuthExpired(ChannelError):
    """The provider no longer accepts the credentials; a person must log in again.

    Raised by `run`, the account waits for a person and is not started again by itself.
    """


class RateLimited(ChannelError):
    """Too fast; the provider says when to try again."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Transient(ChannelError):
    """It certainly was not sent; trying again may work."""


class Rejected(ChannelError):
    """The provider refuses this message for good."""


class Uncertain(ChannelError):
    """It may or may not have been sent."""


class Superseded(Exception):
    """This account was replaced by a newer one. Let it pass: `run` is being cancelled anyway."""


class Misconfigured(Exception):
    """The settings cannot work (not: the provider is away); raised by `run` or the constructor."""


# -- sending ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send.

    Attributes:
        delivery_id: stable over retries; channels whose provider takes a client id send it along.
        text: Markdown, not longer than the manifest's `text_limit`.
        media: URLs of files to attach.
        run_id: the run that answers; a preview of it is replaced by this message.
        may_have_arrived: an earlier attempt may have reached the provider; a channel that takes
            no client id along can look for it first.
        made_ms: when it was put into the outbox: no attempt was made before.
    """

    delivery_id: str
    route: ReplyRoute
    text: str
    media: tuple[str, ...] = ()
    run_id: str | None = None
    may_have_arrived: bool = False
    made_ms: int | None = None


@dataclass(frozen=True, slots=True)
class OutgoingPoll:
    """A question to vote on."""

    delivery_id: str
    route: ReplyRoute
    question: str
    options: tuple[str, ...]
    max_selections: int = 1
    duration_s: int | None = None
    is_anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """The provider has it."""

    message_id: str
    details: dict[str, Any] = field(default_factory=dict)


class Channel(Protocol):
    """The sending side of one channel account, as the outbox sees it."""

    @property
    def keyed(self) -> bool:
        """Whether sending the same delivery id twice is harmless."""
        ...

    async def send(self, message: Outgoing) -> Receipt:
        """Send one message.

        Raises:
            ChannelError: one of the six kinds above; anything else counts as `Uncertain`.
        """
        ...


# -- receiving -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a message that was handed in. It is on disk.

    Attributes:
        duplicate: it had been received before; nothing happened.
        reason: why it is not answered, when it is not.
    """

    verdict: Verdict
    duplicate: bool = False
    reason: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class DoorRequest:
    """One HTTP request at a channel's own address. Nothing about it has been checked.

    Attributes:
        path: what follows the door's own path, without a leading slash.
        headers: names in lower case.
        body: the raw bytes, as signed.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    remote: str | None = None


@dataclass(frozen=True, slots=True)
class DoorResponse:
    """What to answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpDoor:
    """An address of the gateway's port that leads to a channel: `/integrations/<channel>/<path>`.

    The channel itself must prove who calls (a signature, a secret header): nobody else does.

    Attributes:
        path: one or more segments, such as the account's id or `events`.
        handle: answers; when it raises, the caller gets 503 and may try again.
        max_body_bytes: larger bodies are refused with 413.
    """

    path: str
    handle: Callable[[DoorRequest], Awaitable[DoorResponse]]
    methods: frozenset[str] = frozenset({"POST"})
    max_body_bytes: int = 1 << 20


class AccountContext(Protocol):
    """What the gateway gives to one run of one account."""

    @property
    def channel(self) -> str:
        """The channel's id."""
        ...

    @property
    def account(self) -> str:
        """The account's id."""
        ...

    @property
    def config(self) -> Any:
        """The account's settings: an instance of the class the manifest names."""
        ...

    @property
    def generation(self) -> int:
        """The number of this run; higher each time."""
        ...

    @property
    def cursor(self) -> str | None:
        """Where the provider's stream was when something was last received; opaque."""
        ...

    @property
    def clock(self) -> Clock:
        """Time."""
        ...

    @property
    def tasks(self) -> Tasks:
        """Starts tasks that end with this run: cancelled and awaited when it is torn down."""
        ...

    @property
    def folder(self) -> Path:
        """A private folder of the account, for keys and sessions of its library; made on use."""
        ...

    @property
    def menu(self) -> Sequence[tuple[str, str]]:
        """The gateway's commands for a provider that shows them: names and what they do."""
        ...

    async def receive(self, message: InboundMessage, *, cursor: str | None = None) -> Received:
        """Hand in a message; returns when it is on disk, the cursor with it.

        `message.channel` and `message.account` are filled in. Call it in the order in which the
        provider tells; conversations are kept apart by the gateway, not here.

        Raises:
            Superseded: another run has taken over; nothing is stored.
            Exception: it is not stored (the database is away): do not acknowledge it.
        """
        ...

    async def is_wanted(self, message: InboundMessage) -> bool:
        """Whether a message would be admitted or kept as context; nothing is stored.

        Ask it with the message as it is without its files, before they are fetched: those of
        strangers need not be.
        """
        ...

    async def note(self, event: ChannelEvent, *, cursor: str | None = None) -> bool:
        """Record what is no message; `False` when it was recorded before. Raises as `receive`."""
        ...

    async def keep_cursor(self, cursor: str) -> None:
        """Store a cursor that came with nothing else. Raises as `receive`."""
        ...

    def alive(self) -> None:
        """The receiving side works: an answer to a poll, a heartbeat, an event came in.

        Never call it for something that was sent.
        """
        ...

    def connected(self, *, identity: Mapping[str, Any] | None = None) -> None:
        """It is logged in and receives; from now on messages are sent.

        Args:
            identity: who the account is there (`{id, username …}`), for the operator.
        """
        ...

    def disconnected(self, reason: str) -> None:
        """The connection is lost, and `run` is mending it by itself; nothing is sent meanwhile."""
        ...

    def open_door(self, door: HttpDoor) -> str:
        """Answer HTTP requests at `/integrations/<channel>/<door.path>` until this run ends.

        Returns:
            the path on the gateway's port.

        Raises:
            Misconfigured: another account has that path.
        """
        ...


class RunningAccount(Protocol):
    """One run of one account: made with a context, run once."""

    async def run(self) -> None:
        """Connect and receive until cancelled; on the way out close everything.

        Raises:
            AuthExpired: the credentials are not accepted.
            Misconfigured: the settings cannot work.
            Exception: it broke; it is run anew after a wait.
        """
        ...

    async def send(self, message: Outgoing) -> Receipt:
        """Send one message.

        Raises:
            ChannelError: one of the six kinds above; anything else counts as `Uncertain`.
        """
        ...


# -- what an account may do besides ----------------------------------------------------------------


@runtime_checkable
class Edits(Protocol):
    """Messages can be changed after they were sent."""

    async def edit(self, route: ReplyRoute, message_id: str, text: str) -> None:
        """Change a message's text. Raises `ChannelError`."""
        ...


@runtime_checkable
class Deletes(Protocol):
    """Messages can be taken back."""

    async def delete(self, route: ReplyRoute, message_id: str) -> None:
        """Delete a message for everybody. Raises `ChannelError`."""
        ...


@runtime_checkable
class Previews(Protocol):
    """An answer can be shown while it grows.

    `send` with the same `run_id` makes the preview the final message. A preview is best effort:
    it is never retried, and after a crash it is forgotten.
    """

    async def preview(self, route: ReplyRoute, run_id: str, text: str) -> None:
        """Show an answer's text so far. Called one at a time, not faster than the provider likes.

        Raises:
            RateLimited: not before this time again.
        """
        ...

    async def drop_preview(self, run_id: str) -> None:
        """The run ended without an answer: take the preview back."""
        ...


@runtime_checkable
class Reacts(Protocol):
    """Messages can carry a reaction of the account."""

    async def react(
        self, route: ReplyRoute, message_id: str, emoji: str, *, remove: bool = False
    ) -> None:
        """Add or remove a reaction. Raises `ChannelError`."""
        ...


@runtime_checkable
class ShowsTyping(Protocol):
    """The other side can see that an answer is being written."""

    async def typing(self, route: ReplyRoute, *, on: bool) -> None:
        """Show it for some seconds, or stop showing it. Best effort."""
        ...


@runtime_checkable
class MarksRead(Protocol):
    """The other side can see that a message was read."""

    async def mark_read(self, route: ReplyRoute, message_id: str) -> None:
        """Mark a message as read. Best effort."""
        ...


@runtime_checkable
class Polls(Protocol):
    """Polls can be sent."""

    async def send_poll(self, poll: OutgoingPoll) -> Receipt:
        """Send a poll. Raises as `send`."""
        ...


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """Somebody or something one can write to."""

    kind: PeerKind | Literal["user"]
    id: str
    name: str | None = None
    handle: str | None = None


@runtime_checkable
class HasDirectory(Protocol):
    """The account knows whom one can write to."""

    async def directory(self, *, query: str, limit: int) -> Sequence[DirectoryEntry]:
        """Return those whose name or id contains the query; empty: all."""
        ...


@runtime_checkable
class Probes(Protocol):
    """The account can ask the provider whether all is well."""

    async def probe(self) -> Mapping[str, Any]:
        """Return what the provider says: `{ok: bool, …}`, fit for the operator."""
        ...


@dataclass(frozen=True, slots=True)
class LoginStep:
    """Where a login is.

    Attributes:
        message: what the person should do, or that it is done.
        qr_data_url: `data:image/png;base64,…` to be shown.
        connected: the account is logged in; its credentials are in its folder.
    """

    message: str
    qr_data_url: str | None = None
    connected: bool = False


@runtime_checkable
class LogsIn(Protocol):
    """A person logs the account in. Called on an account that does not run."""

    async def login_start(self, *, force: bool) -> LoginStep:
        """Begin: return what is shown to the person.

        Args:
            force: forget an existing login first.
        """
        ...

    async def login_wait(self, *, timeout_s: float, shown_qr: str | None) -> LoginStep:
        """Return when something has changed (done, or a new code), or when the time is up."""
        ...

    async def login_end(self) -> None:
        """Close what the login has opened; safe to call twice."""
        ...


@runtime_checkable
class LogsOut(Protocol):
    """The account can give its credentials back. Called on an account that does not run."""

    async def logout(self) -> bool:
        """Forget them here and at the provider; return whether there were any."""
        ...
