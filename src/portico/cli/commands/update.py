"""`portico update`: a newer version, taken over by the gateway that runs."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import print_fields, print_json
from portico.cli.target import connected
from portico.client import ConnectionLost, ConnectRefused, Refused, Unreachable
from portico.clock import SystemClock

_INSTALL_S: Final = 900.0
_RESTART_S: Final = 150.0
_AGAIN_S: Final = 0.25


@command("update")
async def update(*, check: bool = False, to: Remote = THERE) -> int:
    """Install the newest version and restart into it without a gap.

    The gateway does it, where its configuration allows that (update.allow): it installs the newer
    version into its own environment, tries it, and restarts. If the new one does not come up, the
    former is put back and goes on.

    Args:
        check: Only look whether there is one.

    Examples:
        portico update --check
        portico update
    """
    async with connected(to) as client:
        if check:
            found = await client.request(
                "update.status", {"refreshCheckout": True}, timeout_s=_INSTALL_S
            )
            return _show_status(found, client.hello.server.version, as_json=to.json)
        began = await client.request("update.run", {}, timeout_s=_INSTALL_S)
    run = await _end_of(str(began["runId"]), to)
    if to.json:
        print_json(run)
    elif run["status"] == "skipped":
        print(f"Nothing to do: {run['reason']}.")
    elif run["status"] == "succeeded":
        print(f"Updated from {run['before']['version']} to {run['after']['version']}.")
    if run["status"] in ("failed", "rolled-back") and not to.json:
        raise Failure(
            f"The update {'was rolled back' if run['status'] == 'rolled-back' else 'failed'}: "
            f"{run['reason']}",
            code="update.failed",
            next_step="The former version goes on; see also: portico logs tail",
        )
    return ExitCode.OK if run["status"] in ("skipped", "succeeded") else ExitCode.FAILED


def _show_status(found: dict[str, Any], version: str, *, as_json: bool) -> int:
    if as_json:
        print_json(found)
        return ExitCode.OK
    newer = found["updateAvailable"]
    last = found.get("lastRun") or found.get("activeRun")
    print_fields(
        (
            ("Version", version),
            ("Newer", newer["latestVersion"] if newer else "none"),
            ("Last update", f"{last['status']} ({last['phase']})" if last else None),
        )
    )
    return ExitCode.OK


async def _end_of(run_id: str, to: Remote) -> dict[str, Any]:
    """Wait until an update has ended, over the restart in its middle."""
    clock = SystemClock()
    deadline = clock.monotonic_s() + _RESTART_S
    while clock.monotonic_s() < deadline:
        try:
            async with connected(to) as client:
                run = (await client.request("update.runs.get", {"runId": run_id}))["run"]
        except (Unreachable, ConnectRefused, ConnectionLost, Refused):
            run = None
        if run is not None and run["phase"] == "finished":
            return dict(run)
        await asyncio.sleep(_AGAIN_S)
    raise Failure(
        "The update has not come to an end.",
        code="update.timeout",
        next_step="portico gateway status",
    )
