"""The last updates, in a file: it is read by the process that is started in the middle of one.

Guarantees: the file is replaced as a whole, and holds no more than `MOST` updates; one that cannot
be read counts as empty.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from portico.config.atomic import write_atomic
from portico.updates.model import UpdateRun

MOST = 50


class UpdateLog:
    """Updates, the newest first."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def runs(self) -> list[UpdateRun]:
        """Return what is recorded."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=list[UpdateRun])
        except (OSError, msgspec.MsgspecError):
            return []

    def find(self, run_id: str) -> UpdateRun | None:
        """Return one update."""
        return next((run for run in self.runs() if run.run_id == run_id), None)

    def put(self, run: UpdateRun) -> None:
        """Record an update, or how far it is."""
        others = [one for one in self.runs() if one.run_id != run.run_id]
        kept = sorted([run, *others], key=lambda one: -one.created_at_ms)[:MOST]
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(self._file, msgspec.json.encode(kept).decode())
