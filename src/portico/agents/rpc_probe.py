"""`models.probe`: is a provider there, and does it take our key?

Source: OpenClaw gateway protocol, "models.probe".
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from portico.agents.service import Agents
from portico.clock import Clock
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
USUAL_MS = 10_000
LONGEST_MS = 60_000


class Probe(Params, frozen=True, kw_only=True):
    """`{provider, profileId?, timeoutMs?, agentId?}`."""

    provider: NonEmpty
    profile_id: NonEmpty | None = None
    timeout_ms: Annotated[int, msgspec.Meta(ge=1)] | None = None
    agent_id: str | None = None


class Probed(Result, frozen=True, kw_only=True):
    """What one credential was good for."""

    label: str
    status: str = msgspec.field()
    latency_ms: int | None = None
    error: str | None = None


class ProbeResult(Result, frozen=True, kw_only=True):
    """What a provider's only credential was good for."""

    provider: str
    status: str = msgspec.field()
    latency_ms: int | None = None
    error: str | None = None
    results: tuple[Probed, ...] = msgspec.field()


class ProbeMethods:
    """`models.probe`."""

    def __init__(self, *, agents: Agents, clock: Clock) -> None:
        self._agents = agents
        self._clock = clock

    @method("models.probe", scope=Scope.ADMIN)
    async def probe(self, call: Call, params: Probe) -> ProbeResult:
        """Ask a provider for the list of its models: nothing is spent by it."""
        from portico.agents.model.reach import models_at

        if params.profile_id is not None:
            raise InvalidRequest(f"unknown auth profile: {params.profile_id}")
        known = {one.name.lower(): one for one in self._agents.catalog.known()}
        spec = known.get(params.provider.lower())
        if spec is None:
            raise InvalidRequest(f"unknown provider: {params.provider}")
        begun = self._clock.monotonic_s()
        wait_ms = min(params.timeout_ms or USUAL_MS, LONGEST_MS)
        reached = await models_at(spec, timeout_s=wait_ms / 1000)
        status = "no_model" if reached.status == "ok" and not reached.models else reached.status
        one = Probed(
            label="key" if spec.api_key else "without a key",
            status=status,
            latency_ms=round((self._clock.monotonic_s() - begun) * 1000),
            error=reached.problem,
        )
        return ProbeResult(
            provider=spec.name,
            status=status,
            latency_ms=one.latency_ms,
            error=one.error,
            results=(one,),
        )
