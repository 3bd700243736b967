"""A call on its way, and whether it may be asked again.

Source: OpenClaw gateway protocol, "Idempotency", "Lifecycle gating"; `outcome` is an addition of
Portico's gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from portico.client.errors import Refused
from portico.protocol.errors import Outcome

OnAccepted = Callable[[Any], None]
_PASSING: Final = frozenset({"startup-sidecars", "gateway-restarting", "gateway-suspending"})
_IN_FLIGHT: Final = "in_flight"


@dataclass(slots=True)
class Calling:
    """One call. `outcome`: what would be known of it if it failed now."""

    method: str
    params: dict[str, Any] | None
    wants_final: bool = False
    on_accepted: OnAccepted | None = None
    outcome: Outcome = Outcome.NOT_STARTED

    @property
    def has_key(self) -> bool:
        """Whether the gateway can tell a repeat from a second call."""
        return bool((self.params or {}).get("idempotencyKey"))

    def may_follow(self, refused: Refused) -> bool:
        """Whether a gateway that stops or starts wants to be asked again, and nothing is risked."""
        is_passing = str(refused.details.get("reason", "")) in _PASSING
        was_interrupted = refused.outcome is Outcome.UNCERTAIN and self.has_key
        return refused.is_repeatable and (is_passing or was_interrupted)

    def is_unfinished(self, result: Any) -> bool:
        """Whether an answer only says that the run goes on since before a loss."""
        is_status = isinstance(result, dict) and result.get("status") == _IN_FLIGHT
        return self.wants_final and is_status and "runId" in result
