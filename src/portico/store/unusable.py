"""Why a gateway cannot start on its database: said in words a person can act on."""

from __future__ import annotations


class DatabaseUnusable(Exception):
    """The database cannot be opened or brought up to date; it is as it was."""


class SchemaTooNew(DatabaseUnusable):
    """The database was made by a newer version of Portico."""
