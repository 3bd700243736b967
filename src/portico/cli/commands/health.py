"""`portico health` and `portico status`."""

from __future__ import annotations

from typing import Any

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode
from portico.cli.output import duration, print_fields, print_json, print_table
from portico.cli.target import Target, connected, own_fingerprint, resolve_target
from portico.clock import SystemClock


@command("health")
async def health(*, probe: bool = False, to: Remote = THERE) -> int:
    """Show the gateway's health.

    Exit code 1 when the gateway says that it is not well.

    Args:
        probe: Measure now instead of taking the last result (at most 60 s old).

    Examples:
        portico health
        portico health --probe --json
    """
    async with connected(to) as client:
        params = {"probe": True} if probe else {}
        found = await client.request("health", params, timeout_s=to.timeout_s)
    if to.json:
        print_json(found)
    else:
        _print_health(found)
    return ExitCode.OK if found.get("ok") else ExitCode.FAILED


def _print_health(found: dict[str, Any]) -> None:
    sessions = _dict(found.get("sessions"))
    agents = [str(agent.get("agentId")) for agent in found.get("agents") or []]
    print_fields(
        (
            ("Health", "ok" if found.get("ok") else "not ok"),
            ("Measured in", f"{found['durationMs']} ms" if "durationMs" in found else None),
            ("Agents", ", ".join(agents) or None),
            ("Sessions", sessions.get("count")),
            ("Config", _config(_dict(found.get("config")))),
        )
    )
    channels = _dict(found.get("channels"))
    labels = _dict(found.get("channelLabels"))
    if channels:
        print()
        print_table(
            ("Channel", "Configured", "Linked"),
            [
                (labels.get(name, name), _yes(state.get("configured")), _yes(state.get("linked")))
                for name, state in channels.items()
            ],
        )


@command("status")
async def status(*, to: Remote = THERE) -> int:
    """Show what the gateway is doing.

    Examples:
        portico status
        portico status --json
    """
    target = resolve_target(to)
    async with connected(to, target=target) as client:
        found = await client.request("status", {}, timeout_s=to.timeout_s)
        uptime_ms = client.hello.snapshot.get("uptimeMs")
    reach = _reach(target)
    if to.json:
        print_json(found | reach)
        return ExitCode.OK
    sessions = _dict(found.get("sessions"))
    defaults = _dict(sessions.get("defaults"))
    print_fields(
        (
            ("Version", found.get("runtimeVersion")),
            ("Pid", found.get("pid")),
            ("Addresses", ", ".join(reach["addresses"])),
            ("TLS sha256", reach.get("tlsSha256")),
            ("Uptime", duration(uptime_ms / 1000) if isinstance(uptime_ms, int) else None),
            ("Model", defaults.get("model")),
            ("Sessions", sessions.get("count")),
            ("Config", _config(_dict(found.get("config")))),
        )
    )
    _print_recent(sessions.get("recent") or [])
    return ExitCode.OK


def _reach(target: Target) -> dict[str, Any]:
    """Where the gateway can be reached: all of it is known of this machine's own one."""
    from portico.process.lock import read_lock

    state = read_lock(target.paths.lock_file) if target.is_own else None
    if state is None or not state.is_held or state.info is None:
        return {"addresses": [target.url]}
    addresses = list(state.info.addresses) or [state.info.url]
    return {"addresses": addresses, "tlsSha256": own_fingerprint(target.paths)}


def _config(found: dict[str, Any]) -> str | None:
    """How the configuration stands, when it needs somebody's attention."""
    told = ["recovery mode: mend the file"] if found.get("recovery") else []
    if rolled_back := found.get("rolledBack"):
        told.append(f"a change was taken back: {_first(rolled_back)}")
    if refused := found.get("refused"):
        told.append(f"the file is not in force: {_first(refused)}")
    if found.get("fromLastGood"):
        told.append("running with the last good one")
    if waiting := found.get("needsRestart"):
        told.append(f"a restart is needed for {', '.join(waiting)}")
    return "; ".join(told) or None


def _first(told: dict[str, Any]) -> str:
    issues = told.get("issues") or [{}]
    where = f"{issues[0]['path']}: " if issues[0].get("path") else ""
    return f"{where}{issues[0].get('message', '')}"


def _print_recent(recent: list[dict[str, Any]]) -> None:
    if not recent:
        return
    now_ms = SystemClock().now_ms()
    print()
    rows = []
    for row in recent:
        updated = row.get("updatedAt")
        age = f"{duration((now_ms - updated) / 1000)} ago" if updated else ""
        rows.append((row.get("key"), age, row.get("model")))
    print_table(("Session", "Active", "Model"), rows)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _yes(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, "")
