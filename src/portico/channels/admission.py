"""What a policy decides about a message: admitted, kept as context, or refused, and why.

Not here: the rules (access/, and the inbox's own); carrying a decision out (the inbox).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from portico.channels.model import InboundMessage
from portico.store import Work


class Verdict(StrEnum):
    """What becomes of a message."""

    ADMIT = "admit"
    CONTEXT = "context"  # kept in the transcript, not answered
    REFUSE = "refuse"


class Effect(Protocol):
    """What a decision does besides, such as asking for pairing."""

    def work(self, now: int) -> Work[None]:
        """The rows, written in the transaction that stores the message, and only once for it."""
        ...

    def committed(self) -> None:
        """They are on disk."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and why."""

    verdict: Verdict
    reason: str | None = None
    effect: Effect | None = None


class Policy(Protocol):
    """The rules of one door. What is in the decision is recorded with the message."""

    def judge(self, message: InboundMessage, *, searchable: str, now: int) -> Work[Decision]:
        """Judge a message, inside the transaction that stores it.

        Args:
            searchable: all its text, the texts of its parts included.
        """
        ...
