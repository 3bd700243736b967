"""The bare echo server: uvicorn, uvloop, httptools, websockets' ServerProtocol, msgspec — no more.

It answers each request frame with its own params, `broadcast` with that many events to every
connection, and POST with the JSON it was sent. What a gateway costs more than this is its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from typing import Any, Literal

import msgspec
import uvicorn
import uvloop
from websockets.frames import CLOSE, TEXT, Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol


class Call(msgspec.Struct):
    """A request frame."""

    type: Literal["req"]
    id: str
    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")


class Answer(msgspec.Struct):
    """The answer to it."""

    type: str
    id: str
    ok: bool
    payload: Any


class Event(msgspec.Struct):
    """An event for everybody."""

    type: str
    event: str
    payload: Any


class Broadcast(msgspec.Struct):
    """Params of `broadcast`: how many events, each with this text."""

    events: int = 1
    text: str = ""


decode = msgspec.json.Decoder(Call).decode
encode = msgspec.json.Encoder().encode
connections: set[EchoSocket] = set()


class EchoSocket(asyncio.Protocol):
    """One WebSocket that echoes, in the words of uvicorn's WebSocket classes."""

    __slots__ = ("_server", "_transport")

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        self._server = ServerProtocol(max_size=2**20)
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Take the socket."""
        self._transport = transport
        connections.add(self)

    def data_received(self, data: bytes) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Echo what came; the answers to one read leave in one write."""
        server = self._server
        server.receive_data(data)
        for event in server.events_received():
            if isinstance(event, Request):
                server.send_response(server.accept(event))
            elif isinstance(event, Frame) and event.opcode is TEXT:
                self._answer(decode(event.data))
            elif isinstance(event, Frame) and event.opcode is CLOSE:
                self._transport.close()
        self.flush()

    def _answer(self, call: Call) -> None:
        if call.method == "broadcast":
            wanted = msgspec.json.decode(call.params, type=Broadcast)
            for number in range(1, wanted.events + 1):
                state = "final" if number == wanted.events else "delta"
                broadcast(encode(Event("event", "chat", {"state": state, "text": wanted.text})))
        self.send(encode(Answer("res", call.id, True, call.params)))

    def send(self, message: bytes) -> None:
        """Queue one text message."""
        self._server.send_text(message)

    def flush(self) -> None:
        """Write what is queued."""
        if parts := self._server.data_to_send():
            self._transport.write(b"".join(parts))

    def connection_lost(self, exc: Exception | None) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Forget the socket."""
        connections.discard(self)

    def shutdown(self) -> None:
        """End with the server (uvicorn calls this)."""
        self._transport.close()


def broadcast(event: bytes) -> None:
    """Send one event to everybody, at once."""
    for connection in connections:
        connection.send(event)
        connection.flush()


async def echo_http(scope: Any, receive: Any, send: Any) -> None:
    """Answer a POST with the JSON it carried."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = encode(msgspec.json.decode(body or b"{}"))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def main() -> None:
    """Serve on a free port of this machine and say which."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    listener.setblocking(False)
    config = uvicorn.Config(
        echo_http,
        ws=EchoSocket,
        http="httptools",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn offers nothing to wait for
        await asyncio.sleep(0.001)
    port = listener.getsockname()[1]
    said = {"event": "ready", "url": f"http://127.0.0.1:{port}", "pid": os.getpid()}
    print(json.dumps(said), flush=True)
    await serving


if __name__ == "__main__":
    uvloop.run(main())
