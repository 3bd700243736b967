"""What a command says while it runs, put in order for who waits for it.

Theory of operation: pieces are numbered by the node from 0. One that comes too early is held until
those before it have come. A node may leave numbers out (it says more than its network takes), so a
hole is waited for only until `MAX_HELD` pieces are held, and not beyond the command's end.

Guarantees: a piece is shown once, in the order of the numbers; at most `MAX_HELD` pieces are held.
No I/O.

Source: OpenClaw gateway protocol, "node.invoke.progress".
"""

from __future__ import annotations

from typing import NamedTuple

MAX_HELD = 32


class Piece(NamedTuple):
    """A piece of what a command says.

    Attributes:
        seq: the node's number of it; a number that is missing before it was lost.
    """

    seq: int
    chunk: str


class Ordered:
    """The pieces of one command."""

    __slots__ = ("_held", "_next")

    def __init__(self) -> None:
        self._next = 0
        self._held: dict[int, str] = {}

    def take(self, piece: Piece) -> list[Piece] | None:
        """Take a piece; return what can be shown now. `None`: it, or a later one, came before."""
        if piece.seq < self._next or piece.seq in self._held:
            return None
        self._held[piece.seq] = piece.chunk
        if len(self._held) > MAX_HELD:
            self._next = min(self._held)
        return self._ready()

    def rest(self) -> list[Piece]:
        """Return what is still held: no more comes."""
        left = [Piece(seq, self._held[seq]) for seq in sorted(self._held)]
        self._held.clear()
        self._next = left[-1].seq + 1 if left else self._next
        return left

    def _ready(self) -> list[Piece]:
        ready = []
        while (chunk := self._held.pop(self._next, None)) is not None:
            ready.append(Piece(self._next, chunk))
            self._next += 1
        return ready
