"""A finding, and what the checks may look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portico.config import ConfigPaths, LoadedConfig


Fix = Callable[[], str]
"""Mends a finding, safely, and says what it did."""


class Level(StrEnum):
    """How much a finding matters. Warnings and errors are problems."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    check: str
    level: Level
    message: str
    explanation: str = ""
    next_step: str = ""
    fix: Fix | None = None

    @property
    def is_problem(self) -> bool:
        """Whether somebody should do something about it."""
        return self.level in {Level.WARNING, Level.ERROR}

    def to_json(self) -> dict[str, Any]:
        """The finding for `--json`."""
        return {
            "check": self.check,
            "level": self.level.value,
            "message": self.message,
            "explanation": self.explanation,
            "next_step": self.next_step,
            "fixable": self.fix is not None,
        }


@dataclass(frozen=True, slots=True)
class Patient:
    """What the checks look at: files, environment and the configuration as loaded."""

    paths: ConfigPaths
    env: Mapping[str, str]
    loaded: LoadedConfig


Check = Callable[[Patient], Iterable[Finding]]


def fine(check: str, message: str) -> Finding:
    """Nothing wrong."""
    return Finding(check=check, level=Level.OK, message=message)
