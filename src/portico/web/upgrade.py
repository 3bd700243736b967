"""The upgrade of a connection to a WebSocket: who asks, and what it is answered.

Guarantees: a refusal has the status and the body that the HTTP side would give.

Source: RFC 6455, section 4.2; OpenClaw gateway protocol, "Transport".
"""

from __future__ import annotations

import asyncio
import http
from typing import NamedTuple
from urllib.parse import parse_qs

import structlog
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from portico.auth.forwarded import header_map
from portico.auth.peer import Peer, peer_of, plain_ip
from portico.protocol.errors import Forbidden, GatewayError
from portico.web.control_plane import ControlPlane
from portico.web.problem import translate

log = structlog.get_logger()


class Upgrade(NamedTuple):
    """What an upgrade request is answered; `peer` is who asked, when it was granted."""

    reply: bytes
    peer: Peer | None


def answer_upgrade(data: bytes, transport: asyncio.Transport, plane: ControlPlane) -> Upgrade:
    """Judge the request that begins a WebSocket."""
    server = ServerProtocol(max_size=None, logger=plane.wire_log)
    server.receive_data(data)
    request = next((e for e in server.events_received() if isinstance(e, Request)), None)
    peer = None
    if request is not None and server.handshake_exc is None:
        peer = _peer_of(request, transport, plane)
        server.send_response(_respond(server, request, peer, plane))
    reply = b"".join(server.data_to_send())
    return Upgrade(reply, peer if server.state is OPEN else None)


def _peer_of(request: Request, transport: asyncio.Transport, plane: ControlPlane) -> Peer:
    query = request.path.partition("?")[2]
    return peer_of(
        _remote_ip(transport),
        header_map(request.headers.raw_items()),
        rules=plane.authenticator.peer_rules,
        local_port=_local_port(transport),
        query_token=parse_qs(query).get("token", [None])[0],
        is_secure=transport.get_extra_info("sslcontext") is not None,
    )


def _respond(server: ServerProtocol, request: Request, peer: Peer, plane: ControlPlane) -> Response:
    if plane.claimed(request.path.partition("?")[0]):
        return server.reject(http.HTTPStatus.NOT_FOUND, "Not Found\n")
    try:
        plane.authenticator.check_peer(peer)
    except Forbidden as error:
        return _forbidden(server, error)
    if not plane.has_room(peer.ip):
        log.warning("ws.no_room", ip=peer.ip, open=len(plane))
        return server.reject(http.HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections\n")
    return server.accept(request)


def _forbidden(server: ServerProtocol, error: GatewayError) -> Response:
    """Refuse an upgrade as the HTTP side refuses a request."""
    refused = server.reject(http.HTTPStatus.FORBIDDEN, "")
    answer = translate(error)
    refused.body = bytes(answer.body)
    for name in ("content-type", "content-length"):
        del refused.headers[name]
        refused.headers[name] = answer.headers[name]
    return refused


def _remote_ip(transport: asyncio.Transport) -> str | None:
    peername = transport.get_extra_info("peername")
    return plain_ip(str(peername[0])) if isinstance(peername, tuple) else None


def _local_port(transport: asyncio.Transport) -> int:
    sockname = transport.get_extra_info("sockname")
    return int(sockname[1]) if isinstance(sockname, tuple) else 0
