"""Which models rest for a while because they just failed.

Guarantees: a model that failed is asked last until its rest is over; rests grow with every failure
in a row up to a limit and are forgotten by a success. A model is never barred: when all of them
rest, they are asked all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from portico.agents.model.catalog import Choice
from portico.clock import Clock

FIRST_REST_S = 30.0
LONGEST_REST_S = 300.0


class Cooldowns:
    """The rests of models, by name; bounded by the number of configured models."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def order(self, choices: Sequence[Choice]) -> list[Choice]:
        """Return the choices, those that rest after the others."""
        now = self._clock.monotonic_s()
        return sorted(choices, key=lambda choice: self._until.get(choice.name, 0.0) > now)

    def rests(self, choice: Choice) -> bool:
        """Whether a model rests now."""
        return self._until.get(choice.name, 0.0) > self._clock.monotonic_s()

    def until_ms(self, choice: Choice) -> int | None:
        """Return when a model's rest ends, `None`: it does not rest."""
        left_s = self._until.get(choice.name, 0.0) - self._clock.monotonic_s()
        return self._clock.now_ms() + int(left_s * 1000) if left_s > 0 else None

    def failed(self, choice: Choice, retry_after_s: float | None = None) -> None:
        """Let a model rest, for as long as its provider asked or longer each time."""
        failures = self._failures[choice.name] = self._failures.get(choice.name, 0) + 1
        rest_s = min(FIRST_REST_S * 2 ** min(failures - 1, 10), LONGEST_REST_S)
        self._until[choice.name] = self._clock.monotonic_s() + max(rest_s, retry_after_s or 0.0)

    def succeeded(self, choice: Choice) -> None:
        """Forget a model's failures."""
        self._failures.pop(choice.name, None)
        self._until.pop(choice.name, None)
