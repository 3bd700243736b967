"""Programs on nodes: a caller may say that a person allowed one only when a person did.

Theory of operation: whoever wants a node to run a program may always ask it; the node's own policy
decides. That policy can be told that somebody has approved the program, and this is where that is
believed or not: there must be an approval for exactly this node and what will be run, asked by the
same caller, decided in favour, and not used up. What is then sent is what was approved, not what
the caller says now.

Source: OpenClaw gateway protocol, "node.invoke", `system.run`.
"""

from __future__ import annotations

import shlex
from typing import Any, Protocol

from portico.approvals.asking import hash_of_env
from portico.approvals.model import Approval
from portico.auth.model import Principal
from portico.clock import Clock
from portico.protocol.errors import InvalidRequest, Outcome

_FORWARDED = (
    "command",
    "rawCommand",
    "systemRunPlan",
    "cwd",
    "env",
    "timeoutMs",
    "needsScreenRecording",
    "agentId",
    "sessionKey",
    "runId",
    "suppressNotifyOnExit",
)
_PLAN_NULLABLE = frozenset({"cwd", "agentId", "sessionKey"})


class ApprovalBook(Protocol):
    """The approvals, as far as they are needed here."""

    async def find(self, approval_id: str) -> Approval | None:
        """Return an approval, or `None`."""
        ...

    async def use_once(self, approval: Approval) -> bool:
        """Use a yes for one time up; `False`: it has been used."""
        ...


class SystemRuns:
    """Decides what of a caller's `system.run` reaches a node."""

    def __init__(self, approvals: ApprovalBook, clock: Clock) -> None:
        self._approvals = approvals
        self._clock = clock

    async def forwarded(self, params: Any, *, node_id: str, by: Principal) -> dict[str, Any]:
        """Return the parameters to send.

        Raises:
            InvalidRequest: they are malformed, or claim an approval there is not;
                `details.code` says which.
        """
        if not isinstance(params, dict):
            raise _refused("INVALID_PARAMS", "system.run needs params")
        sent = {name: params[name] for name in _FORWARDED if name in params}
        if not _claims_approval(params):
            _check_command(params.get("command"))
            return sent
        if params.get("approvalSource") is not None:
            raise _refused("INVALID_APPROVAL_SOURCE", "approval source invalid")
        approval = await self._find(params, node_id=node_id, by=by)
        _check_match(approval, params)
        decision = await self._decision(approval)
        return {**_bound(sent, approval), "approved": True, "approvalDecision": decision}

    async def _find(self, params: dict[str, Any], *, node_id: str, by: Principal) -> Approval:
        run_id = params.get("runId")
        if not isinstance(run_id, str) or not run_id.strip():
            raise _refused("MISSING_RUN_ID", "approval override requires params.runId")
        approval = await self._approvals.find(run_id.strip())
        if approval is None:
            raise _refused("UNKNOWN_APPROVAL_ID", "unknown or expired approval id", run_id)
        if approval.expires_at < self._clock.now_ms():
            raise _refused("APPROVAL_EXPIRED", "approval expired", run_id)
        bound_to = approval.request.get("nodeId")
        if not bound_to:
            raise _refused(
                "APPROVAL_NODE_BINDING_MISSING", "approval id missing node binding", run_id
            )
        if bound_to != node_id:
            raise _refused("APPROVAL_NODE_MISMATCH", "approval id not valid for this node", run_id)
        if approval.requested_by != by.subject:
            code = "APPROVAL_DEVICE_MISMATCH" if by.device_id else "APPROVAL_CLIENT_MISMATCH"
            who = "device" if by.device_id else "client"
            raise _refused(code, f"approval id not valid for this {who}", run_id)
        return approval

    async def _decision(self, approval: Approval) -> str:
        decision = approval.decision
        if decision == "allow-always":
            return decision
        if decision == "allow-once" and await self._approvals.use_once(approval):
            return decision
        raise _refused("APPROVAL_REQUIRED", "approval required", approval.approval_id)


def _claims_approval(params: dict[str, Any]) -> bool:
    return (
        params.get("approved") is True
        or params.get("approvalDecision") in {"allow-once", "allow-always"}
        or params.get("approvalSource") is not None
    )


def _check_command(command: Any) -> None:
    is_list = isinstance(command, list) and all(isinstance(word, str) for word in command)
    if not is_list or not command or not command[0].strip():
        raise _refused("MISSING_COMMAND", "command required: a list of words")


def _check_match(approval: Approval, params: dict[str, Any]) -> None:
    request = approval.request
    plan, binding = request.get("systemRunPlan"), request.get("systemRunBinding")
    if request.get("host") != "node" or not plan or not binding:
        raise _mismatch(approval)
    given = params.get("command")
    if given is not None and given != binding["argv"]:
        raise _mismatch(approval)
    for name in ("agentId", "sessionKey"):
        if params.get(name) is not None and params[name] != binding[name]:
            raise _mismatch(approval)
    if hash_of_env(_variables(params.get("env"))) != binding["envHash"]:
        raise _refused(
            "APPROVAL_ENV_MISMATCH",
            "approval id does not match the environment variables",
            approval.approval_id,
        )


def _variables(env: Any) -> dict[str, str] | None:
    if env is None:
        return None
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise _refused("INVALID_PARAMS", "env must be an object of strings")
    return env


def _bound(sent: dict[str, Any], approval: Approval) -> dict[str, Any]:
    """Return what is sent: what was approved, whatever the caller says now."""
    binding, kept = approval.request["systemRunBinding"], approval.request["systemRunPlan"]
    plan = {name: kept[name] for name in kept if kept[name] is not None or name in _PLAN_NULLABLE}
    bound = {
        **sent,
        "command": binding["argv"],
        "systemRunPlan": plan,
        "rawCommand": plan.get("commandText") or shlex.join(binding["argv"]),
    }
    for name in ("cwd", "agentId", "sessionKey"):
        bound.pop(name, None)
        if binding[name] is not None:
            bound[name] = binding[name]
    return bound


def _mismatch(approval: Approval) -> InvalidRequest:
    return _refused(
        "APPROVAL_REQUEST_MISMATCH", "approval id does not match request", approval.approval_id
    )


def _refused(code: str, text: str, run_id: str | None = None) -> InvalidRequest:
    details = {"code": code} | ({"runId": run_id} if run_id is not None else {})
    return InvalidRequest(text, details=details, outcome=Outcome.NOT_STARTED)
