"""What the suite asks of a fake provider. An author adapts the fake to this.

What a provider has no notion of raises `NotImplementedError`: the tests that need it are skipped.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How the provider treats a message that is sent to it."""

    ACCEPT = "accept"
    LIMIT = "limit"  # too fast: try again after `Provider.retry_after_s`
    FAIL = "fail"  # broken, and certainly not accepted
    REJECT = "reject"  # never acceptable
    DROP_ANSWER = "drop_answer"  # accepted, and the connection is cut before the answer


@dataclass(frozen=True, slots=True)
class Sent:
    """One message as the person on the other side sees it."""

    to: str
    text: str


class Provider(abc.ABC):
    """A provider and the people who write through it.

    Attributes:
        keeps: what is said while nobody listens is delivered later.
        retry_after_s: how long it asks to wait when it limits.
    """

    keeps = True
    retry_after_s = 1.0

    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what is written in the configuration of an account that talks to this fake."""

    @abc.abstractmethod
    async def say(self, text: str, *, sender: str = "ann") -> str:
        """Let somebody write directly to the account; return the event's key.

        Returns at once: it does not wait until the account has acknowledged it.
        """

    @abc.abstractmethod
    async def repeat(self, key: str) -> None:
        """Tell the same event again, as after a lost acknowledgement."""

    @abc.abstractmethod
    def is_acknowledged(self, key: str) -> bool:
        """Whether the provider believes that the event has arrived."""

    @abc.abstractmethod
    def sent(self) -> list[Sent]:
        """Return every message people have got, in order."""

    @abc.abstractmethod
    def attempts(self) -> int:
        """Return how often something was sent, successfully or not."""

    @abc.abstractmethod
    def plan(self, *outcomes: Outcome) -> None:
        """Decide the next sends; after these, everything is accepted."""

    async def tell_event(self) -> str:
        """Tell something that is no message; return its key."""
        raise NotImplementedError

    async def tell_garbage(self) -> None:
        """Tell something that cannot be understood, authentically."""
        raise NotImplementedError

    async def cut(self) -> None:
        """Cut every connection; new ones are welcome."""
        raise NotImplementedError

    async def go_silent(self) -> None:
        """Say nothing more to whoever is connected now, without closing; sends go on working."""
        raise NotImplementedError

    async def revoke(self) -> None:
        """Accept the account's credentials no longer."""
        raise NotImplementedError

    async def accept_again(self) -> None:
        """Accept them again."""
        raise NotImplementedError
