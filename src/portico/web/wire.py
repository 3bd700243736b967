"""WebSocket framing: the handshake and the parsing are the websockets library's, unchanged.

Only the writing of text frames is ours: an unmasked, unfragmented, uncompressed frame is a header
and the payload, and nothing is cheaper than two items in a list that is joined once.

Source: RFC 6455, sections 5.2 and 7.4.
"""

from __future__ import annotations

import logging
import struct

from websockets.frames import CloseCode
from websockets.protocol import OPEN, SERVER, Protocol

_TEXT = 0x81  # final fragment, text
_SHORT = [bytes((_TEXT, length)) for length in range(126)]
_MEDIUM = struct.Struct("!BBH")
_LONG = struct.Struct("!BBQ")


def text_header(length: int) -> bytes:
    """Return the frame header of a text message of so many bytes."""
    if length < 126:
        return _SHORT[length]
    if length < 65_536:
        return _MEDIUM.pack(_TEXT, 126, length)
    return _LONG.pack(_TEXT, 127, length)


class Wire(Protocol):
    """The server's side of an open WebSocket, without I/O.

    Attributes:
        too_big_reason: goes into the close frame when a message is larger than allowed.
    """

    def __init__(self, *, max_size: int, too_big_reason: str, logger: logging.Logger) -> None:
        super().__init__(SERVER, state=OPEN, max_size=max_size, logger=logger)
        self.too_big_reason = too_big_reason

    def fail(  # type: ignore[explicit-override]  # typing has it since 3.12
        self, code: CloseCode | int, reason: str = ""
    ) -> None:
        """Fail the connection, in our words when a message is too big."""
        super().fail(code, self.too_big_reason if code == CloseCode.MESSAGE_TOO_BIG else reason)
