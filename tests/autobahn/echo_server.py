"""The gateway's own WebSocket shell as an echo server, for the Autobahn suite (by hand).

The suite needs Python 2.7 (`autobahntestsuite`); it judges framing, so what stands between the
socket and the conversation is the product's code, and only the conversation is an echo:

    python -m tests.autobahn.echo_server 9001 &
    wstest -m fuzzingclient -s tests/autobahn/fuzzingclient.json
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
import uvloop
from websockets.frames import Frame, Opcode

from portico.auth.peer import Peer
from portico.web.caller import Caller
from portico.web.control_plane import ControlPlane
from portico.web.wire import Wire
from portico.web.ws import GatewaySocket
from tests.fakes.control_plane import running_plane

MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # the largest of the suite is 16 MB


class EchoSocket(GatewaySocket):
    """Says back what it hears, in the kind of frame it came in."""

    __slots__ = ()

    def _begin(self, peer: Peer) -> None:
        self._wire = Wire(
            max_size=MAX_MESSAGE_BYTES, too_big_reason="too large", logger=self.plane.wire_log
        )
        self._caller = Caller(self.plane, self, peer)

    def _take_message(self, data: Any, *, is_binary: bool) -> None:
        if not is_binary:
            try:
                str(data, "utf-8")
            except UnicodeDecodeError:
                super()._take_message(data, is_binary=is_binary)  # the product's answer to it
                return
        opcode = Opcode.BINARY if is_binary else Opcode.TEXT
        self._out.append(Frame(opcode, bytes(data)).serialize(mask=False))


def echo_protocol(plane: ControlPlane) -> type[asyncio.Protocol]:
    return type("PorticoEcho", (EchoSocket,), {"__slots__": (), "plane": plane})


async def serve(port: int, state: Path) -> None:
    async with running_plane(state) as plane:
        config = uvicorn.Config(
            _not_found, port=port, ws=echo_protocol(plane.plane), lifespan="off", loop="none"
        )
        await uvicorn.Server(config).serve()


async def _not_found(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        uvloop.run(serve(int(sys.argv[1]), Path(folder)))
