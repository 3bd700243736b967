"""Where the account was, as it is stored with each message.

Guarantees: never ahead of what is on disk. `mark` is the newest message up to which every
conversation is complete; ids of messages grow with time.

Source: https://docs.discord.com/developers/reference#snowflakes
"""

from __future__ import annotations

import msgspec

EPOCH_MS = 1_420_070_400_000
MOST_DIRECT = 100
OVERLAP_MS = 60_000
"""Messages of two conversations may be told in another order than that of their ids."""


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A place in the stream.

    Attributes:
        session, url, sequence: of the gateway session, to resume it.
        mark: the id of a message.
        direct: the newest one-to-one conversations, by channel id: Discord does not list them.
    """

    session: str | None = None
    url: str | None = None
    sequence: int | None = None
    mark: int | None = None
    direct: tuple[str, ...] = ()

    def fetch_after(self, *, now_ms: int, most_ms: float) -> int | None:
        """Return the id after which messages may have been missed; `None`: nothing is known."""
        if self.mark is None:
            return None
        return max(self.mark - (OVERLAP_MS << 22), snowflake(int(now_ms - most_ms)))


def snowflake(at_ms: int) -> int:
    """Return the lowest id of a time."""
    return max(0, at_ms - EPOCH_MS) << 22


def time_of(snowflake_id: int) -> int:
    """Return when an id was made, in milliseconds since 1970."""
    return (snowflake_id >> 22) + EPOCH_MS


def read_cursor(stored: str | None) -> Cursor:
    """Return a stored cursor; one that cannot be read counts as none."""
    try:
        return msgspec.json.decode(stored or "{}", type=Cursor)
    except msgspec.DecodeError:
        return Cursor()


def write_cursor(cursor: Cursor) -> str:
    """Return a cursor as it is stored."""
    return msgspec.json.encode(cursor).decode()
