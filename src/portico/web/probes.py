"""Liveness, readiness and startup, as orchestrators ask for them.

Guarantees: liveness checks nothing (a slow disk must not get the process killed); readiness says
why it is not, but only to callers on this machine or with the gateway's secret.

Source: OpenClaw gateway protocol, "Probes".
"""

from __future__ import annotations

from typing import Literal

import msgspec
from starlette.responses import Response

from portico.clock import Clock
from portico.observe.readiness import Readiness
from portico.web.endpoint import Answer, Endpoint, HttpCall
from portico.web.gate import Access, Gate
from portico.web.problem import json_response


class Live(msgspec.Struct, frozen=True):
    """The process answers."""

    ok: bool
    status: Literal["live"]


class Ready(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Whether work is accepted.

    Attributes:
        failing: why not; only for callers on this machine or with a credential.
    """

    ready: bool
    failing: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    uptime_ms: int | msgspec.UnsetType = msgspec.UNSET


class Startup(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Whether the gateway has started."""

    ok: bool
    status: Literal["starting", "started", "draining"]
    version: str | msgspec.UnsetType = msgspec.UNSET
    uptime_ms: int | msgspec.UnsetType = msgspec.UNSET


_NO_STORE = {"cache-control": "no-store"}


def probe_endpoints(
    readiness: Readiness, *, gate: Gate, clock: Clock, version: str
) -> list[Endpoint]:
    """Return the six probe paths."""

    async def is_insider(call: HttpCall) -> bool:
        return await gate.is_insider(call.peer, call.request.headers.get("authorization"))

    async def live(_call: HttpCall) -> Response:
        return json_response(Live(ok=True, status="live"), headers=_NO_STORE)

    async def ready(call: HttpCall) -> Response:
        failing = await readiness.failing()
        answer = Ready(ready=not failing)
        if await is_insider(call):
            uptime_ms = clock.now_ms() - readiness.started_ms
            answer = Ready(ready=not failing, failing=failing, uptime_ms=uptime_ms)
        return json_response(answer, 503 if failing else 200, _NO_STORE)

    async def startup(call: HttpCall) -> Response:
        phase = readiness.phase
        status: Literal["starting", "started", "draining"]
        status = "started" if phase == "ready" else phase
        answer = Startup(ok=phase == "ready", status=status)
        if await is_insider(call):
            uptime_ms = clock.now_ms() - readiness.started_ms
            answer = Startup(ok=answer.ok, status=status, version=version, uptime_ms=uptime_ms)
        return json_response(answer, 200 if answer.ok else 503, _NO_STORE)

    table: list[Endpoint] = []
    probes = (
        (("/health", "/healthz"), live, "Whether the process answers.", Live),
        (("/ready", "/readyz"), ready, "Whether work is accepted.", Ready),
        (("/startup", "/startupz"), startup, "Whether the gateway has started.", Startup),
    )
    for paths, handle, summary, body in probes:
        answers = {200: Answer("Yes.", body)}
        if body is not Live:
            answers[503] = Answer("Not (yet, or any more).", body)
        table += [
            Endpoint(
                method="GET",
                path=path,
                handle=handle,
                operation=path.strip("/"),
                summary=summary,
                answers=answers,
                access=Access.PUBLIC,
                tag="operations",
            )
            for path in paths
        ]
    return table
