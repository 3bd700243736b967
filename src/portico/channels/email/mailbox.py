"""Where reading a mailbox is: what has been taken in, and what is new.

Theory of operation: messages have numbers (UIDs) that only grow, within one numbering
(UIDVALIDITY). The cursor holds both, with the time the last mail arrived. At the first start what
is there is passed over, or only what is unread is taken. When the server has numbered everything
anew, only what is unread and has arrived since is taken; what had been taken already is recognised
by its key, wherever it is found.

Source: RFC 3501, section 2.3.1.1; RFC 4549, section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from portico.channels.email.imap import Selected


@dataclass(frozen=True, slots=True)
class Position:
    """How far a mailbox has been read.

    Attributes:
        uid: everything up to here is done.
        unread_until: up to here only unread mail is taken that arrived at `since_s` or later.
        since_s: when the newest mail arrived that was taken, in seconds since 1970.
    """

    uid_validity: int
    uid: int
    unread_until: int
    since_s: int

    @property
    def cursor(self) -> str:
        """As it is stored."""
        return f"{self.uid_validity}:{self.uid}:{self.unread_until}:{self.since_s}"

    def past(self, uid: int, arrived_s: int) -> Position:
        """Return the position after a message."""
        is_new = uid > self.unread_until
        since_s = max(self.since_s, arrived_s) if is_new else self.since_s
        return replace(self, uid=max(self.uid, uid), since_s=since_s)

    def wants(self, uid: int, arrived_s: int) -> bool:
        """Whether a message is to be taken; of those up to `unread_until` only unread ones come."""
        return uid > self.unread_until or not arrived_s or arrived_s >= self.since_s


def begin(
    cursor: str | None, folder: Selected, *, takes_unread: bool, now_s: int
) -> tuple[Position, bool]:
    """Return where to read on, and whether the mailbox was numbered anew."""
    newest = folder.uid_next - 1
    stored = _parse(cursor)
    if stored is None:
        if takes_unread:
            return Position(folder.uid_validity, 0, newest, 0), False
        return Position(folder.uid_validity, newest, 0, now_s), False
    if stored.uid_validity == folder.uid_validity:
        return stored, False
    return Position(folder.uid_validity, 0, newest, stored.since_s), True


def _parse(cursor: str | None) -> Position | None:
    try:
        validity, uid, until, since_s = (int(part) for part in (cursor or "").split(":"))
    except ValueError:
        return None
    return Position(validity, uid, until, since_s)
