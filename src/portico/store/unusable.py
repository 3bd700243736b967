"""Why a gateway cannot use its database: at the start, in words a person can act on."""

from __future__ import annotations


class DatabaseUnusable(Exception):
    """The database cannot be opened or brought up to date; it is as it was."""


class SchemaTooNew(DatabaseUnusable):
    """The database was made by a newer version of Portico."""


class DatabaseAway(Exception):
    """A database that was there does not answer, or takes no more."""


class Unstorable(Exception):
    """A text has a character that the database cannot keep."""
