"""`audit`: the record of changes."""

from __future__ import annotations

from portico.config.sections.base import Section, setting


class Audit(Section):
    """The record of who changed what."""

    retention_days: int = setting(90, "How long a change is remembered.", reload="hot", ge=1)
    max_entries: int = setting(
        100_000, "How many changes are remembered at most.", reload="hot", ge=100, le=10_000_000
    )
