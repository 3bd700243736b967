"""What a caller is told when the database, and not the gateway, is why something was not done.

Guarantees: names nothing of the database to who asked; what is a fault of ours is none of these.

Source: SQLite, "Result and Error Codes"; PostgreSQL, appendix A, "PostgreSQL Error Codes".
"""

from __future__ import annotations

import sqlite3
from typing import Final

from portico.protocol.errors import GatewayError, InvalidRequest, Outcome, Unavailable
from portico.store.unusable import DatabaseAway, Unstorable

RETRY_MS: Final = 2_000
_FULL_OR_AWAY: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)


def refusal_of(error: BaseException) -> GatewayError | None:
    """Return the answer to whoever asked for what the database did not do; `None`: it was not it.

    Whether a change was made is not known: the answer to a commit may have been lost.
    """
    if isinstance(error, Unstorable):
        return InvalidRequest(
            "a text has a character that cannot be stored (U+0000)",
            details={"code": "UNSTORABLE_TEXT"},
            outcome=Outcome.NOT_STARTED,
        )
    if isinstance(error, DatabaseAway) or _is_away(error):
        return Unavailable(
            "the gateway's database does not answer, or is full; try again",
            details={"code": "DATABASE_UNAVAILABLE"},
            retryable=True,
            retry_after_ms=RETRY_MS,
            outcome=Outcome.UNCERTAIN,
        )
    return None


def _is_away(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.Error) and code is not None and code & 0xFF in _FULL_OR_AWAY
