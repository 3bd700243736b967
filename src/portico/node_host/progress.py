"""What a program says while it runs, on its way to the gateway.

Guarantees: pieces are text of at most 16,384 bytes, numbered from 0, in order, one at a time; a
program that says more than the network takes does not wait and does not fill the memory: what is in
between is left out, and said to be. The result has its own, complete end of the output.

Source: OpenClaw gateway protocol, `node.invoke.progress`.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

CHUNK_BYTES: Final = 16_384
MAX_WAITING_BYTES: Final = 262_144
PAUSE_S: Final = 0.05
LEFT_OUT: Final = "\n[… some output left out …]\n"

Send = Callable[[int, str], Awaitable[None]]


class Progress:
    """The running output of one command. `send` sends one numbered piece."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting = ""
        self._has_gap = False
        self._changed = asyncio.Event()
        self._is_over = False

    def add(self, chunk: bytes) -> None:
        """Take some output."""
        text = self._decoder.decode(chunk)
        if len(self._waiting) + len(text) > MAX_WAITING_BYTES:
            self._has_gap = True
            return
        if self._has_gap:
            self._has_gap = False
            text = LEFT_OUT + text
        self._waiting += text
        self._changed.set()

    def end(self) -> None:
        """Nothing more comes."""
        self._is_over = True
        self._changed.set()

    async def pump(self) -> None:
        """Send until the end; what cannot be sent is let go."""
        seq = 0
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._waiting:
                piece, self._waiting = _cut(self._waiting)
                with contextlib.suppress(Exception):  # the result counts, this is only for show
                    await self._send(seq, piece)
                seq += 1
            if self._is_over:
                return
            await asyncio.sleep(PAUSE_S)  # so that many small writes become one piece


def _cut(text: str) -> tuple[str, str]:
    """Split off as much as fits into one piece."""
    raw = text[:CHUNK_BYTES].encode()
    if len(raw) <= CHUNK_BYTES:
        return text[:CHUNK_BYTES], text[CHUNK_BYTES:]
    piece = raw[:CHUNK_BYTES].decode(errors="ignore")
    return piece, text[len(piece) :]
