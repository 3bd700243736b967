"""How the service says no."""

from __future__ import annotations

from typing import Any


class Trouble(Exception):
    """It was not done; the text says why and is fit for the caller.

    Attributes:
        code: stable, for programs.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def body(self) -> dict[str, Any]:
        """Return what is answered."""
        return {"error": str(self), "code": self.code}


def invalid(message: str) -> Trouble:
    """Return that the caller asked for what can never be done."""
    return Trouble(400, "INVALID_REQUEST", message)


def refused(message: str) -> Trouble:
    """Return that a page may not be opened."""
    return Trouble(403, "NAVIGATION_BLOCKED", message)
