"""What can be wrong with a configuration, said so that a person can mend it.

Guarantees: a `ConfigError` carries every problem found, not the first one; messages never show a
secret's value.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Severity(StrEnum):
    """How much an issue matters: an error stops, a warning is likely a mistake, a note informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding. `line` and `column` count from 1; `code` is stable, the texts may change."""

    severity: Severity
    path: str
    message: str
    next_step: str = ""
    code: str = ""
    file: str | None = None
    line: int | None = None
    column: int | None = None

    def render(self) -> str:
        """One line of text: place, path, message and what to do next."""
        place = self.file or ""
        if self.line is not None:
            place += f":{self.line}" + (f":{self.column}" if self.column is not None else "")
        head = "  ".join(part for part in (place, self.path) if part)
        text = f"{head}: {self.message}" if head else self.message
        return f"{text}. Next: {self.next_step}" if self.next_step else text

    def to_wire(self) -> dict[str, str]:
        """The two fields the protocol knows (OpenClaw `config.get`: issues and warnings)."""
        return {"path": self.path, "message": self.message}

    def to_json(self) -> dict[str, object]:
        """Every field that is set, for `--json` output."""
        return {
            name: str(value) if isinstance(value, Severity) else value
            for name in self.__slots__
            if (value := getattr(self, name)) not in (None, "")
        }


class ConfigError(Exception):
    """The configuration cannot be used; `issues` lists every reason."""

    def __init__(self, issues: Iterable[Issue]) -> None:
        self.issues: tuple[Issue, ...] = tuple(issues)
        super().__init__("\n".join(issue.render() for issue in self.issues))
