"""A recorded change, and what to ask the record for."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Outcome = Literal["done", "refused", "failed"]


class Change(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something somebody did to the gateway.

    Attributes:
        sequence: counts up; 0 until it is recorded.
        action: a dotted name in the past tense: `config.patched`, `device.approved`.
        actor: the subject of the caller, or the part of the gateway that acted by itself.
        target: what was changed: a path of the configuration, an id.
        details: more about it; secrets are masked before this is made.
        recorded_at: milliseconds UTC.
    """

    sequence: int = 0
    action: str
    actor: str
    outcome: Outcome
    recorded_at: int
    target: str | None = None
    details: dict[str, Any] = {}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which changes; what is empty matches all.

    Attributes:
        action: the whole action, or its first part (`config` for `config.patched`).
        below: only those recorded before the one of this number; 0: all.
    """

    action: str = ""
    actor: str = ""
    target: str = ""
    after_ms: int = 0
    before_ms: int = 0
    below: int = 0
    count: int = 100
