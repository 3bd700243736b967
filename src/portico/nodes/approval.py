"""The second stage of a node's approval: what it may be used for and what it asks. No I/O.

It follows from what it was approved for and what it offers now:

    nothing approved, something offered      it asks; it is used for nothing   pending-approval
    all that is offered is approved          used for that                     approved
    more is offered than is approved         it asks; the old stays            pending-reapproval
    its request was rejected                 until it connects again           unapproved

Source: OpenClaw gateway protocol, "Node approval", "node.pair.approve".
"""

from __future__ import annotations

import msgspec

from portico.nodes.model import About, NodeRow, Surface, SurfaceRequest
from portico.nodes.policy import ADMIN_TO_APPROVE
from portico.protocol.scopes import Scope


def arrived(
    row: NodeRow | None,
    *,
    node_id: str,
    about: About,
    declared: Surface,
    request_id: str,
    now: int,
    silent: bool,
    is_preapproved: bool = False,
) -> NodeRow:
    """Return a node's row once it has connected and said what it offers.

    Args:
        is_preapproved: whoever let its device in approved what it offers the first time.
    """
    known = row or NodeRow(node_id=node_id, about=about, created_at=now)
    known = msgspec.structs.replace(
        known, about=about, last_connected_at=now, last_seen_at=now, last_seen_reason="connect"
    )
    if known.is_preapproved or is_preapproved:
        return approved(known, declared, by="setup-code", now=now)
    if known.approved is not None and known.approved.covers(declared):
        return msgspec.structs.replace(known, asked=None)
    return msgspec.structs.replace(
        known, asked=_asked(known.asked, about, declared, request_id, now, silent=silent)
    )


def approved(row: NodeRow, surface: Surface, *, by: str, now: int) -> NodeRow:
    """Return a node's row once it may be used for a surface, and that only."""
    return msgspec.structs.replace(
        row,
        approved=surface,
        approved_at=now,
        approved_by=by,
        asked=None,
        is_preapproved=False,
    )


def _asked(
    before: SurfaceRequest | None,
    about: About,
    declared: Surface,
    request_id: str,
    now: int,
    *,
    silent: bool,
) -> SurfaceRequest:
    """Return the request: the same surface is the same request, so that its id can be acted on."""
    if before is not None and before.surface == declared:
        return msgspec.structs.replace(before, about=about, silent=before.silent and silent)
    return SurfaceRequest(request_id, declared, about, now, silent)


def scopes_to_approve(commands: tuple[str, ...]) -> tuple[Scope, ...]:
    """Return what an operator needs to approve a node for these commands."""
    if not ADMIN_TO_APPROVE.isdisjoint(commands):
        return (Scope.PAIRING, Scope.ADMIN)
    return (Scope.PAIRING, Scope.WRITE) if commands else (Scope.PAIRING,)
