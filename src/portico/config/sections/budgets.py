"""`budgets`: how much may be spent, by whom, in which time."""

from __future__ import annotations

from collections import Counter
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import field_validator, model_validator

from portico.config.sections.base import Section, setting
from portico.protocol.errors import InvalidRequest
from portico.protocol.keys import canonical


class BudgetLimit(Section):
    """One limit."""

    scope: Literal["gateway", "agent", "session", "customer", "channel", "job"] = setting(
        ..., "What it is counted for.", reload="hot"
    )
    id: str | None = setting(
        None,
        "Exactly whom, such as an agent's id; it stands in for the general limit of the same "
        "scope and period. Unset: each one for itself.",
        reload="hot",
        min_length=1,
    )
    period: Literal["hour", "day", "month", "total"] = setting(
        "day", "When it begins anew; total: never.", reload="hot"
    )
    time_zone: str = setting("UTC", "Whose midnight, such as Europe/Berlin.", reload="hot")
    tokens: int | None = setting(
        None, "Most tokens, of prompts and answers together.", reload="hot", ge=1
    )
    usd: float | None = setting(None, "Most US dollars.", reload="hot", ge=0.000001)
    warn_at: float | None = setting(
        0.8, "The share of it at which the operator is told; null: never.", reload="hot", gt=0, lt=1
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"unknown time zone {value!r}; write it like Europe/Berlin") from None
        return value

    @model_validator(mode="after")
    def _limits_something(self) -> BudgetLimit:
        if self.tokens is None and self.usd is None:
            raise ValueError("a limit needs tokens or usd")
        if self.scope == "gateway" and self.id is not None:
            raise ValueError("there is one gateway: a limit of it has no id")
        if self.scope == "session" and self.id is not None:
            try:
                canonical(self.id, default_agent="main")
            except InvalidRequest as error:
                raise ValueError(error.message) from None
        return self


class Budgets(Section):
    """How much may be spent."""

    limits: tuple[BudgetLimit, ...] = setting(
        (), "The limits; a turn must fit all that it is due to.", reload="hot"
    )
    estimate_tokens: int = setting(
        4_000, "Tokens reserved for a turn before it begins.", reload="hot", ge=0
    )
    estimate_usd: float = setting(
        0.01, "US dollars reserved for a turn before it begins.", reload="hot", ge=0
    )
    reservation_seconds: int = setting(
        3_600,
        "How long a reservation counts that nobody settles, at least; one of a longer turn counts "
        "as long as the turn may take.",
        reload="hot",
        ge=60,
    )

    @model_validator(mode="after")
    def _fits(self) -> Budgets:
        for place, limit in enumerate(self.limits):
            if limit.tokens is not None and limit.tokens < self.estimate_tokens:
                raise ValueError(_too_small(place, "tokens", limit.tokens, self.estimate_tokens))
            if limit.usd is not None and limit.usd < self.estimate_usd:
                raise ValueError(_too_small(place, "usd", limit.usd, self.estimate_usd))
        counted = Counter((limit.scope, limit.id, limit.period) for limit in self.limits)
        if doubled := [names for names, count in counted.items() if count > 1]:
            names = " ".join(filter(None, doubled[0]))
            raise ValueError(f"there are two limits for {names}; make them one")
        return self


def _too_small(place: int, unit: str, limit: float, estimate: float) -> str:
    return (
        f"limits[{place}] allows {limit:g} {unit}, less than the {estimate:g} that are reserved "
        f"for one turn: raise it, or lower estimate{unit.capitalize()}"
    )
