"""One connection: socket, challenge, connect, then requests and events until it closes.

Guarantees: every request ends: with its answer, or with the reason the connection closed. A
connection that is silent for two ticks is closed, as the protocol asks of clients.

Not here: coming back after a loss (`client.py`).
Source: OpenClaw gateway protocol, "Transport", "Handshake" and "Client behaviours".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from portico.client.errors import (
    ClientError,
    ConnectionLost,
    ConnectRefused,
    Refused,
    TimedOut,
    Unreachable,
)
from portico.client.model import (
    ClientSettings,
    Event,
    Hello,
    Incoming,
)
from portico.clock import Clock
from portico.ids import new_uuid
from portico.protocol.connect import EVENT_REPLAY_CAP, PROTOCOL_VERSION
from portico.protocol.errors import ErrorCode, ErrorShape

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_TICK_TIMEOUT_CODE: Final = 4000
_ACCEPTED: Final = "accepted"

OnEvent = Callable[[Event], None]
OnAccepted = Callable[[Any], None]
_incoming = msgspec.json.Decoder(Incoming)


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
        self._lost: ClientError | None = None
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
            ConnectionLost: the connection closed first.
            TimedOut: no answer within `timeout_s`.
        """
        if self._lost is not None:
            raise self._lost
        request_id = new_uuid()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = _Pending(method, answer, wants_final, on_accepted)
        frame = {"type": "req", "id": request_id, "method": method}
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(frame if params is None else {**frame, "params": params})
                return await answer
        except TimeoutError:
            raise TimedOut(method, timeout_s or 0) from None
        finally:
            self._pending.pop(request_id, None)

    async def _send(self, frame: dict[str, Any]) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._socket.send(msgspec.json.encode(frame).decode())
        except ConnectionClosed as error:
            raise _lost(error) from None

    async def pump(self) -> ClientError:
        """Read until the connection closes; return why it did."""
        try:
            lost = await self._read_until_lost()
        except BaseException:
            self._fail_pending(ConnectionLost(1000, "closed by this client"))
            raise
        self._fail_pending(lost)
        await self._socket.close(_TICK_TIMEOUT_CODE, "tick timeout")
        return lost

    async def _read_until_lost(self) -> ClientError:
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
            return _lost(error)

    def _fail_pending(self, error: ClientError) -> None:
        self._lost = error
        for pending in self._pending.values():
            if not pending.answer.done():
                pending.answer.set_exception(error)

    def _take(self, data: bytes) -> None:
        try:
            frame = _incoming.decode(data)
        except msgspec.MsgspecError:
            return  # a kind of frame that is newer than this client
        if frame.type == "event":
            payload = msgspec.json.decode(frame.payload)
            self._on_event(Event(frame.event, payload, frame.seq, frame.cursor))
        elif frame.type == "res" and (pending := self._pending.get(frame.id)) is not None:
            _answer(pending, frame)

    async def close(self) -> None:
        """Close the socket. Safe to call twice."""
        await self._socket.close()


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


def _lost(error: Any) -> ConnectionLost:
    received = error.rcvd or error.sent
    return ConnectionLost(received.code, received.reason) if received else ConnectionLost(1006, "")


async def open_connection(
    settings: ClientSettings,
    *,
    clock: Clock,
    on_event: OnEvent,
    resume: dict[str, Any] | None = None,
) -> Connection:
    """Connect and shake hands.

    Raises:
        Unreachable: nothing that speaks the protocol answers.
        ConnectRefused: the gateway refused the handshake.
    """
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            socket = await _open_socket(settings)
            try:
                hello = await _shake_hands(socket, settings, clock=clock, resume=resume)
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


async def _shake_hands(
    socket: ClientConnection,
    settings: ClientSettings,
    *,
    clock: Clock,
    resume: dict[str, Any] | None,
) -> Hello:
    from websockets.exceptions import ConnectionClosed

    try:
        challenge = await _await_frame(socket, lambda f: f.event == "connect.challenge")
        nonce = msgspec.json.decode(challenge.payload, type=dict[str, Any])
        params = connect_params(settings, nonce, clock=clock, resume=resume)
        request = {"type": "req", "id": new_uuid(), "method": "connect", "params": params}
        await socket.send(msgspec.json.encode(request).decode())
        answer = await _await_frame(socket, lambda f: f.type == "res" and f.id == request["id"])
    except ConnectionClosed as error:
        lost = _lost(error)
        raise Unreachable(settings.url, f"closed during the handshake: {lost}") from None
    except msgspec.MsgspecError:
        raise Unreachable(settings.url, "what answers there is not a gateway") from None
    if not answer.ok:
        error_shape = answer.error or ErrorShape(code="UNAVAILABLE", message="connect refused")
        raise ConnectRefused(error_shape, method="connect")
    return msgspec.json.decode(answer.payload, type=Hello)


async def _await_frame(socket: ClientConnection, is_wanted: Callable[[Incoming], bool]) -> Incoming:
    while True:
        frame = _incoming.decode(await socket.recv(decode=False))
        if is_wanted(frame):
            return frame


def connect_params(
    settings: ClientSettings,
    challenge: dict[str, Any],
    *,
    clock: Clock,
    resume: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the params of `connect` for one challenge."""
    client = {
        "id": settings.name.id,
        "mode": settings.name.mode,
        "version": settings.name.version,
        "platform": settings.name.platform,
    }
    params: dict[str, Any] = {
        "minProtocol": settings.min_protocol,
        "maxProtocol": PROTOCOL_VERSION,
        "client": client,
        "caps": [*settings.caps, *([EVENT_REPLAY_CAP] if settings.reconnect else [])],
        "role": settings.role,
        "scopes": list(settings.scopes),
    }
    if settings.credentials:
        params["auth"] = settings.credentials.to_wire()
    if settings.device is not None:
        signed_at = challenge.get("ts")
        params["device"] = settings.device.prove(
            client=client,
            role=settings.role,
            scopes=settings.scopes,
            token=settings.credentials.token or "",
            nonce=str(challenge.get("nonce", "")),
            signed_at_ms=signed_at if isinstance(signed_at, int) else clock.now_ms(),
        )
    if resume is not None:  # only gateways that gave us a cursor know this member
        params["resume"] = resume
    return params
