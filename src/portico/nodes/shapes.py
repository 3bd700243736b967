"""Nodes as the wire shows them. Members that are not known are left out.

Source: OpenClaw gateway protocol, "node.list", "node.pair.list".
"""

from __future__ import annotations

from typing import Any

import msgspec

from portico.nodes import policy
from portico.nodes.approval import scopes_to_approve
from portico.nodes.model import NodeRow, SurfaceRequest
from portico.nodes.policy import CommandRules
from portico.nodes.session import Session


def node(
    row: NodeRow, session: Session | None, *, rules: CommandRules, is_active: bool
) -> dict[str, Any]:
    """Return one entry of `node.list`; its commands are those that may be used."""
    approved = row.approved
    commands = policy.usable(row.about, approved, rules) if approved else ()
    granted = session.granted if session is not None else approved
    entry = {
        **_about(row),
        "caps": sorted(granted.caps) if granted else [],
        "commands": sorted(session.usable(rules) if session is not None else commands),
        "permissions": granted.permissions if granted else None,
        "approvalState": row.state,
        "hostStats": session.host_stats if session is not None else row.host_stats,
        "lastConnectedAtMs": row.last_connected_at,
        "lastDisconnectedAtMs": None if session is not None else row.last_disconnected_at,
        "lastSeenAtMs": row.last_seen_at,
        "lastSeenReason": row.last_seen_reason,
        "approvedAtMs": row.approved_at,
        "paired": True,
        "connected": session is not None,
        **(_asked(row.asked) if row.asked else {}),
        **(_live(session, is_active=is_active) if session is not None else {}),
    }
    return _known(entry)


def _about(row: NodeRow) -> dict[str, Any]:
    about = msgspec.to_builtins(row.about)
    return {"nodeId": row.node_id, **about, "displayName": row.name or row.about.display_name}


def _asked(asked: SurfaceRequest) -> dict[str, Any]:
    return {
        "pendingRequestId": asked.request_id,
        "pendingDeclaredCaps": list(asked.surface.caps),
        "pendingDeclaredCommands": list(asked.surface.commands),
        "pendingDeclaredPermissions": asked.surface.permissions,
    }


def _live(session: Session, *, is_active: bool) -> dict[str, Any]:
    return {
        "connectedAtMs": session.connected_at,
        "computerUse": session.computer_use,
        "pathEnv": session.path_env,
        "nodePluginTools": list(session.tools) or None,
        "desktopAvailability": {"state": session.desktop} if session.desktop else None,
        "lastActiveAtMs": session.last_active_at,
        "presenceUpdatedAtMs": session.presence_updated_at,
        "gatewayLocal": True if session.is_local else None,
        "active": True if is_active else None,
    }


def pending(row: NodeRow, asked: SurfaceRequest) -> dict[str, Any]:
    """Return a request: the entry of `node.pair.list`, and the event's payload."""
    surface = asked.surface
    return _known(
        {
            "requestId": asked.request_id,
            "nodeId": row.node_id,
            **msgspec.to_builtins(asked.about),
            "displayName": row.name or asked.about.display_name,
            "caps": list(surface.caps),
            "commands": list(surface.commands),
            "permissions": surface.permissions,
            "requiredApproveScopes": [*scopes_to_approve(surface.commands)],
            "silent": True if asked.silent else None,
            "isRepair": True if row.approved is not None else None,
            "ts": asked.asked_at,
        }
    )


def paired(row: NodeRow) -> dict[str, Any]:
    """Return a node that was approved, as `node.pair.list` and `node.pair.approve` show it."""
    approved = row.approved
    return _known(
        {
            **_about(row),
            "caps": list(approved.caps) if approved else [],
            "commands": list(approved.commands) if approved else [],
            "permissions": approved.permissions if approved else None,
            "createdAtMs": row.created_at,
            "approvedAtMs": row.approved_at,
            "lastConnectedAtMs": row.last_connected_at,
            "lastDisconnectedAtMs": row.last_disconnected_at,
            "lastSeenAtMs": row.last_seen_at,
            "lastSeenReason": row.last_seen_reason,
        }
    )


def _known(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}
