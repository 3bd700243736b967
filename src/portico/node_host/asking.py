"""Asking a person, through the gateway, whether a program may run here.

A node itself may not ask: `exec.approval.request` belongs to operators. A host that also holds an
operator's secret, or the operator's token of its setup code, asks over a connection of its own,
which it opens for the question and closes after it.

Guarantees: no answer is a no; what is asked is the plan that will run; a question whose run was
cancelled is withdrawn.
Source: OpenClaw gateway protocol, `exec.approval.request`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Literal, Protocol, cast

import structlog

from portico.client import ClientError, ClientSettings, GatewayClient
from portico.ids import new_id
from portico.node_host.plan import Plan

log = structlog.get_logger()

GRACE_S = 5.0
Decision = Literal["allow-once", "allow-always", "deny"]


class Asker(Protocol):
    """Somebody who can ask a person."""

    async def ask(self, plan: Plan, *, run_id: str) -> Decision | None:
        """Return what a person decided; `None`: nobody did."""
        ...


class GatewayAsker:
    """Asks through the gateway.

    Args:
        settings: of an operator's client with the scope `operator.approvals`.
        node_id: for which node.
        timeout_s: how long a person has.
    """

    def __init__(self, settings: ClientSettings, *, node_id: str, timeout_s: float) -> None:
        self._settings = settings
        self._node_id = node_id
        self._timeout_s = timeout_s

    async def ask(self, plan: Plan, *, run_id: str) -> Decision | None:
        """Return what a person decided; `None`: nobody did, or nobody could be asked."""
        asked: dict[str, Any] = {
            "id": new_id("apr"),
            "host": "node",
            "nodeId": self._node_id,
            "command": plan.command_text,
            "systemRunPlan": plan.to_wire(),
            "cwd": plan.cwd,
            "agentId": plan.agent_id,
            "sessionKey": plan.session_key,
            "runId": run_id,
            "timeoutMs": round(self._timeout_s * 1000),
        }
        try:
            async with GatewayClient(self._settings) as client:
                answer = await self._asked(client, asked)
        except (ClientError, OSError) as error:
            log.warning("node_host.cannot_ask", run_id=run_id, error=str(error))
            return None
        decision = answer.get("decision") if isinstance(answer, dict) else None
        is_known = decision in ("allow-once", "allow-always", "deny")
        return cast("Decision", decision) if is_known else None

    async def _asked(self, client: GatewayClient, asked: dict[str, Any]) -> Any:
        try:
            wait_s = self._timeout_s + GRACE_S
            return await client.call("exec.approval.request", asked, timeout_s=wait_s)
        except asyncio.CancelledError:  # nobody waits for the answer any more
            with contextlib.suppress(ClientError):
                withdrawn = {"id": asked["id"], "decision": "deny"}
                await client.call("exec.approval.resolve", withdrawn, timeout_s=GRACE_S)
            raise
