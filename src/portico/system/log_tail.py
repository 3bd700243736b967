"""Reads the end of a growing log file, or what was added to it since a cursor.

A cursor is a byte position after a whole line: half a line is left for the next read, so following
with the cursor gives every line once, whole.

Source: OpenClaw gateway protocol, "logs.tail".
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

_OWN = frozenset({"timestamp", "level", "event", "logger"})


@dataclass(frozen=True, slots=True)
class Tail:
    """Some whole lines.

    Attributes:
        cursor: where to go on.
        is_truncated: older bytes or lines were left out of this answer.
        is_reset: the cursor was of another file, or too far back; begin anew with these lines.
        skipped_bytes: what lies between the cursor that was given and the first byte read.
    """

    lines: tuple[str, ...]
    cursor: int
    size: int
    is_truncated: bool = False
    is_reset: bool = False
    skipped_bytes: int = 0


def read_tail(path: Path, *, cursor: int | None, limit: int, max_bytes: int) -> Tail:
    """Read at most `limit` lines and `max_bytes` bytes; a file that is not there is empty."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start, is_reset = _start(cursor, size, max_bytes)
            whole = _is_line_start(file.fileno(), start)
            data = os.pread(file.fileno(), size - start, start)
    except FileNotFoundError:
        return Tail((), 0, 0, is_reset=bool(cursor))
    end = data.rfind(b"\n") + 1
    lines = data[:end].split(b"\n")[:-1]
    if not whole and lines:
        lines = lines[1:]
    is_truncated = start > 0 if cursor is None or is_reset else False
    if len(lines) > limit:
        lines, is_truncated = lines[-limit:], True
    skipped = start - cursor if cursor is not None and start > cursor else 0
    return Tail(
        lines=tuple(line.decode("utf-8", "replace") for line in lines),
        cursor=start + end,
        size=size,
        is_truncated=is_truncated,
        is_reset=is_reset,
        skipped_bytes=skipped,
    )


def _start(cursor: int | None, size: int, max_bytes: int) -> tuple[int, bool]:
    newest = max(0, size - max_bytes)
    if cursor is None:
        return newest, False
    if cursor > size or cursor < newest:
        return newest, True
    return cursor, False


def _is_line_start(descriptor: int, position: int) -> bool:
    return position == 0 or os.pread(descriptor, 1, position - 1) == b"\n"


def readable(line: str) -> str:
    """Return a line with the members that log viewers of the protocol show: time and message.

    A line that is not a JSON object, or has a message already, stays as it is.
    """
    try:
        entry = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return line
    if not isinstance(entry, dict) or "message" in entry or "event" not in entry:
        return line
    details = " ".join(f"{name}={_short(entry[name])}" for name in entry if name not in _OWN)
    message = f"{entry['event']} {details}".rstrip()
    level = str(entry.get("level", "info")).upper()
    shown = {
        **entry,
        "0": message,
        "message": message,
        "time": entry.get("timestamp"),
        "_meta": {"logLevelName": level, "date": entry.get("timestamp"), "name": "portico"},
    }
    return msgspec.json.encode(shown).decode()


def _short(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
