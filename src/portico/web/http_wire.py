"""One HTTP/1.1 connection: uvicorn's, which waits for a client for ever and keeps what it sends.

Theory of operation: what a client sends and no part of the app has taken, the head of a request
mostly, is counted and timed here. Bodies are the endpoints' business (`web.body`).

Guarantees: whoever connects and does not ask for anything, or asks without coming to an end, is cut
when its time is over; a head is no larger than `MAX_HEAD_BYTES`, else 431.

Source: RFC 9112, sections 2 and 9; RFC 6585, section 5; OWASP, "Slow HTTP attacks".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
HEAD_TIMEOUT_S = 15.0
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedHttp(HttpToolsProtocol):
    """One client. Subclassed once per server by `http_protocol`."""

    head_timeout_s: Callable[[], float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._untaken_bytes = 0
        self._is_asking = False  # a request has begun and has not been read to its end
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override, explicit-override]  # as uvicorn has it
        """Give the client time to ask."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """Forget it."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:  # type: ignore[explicit-override]
        """Take what it sends, as long as somebody is there to take it."""
        self._untaken_bytes += len(data)
        super().data_received(data)
        if self.transport.get_protocol() is not self:
            self._wait_no_more()  # it is a WebSocket now
        elif self._untaken_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._untaken_bytes and self._deadline is None:
            self._wait()

    def on_message_begin(self) -> None:  # type: ignore[explicit-override]
        """A request begins."""
        self._is_asking = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:  # type: ignore[explicit-override]
        """Its head is there."""
        self._taken()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:  # type: ignore[explicit-override]
        """Some of its body is there: for the endpoint, or, when that has answered, for nobody."""
        self._untaken_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:  # type: ignore[explicit-override]
        """All of it is there."""
        self._is_asking = False
        self._taken()
        super().on_message_complete()

    def on_response_complete(self) -> None:  # type: ignore[explicit-override]
        """It is answered; what may still come of it nobody reads."""
        super().on_response_complete()
        if self._is_asking:
            self._wait()

    def _taken(self) -> None:
        self._untaken_bytes = 0
        self._wait_no_more()

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_timeout_s(), self._give_up)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.abort()


def http_protocol(
    head_timeout_s: Callable[[], float] = lambda: HEAD_TIMEOUT_S,
) -> type[asyncio.Protocol]:
    """Return the class to give to `uvicorn.Config(http=…)`.

    Args:
        head_timeout_s: how long a client has to ask for something.
    """
    timeout = staticmethod(head_timeout_s)
    return type("PorticoHttp", (BoundedHttp,), {"head_timeout_s": timeout})
