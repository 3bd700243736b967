"""The copies kept beside the config file: earlier texts, and texts that were refused.

`portico.json.bak` is the text before the last edit, `.bak.1` the one before, and so on;
`portico.json.rejected.<ms>` is a text the gateway did not take, or took back.

Guarantees: private (0600), and never more than `BACKUPS` and `REJECTED` of them. Not being able to
keep a copy is logged and hurts nobody.
"""

from __future__ import annotations

from pathlib import Path

from portico.clock import SystemClock
from portico.config.atomic import write_atomic

BACKUPS = 5
REJECTED = 5


def backup_paths(file: Path) -> list[Path]:
    """Where earlier texts are, the newest first."""
    return [
        file.with_name(f"{file.name}.bak" + (f".{number}" if number else ""))
        for number in range(BACKUPS)
    ]


def rejected_paths(file: Path) -> list[Path]:
    """The refused texts that are kept, the oldest first."""
    return sorted(file.parent.glob(f"{file.name}.rejected.*"))


def keep_backup(file: Path, text: str) -> None:
    """Keep a text that is about to be replaced; the oldest gives way."""
    places = backup_paths(file)
    try:
        for older, newer in zip(reversed(places), reversed(places[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
        write_atomic(places[0], text)
    except OSError as error:
        _warn("config.no_backup", places[0], error)


def keep_rejected(file: Path, text: str) -> Path | None:
    """Keep a text that was refused; return where, or `None` when it cannot be kept."""
    place = file.with_name(f"{file.name}.rejected.{SystemClock().now_ms():013d}")
    try:
        write_atomic(place, text)
        for old in rejected_paths(file)[:-REJECTED]:
            old.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        _warn("config.no_rejected_copy", place, error)
        return None
    return place


def _warn(event: str, place: Path, error: Exception) -> None:
    import structlog  # the command line edits without it

    structlog.get_logger().warning(event, file=str(place), error=str(error))
