"""Approvals as the wire shows them: events, list entries, snapshots.

Source: OpenClaw gateway protocol, "exec.approval.*" and its named types.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from portico.approvals.display import (
    MAX_COMMAND_CHARS,
    MAX_LINE_CHARS,
    MAX_WARNING_CHARS,
    visible,
)
from portico.approvals.life import ApprovalState
from portico.approvals.model import Approval, ApprovalAsked

_HOSTS = frozenset({"gateway", "node", "sandbox"})


def request_of(asked: ApprovalAsked) -> dict[str, Any]:
    """Return the wire's `request` for what an agent of this gateway asks."""
    return {
        "command": visible(asked.command),
        "commandArgv": list(asked.command_argv),
        "systemRunBinding": None,
        "systemRunPlan": None,
        "cwd": line(asked.cwd),
        "nodeId": asked.node_id,
        "host": asked.host if asked.host in _HOSTS else None,
        "security": None,
        "ask": None,
        "warningText": warning(asked.warning),
        "scope": None,
        "commandAnalysis": None,
        "allowedDecisions": list(asked.allowed),
        "agentId": asked.agent_id,
        "resolvedPath": None,
        "sessionKey": asked.session_key,
        "sessionId": asked.session_id,
        "runId": asked.run_id,
        "toolCallId": asked.tool_call_id,
        "turnSourceChannel": None,
        "turnSourceTo": None,
        "turnSourceAccountId": None,
        "turnSourceThreadId": None,
    }


def line(text: str | None) -> str | None:
    """Return a short text as reviewers see it."""
    return visible(text, limit=MAX_LINE_CHARS) if text else None


def warning(text: str | None) -> str | None:
    """Return a warning as reviewers see it."""
    return visible(text.strip(), limit=MAX_WARNING_CHARS) if text and text.strip() else None


def is_too_long(command: str) -> bool:
    """Whether a reviewer could not be shown all of a command."""
    return len(command) > MAX_COMMAND_CHARS or len(visible(command)) > MAX_COMMAND_CHARS


def requested_event(approval: Approval) -> dict[str, Any]:
    """Return an approval that waits: the event's payload, and the list's entry."""
    return {
        "approvalKind": "exec",
        "id": approval.approval_id,
        "request": approval.request,
        "createdAtMs": approval.created_at,
        "expiresAtMs": approval.expires_at,
    }


def resolved_event(approval: Approval, now: int) -> dict[str, Any]:
    """Return the payload that says an approval is over. `reason` is an addition of ours."""
    return {
        "id": approval.approval_id,
        "decision": approval.decision,
        "resolvedBy": approval.resolved_by,
        "ts": approval.resolved_at or now,
        "request": approval.request,
        "reason": approval.reason.value if approval.reason else None,
    }


def shown(approval: Approval) -> dict[str, Any]:
    """Return what `exec.approval.get` says of an approval that waits."""
    request = approval.request
    return {
        "id": approval.approval_id,
        "commandText": request["command"],
        "commandPreview": request.get("commandPreview"),
        "allowedDecisions": list(approval.allowed),
        "host": request.get("host"),
        "nodeId": request.get("nodeId"),
        "agentId": request.get("agentId"),
        "expiresAtMs": approval.expires_at,
    }


def snapshot(approval: Approval, *, base_path: str = "") -> dict[str, Any]:
    """Return an approval as `approval.get` and `approval.history` show it."""
    request = approval.request
    presentation: dict[str, Any] = {
        "kind": "exec",
        "commandText": request["command"],
        "warningText": request.get("warningText"),
        "host": request.get("host"),
        "nodeId": request.get("nodeId"),
        "agentId": approval.agent_id,
        "allowedDecisions": list(approval.allowed),
    }
    for name in ("commandPreview", "scope"):
        if request.get(name) is not None:
            presentation[name] = request[name]
    found: dict[str, Any] = {
        "id": approval.approval_id,
        "urlPath": f"{base_path}/approve/{quote(approval.approval_id, safe='')}",
        "createdAtMs": approval.created_at,
        "expiresAtMs": approval.expires_at,
        "presentation": presentation,
        "status": approval.state.value,
    }
    if approval.is_pending:
        return found | ({"sourceSessionKey": key} if (key := approval.session_key) else {})
    return found | _ended(approval)


def _ended(approval: Approval) -> dict[str, Any]:
    names = {"agentId": approval.agent_id, "sessionKey": approval.session_key}
    ended: dict[str, Any] = {
        "resolvedAtMs": approval.resolved_at or approval.expires_at,
        "reason": approval.reason.value if approval.reason else "timeout",
        "source": {name: value for name, value in names.items() if value},
    }
    if approval.state is ApprovalState.DENIED:
        ended["decision"] = "deny"  # also when nobody could be asked
    elif approval.decision is not None:
        ended["decision"] = approval.decision
    if approval.resolver_kind is not None:
        resolver = {"kind": approval.resolver_kind}
        ended["resolver"] = resolver | (
            {"id": approval.resolver_id} if approval.resolver_id else {}
        )
    return ended
