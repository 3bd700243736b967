"""How a command ends: exit codes, and failures that name the next step.

| code | name | meaning |
| ---- | ------------ | -------------------------------------------------------------- |
| 0    | OK           | done                                                           |
| 1    | FAILED       | it did not work (also: `doctor` found problems that remain)    |
| 2    | USAGE        | the command line cannot be understood                          |
| 3    | UNREACHABLE  | no gateway answers, or it is not running                       |
| 4    | UNAUTHORIZED | credentials missing or wrong, scope missing, device not paired |
| 5    | REFUSED      | the gateway refused it, or what was named does not exist       |
| 6    | CONFIG       | the configuration is broken                                    |
| 130  | INTERRUPTED  | Ctrl-C                                                         |

Guarantees: codes and the `code` of a failure are contract; the texts may change.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What the process returns."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    UNAUTHORIZED = 4
    REFUSED = 5
    CONFIG = 6
    INTERRUPTED = 130


class Failure(Exception):
    """A command that could not do its work, explained."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        next_step: str = "",
        exit_code: ExitCode = ExitCode.FAILED,
        details: Any = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.next_step = next_step
        self.exit_code = exit_code
        self.details = details

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints on stderr."""
        error = {"code": self.code, "message": self.message, "next_step": self.next_step}
        return {"error": error if self.details is None else {**error, "details": self.details}}
