"""The opening of a connection, from the client's side: challenge, proof, `connect`, hello.

Not here: the socket (`connection.py`), which credentials are tried (`keyring.py`).
Source: OpenClaw gateway protocol, "Handshake".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from portico.client.errors import ConnectionLost, ConnectRefused, Unreachable
from portico.client.model import ClientSettings, Credentials, Hello, Incoming
from portico.clock import Clock
from portico.ids import new_uuid
from portico.protocol.connect import EVENT_REPLAY_CAP, PROTOCOL_VERSION
from portico.protocol.errors import ErrorShape
from portico.protocol.scopes import Role

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

incoming = msgspec.json.Decoder(Incoming)


def lost(error: Any) -> ConnectionLost:
    """Return why a socket closed."""
    received = error.rcvd or error.sent
    return ConnectionLost(received.code, received.reason) if received else ConnectionLost(1006, "")


async def shake_hands(
    socket: ClientConnection,
    settings: ClientSettings,
    credentials: Credentials,
    *,
    clock: Clock,
    resume: dict[str, Any] | None,
) -> Hello:
    """Answer the challenge and return the hello.

    Raises:
        Unreachable: what answers is not a gateway, or has gone away.
        ConnectRefused: the gateway refused the handshake.
    """
    from websockets.exceptions import ConnectionClosed

    try:
        challenge = await _await_frame(socket, lambda f: f.event == "connect.challenge")
        nonce = msgspec.json.decode(challenge.payload, type=dict[str, Any])
        params = connect_params(settings, credentials, nonce, clock=clock, resume=resume)
        request = {"type": "req", "id": new_uuid(), "method": "connect", "params": params}
        await socket.send(msgspec.json.encode(request).decode())
        answer = await _await_frame(socket, lambda f: f.type == "res" and f.id == request["id"])
    except ConnectionClosed as error:
        reason = f"closed during the handshake: {lost(error)}"
        raise Unreachable(settings.url, reason) from None
    except msgspec.MsgspecError:
        raise Unreachable(settings.url, "what answers there is not a gateway") from None
    if not answer.ok:
        error_shape = answer.error or ErrorShape(code="UNAVAILABLE", message="connect refused")
        raise ConnectRefused(error_shape, method="connect")
    return msgspec.json.decode(answer.payload, type=Hello)


async def _await_frame(socket: ClientConnection, is_wanted: Callable[[Incoming], bool]) -> Incoming:
    while True:
        frame = incoming.decode(await socket.recv(decode=False))
        if is_wanted(frame):
            return frame


def connect_params(
    settings: ClientSettings,
    credentials: Credentials,
    challenge: dict[str, Any],
    *,
    clock: Clock,
    resume: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the params of `connect` for one challenge."""
    client = settings.name.to_wire()
    params: dict[str, Any] = {
        "minProtocol": settings.min_protocol,
        "maxProtocol": PROTOCOL_VERSION,
        "client": client,
        "caps": _caps(settings),
        "role": settings.role,
        "scopes": list(settings.scopes),
        **(settings.offer.to_wire() if settings.role == Role.NODE else {}),
    }
    if credentials:
        params["auth"] = credentials.to_wire()
    if settings.device is not None:
        signed_at = challenge.get("ts")
        params["device"] = settings.device.prove(
            client=client,
            role=settings.role,
            scopes=settings.scopes,
            token=credentials.signed_token,
            nonce=str(challenge.get("nonce", "")),
            signed_at_ms=signed_at if isinstance(signed_at, int) else clock.now_ms(),
        )
    if resume is not None:  # only gateways that gave us a cursor know this member
        params["resume"] = resume
    return params


def _caps(settings: ClientSettings) -> list[str]:
    if settings.role == Role.NODE:  # there, a capability is something the node can do
        return [*settings.caps, *settings.offer.caps]
    return [*settings.caps, *([EVENT_REPLAY_CAP] if settings.reconnect else [])]
