"""`portico audit`: who changed what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from cyclopts import Parameter, validators

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode
from portico.cli.output import print_json, print_table
from portico.cli.target import connected

MAX_AT_ONCE: Final = 500


@command("list")
async def list_changes(
    *,
    action: str | None = None,
    actor: str | None = None,
    target: str | None = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=MAX_AT_ONCE))] = 50,
    cursor: str | None = None,
    to: Remote = THERE,
) -> int:
    """List who changed what on the gateway, the latest first.

    Args:
        action: Only this action, or those that begin with it: config, device.approved.
        actor: Only what this one did.
        target: Only what was done to this.
        limit: So many at most. [default: 50]
        cursor: Go on from here (nextCursor of the last answer).

    Examples:
        portico audit list
        portico audit list --action config --json
        portico audit list --limit 10
    """
    given = {"action": action, "actor": actor, "target": target, "cursor": cursor}
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    async with connected(to) as client:
        found = await client.request(
            "audit.changes.list", {**asked, "limit": limit}, timeout_s=to.timeout_s
        )
    if to.json:
        print_json(found)
        return ExitCode.OK
    if not found["changes"]:
        print("Nothing has been changed that is remembered.")
        return ExitCode.OK
    rows = [
        (
            datetime.fromtimestamp(one["recordedAt"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            one["action"] + ("" if one["outcome"] == "done" else f" ({one['outcome']})"),
            one["actor"],
            one["target"] or "",
        )
        for one in found["changes"]
    ]
    print_table(("When (UTC)", "Action", "By", "What"), rows)
    return ExitCode.OK
