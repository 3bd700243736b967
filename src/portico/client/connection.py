"""One connection: socket, challenge, connect, then requests and events until it closes.

Guarantees: every request ends: with its answer, or with the reason the connection closed. A
connection that is silent for two ticks is closed, as the protocol asks of clients.

Not here: the handshake (`handshake.py`), coming back after a loss (`client.py`).
Source: OpenClaw gateway protocol, "Transport", "Handshake" and "Client behaviours".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from portico.client.calling import OnAccepted
from portico.client.errors import ConnectionLost, Refused, TimedOut, Unreachable
from portico.client.handshake import incoming, lost, shake_hands
from portico.client.model import ClientSettings, Credentials, Event, Hello, Incoming
from portico.clock import Clock
from portico.ids import new_uuid
from portico.protocol.errors import ErrorCode, ErrorShape, Outcome

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_TICK_TIMEOUT_CODE: Final = 4000
_ACCEPTED: Final = "accepted"

OnEvent = Callable[[Event], None]


@dataclass(slots=True)
class _Pending:
    method: str
    answer: asyncio.Future[Any]
    wants_final: bool
    on_accepted: OnAccepted | None


def is_loopback(url: str) -> bool:
    """Whether the URL names this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK_HOSTS


class Connection:
    """A connection after its hello."""

    def __init__(self, socket: ClientConnection, hello: Hello, on_event: OnEvent) -> None:
        self._socket = socket
        self._on_event = on_event
        self._pending: dict[str, _Pending] = {}
        self._lost: ConnectionLost | None = None
        self.hello = hello

    @property
    def is_lost(self) -> bool:
        """Whether the connection has closed."""
        return self._lost is not None

    async def request(
        self,
        method: str,
        params: Any,
        *,
        timeout_s: float | None,
        wants_final: bool = False,
        on_accepted: OnAccepted | None = None,
    ) -> Any:
        """Send a request and wait for its answer.

        Args:
            wants_final: skip a first answer with status `accepted` and wait for the second one.

        Raises:
            Refused: the gateway answered with an error.
            ConnectionLost: the connection closed first; `outcome` says what is known of the call.
            TimedOut: no answer within `timeout_s`.
        """
        if self._lost is not None:
            raise self._lost.during(method, Outcome.NOT_STARTED)
        request_id = new_uuid()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = _Pending(method, answer, wants_final, on_accepted)
        frame = {"type": "req", "id": request_id, "method": method}
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(method, frame if params is None else {**frame, "params": params})
                return await answer
        except TimeoutError:
            raise TimedOut(method, timeout_s or 0) from None
        finally:
            self._pending.pop(request_id, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # whoever asked was told already, by what sending raised

    async def _send(self, method: str, frame: dict[str, Any]) -> None:
        from websockets.exceptions import ConnectionClosed

        text = msgspec.json.encode(frame).decode()
        try:
            await self._socket.send(text)
        except ConnectionClosed as error:  # some of it may have left before the loss
            raise lost(error).during(method, Outcome.UNCERTAIN) from None

    async def pump(self) -> ConnectionLost:
        """Read until the connection closes; return why it did."""
        try:
            reason = await self._read_until_lost()
        except BaseException:
            self._fail_pending(ConnectionLost(1000, "closed by this client"))
            raise
        self._fail_pending(reason)
        await self._socket.close(_TICK_TIMEOUT_CODE, "tick timeout")
        return reason

    async def _read_until_lost(self) -> ConnectionLost:
        from websockets.exceptions import ConnectionClosed

        silence_s = 2 * self.hello.policy.tick_interval_ms / 1000
        try:
            while True:
                async with asyncio.timeout(silence_s):
                    data = await self._socket.recv(decode=False)
                self._take(data)
        except TimeoutError:
            return ConnectionLost(_TICK_TIMEOUT_CODE, "tick timeout")
        except ConnectionClosed as error:
            return lost(error)

    def _fail_pending(self, reason: ConnectionLost) -> None:
        self._lost = reason
        for pending in self._pending.values():
            if not pending.answer.done():
                pending.answer.set_exception(reason.during(pending.method, Outcome.UNCERTAIN))

    def _take(self, data: bytes) -> None:
        try:
            frame = incoming.decode(data)
        except msgspec.MsgspecError:
            return  # a kind of frame that is newer than this client
        if frame.type == "event":
            payload = msgspec.json.decode(frame.payload)
            self._on_event(Event(frame.event, payload, frame.seq, frame.cursor))
        elif frame.type == "res" and (pending := self._pending.get(frame.id)) is not None:
            _answer(pending, frame)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket. Safe to call twice."""
        await self._socket.close(code, reason)


def _answer(pending: _Pending, frame: Incoming) -> None:
    if pending.answer.done():
        return
    payload = msgspec.json.decode(frame.payload)
    if not frame.ok:
        error = frame.error or ErrorShape(code=ErrorCode.UNAVAILABLE, message="no error given")
        pending.answer.set_exception(Refused(error, method=pending.method, payload=payload))
        return
    if pending.wants_final and isinstance(payload, dict) and payload.get("status") == _ACCEPTED:
        if pending.on_accepted is not None:
            pending.on_accepted(payload)
        return
    pending.answer.set_result(payload)


async def open_connection(
    settings: ClientSettings,
    *,
    clock: Clock,
    on_event: OnEvent,
    credentials: Credentials | None = None,
    resume: dict[str, Any] | None = None,
) -> Connection:
    """Connect and shake hands.

    Args:
        credentials: in place of those of the settings.

    Raises:
        Unreachable: nothing that speaks the protocol answers.
        ConnectRefused: the gateway refused the handshake.
    """
    chosen = settings.credentials if credentials is None else credentials
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            socket = await _open_socket(settings)
            try:
                hello = await shake_hands(socket, settings, chosen, clock=clock, resume=resume)
            except BaseException:
                await socket.close()
                raise
    except TimeoutError:
        reason = f"no answer within {settings.connect_timeout_s:g} s"
        raise Unreachable(settings.url, reason) from None
    return Connection(socket, hello, on_event)


async def _open_socket(settings: ClientSettings) -> ClientConnection:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, InvalidURI

    options: dict[str, Any] = {"ssl": settings.tls} if settings.tls else {}
    if is_loopback(settings.url):
        options["proxy"] = None
    try:
        return await connect(
            settings.url,
            compression=None,
            max_size=None,  # what we asked for may be long; the gateway is whom we trust
            open_timeout=None,  # one deadline for all of it, above
            close_timeout=1,
            ping_interval=None,  # the gateway pings and ticks
            **options,
        )
    except (OSError, EOFError, InvalidHandshake, InvalidURI, ValueError) as error:
        raise Unreachable(settings.url, _reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and "Connect call failed" in str(error):
        return "connection refused"
    return str(error) or type(error).__name__
