"""`portico cron list | show | runs | status`."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode
from portico.cli.jobs import all_jobs, find_job, utc_time
from portico.cli.output import duration, print_fields, print_json, print_table
from portico.cli.target import connected
from portico.clock import SystemClock


@command("list")
async def list_jobs(
    *,
    disabled: Annotated[bool, Parameter(name=("--all", "-a"))] = False,
    agent: str | None = None,
    search: str | None = None,
    to: Remote = THERE,
) -> int:
    """List scheduled jobs, the next one first.

    Args:
        disabled: Also those that are switched off.
        agent: Only jobs of this agent.
        search: Only jobs whose name, id or description contains this.

    Examples:
        portico cron list
        portico cron list --all --json
    """
    filters = {"agentId": agent, "query": search}
    params = {name: value for name, value in filters.items() if value is not None}
    async with connected(to) as client:
        jobs = await all_jobs(client, {"includeDisabled": disabled, **params}, to)
    if to.json:
        print_json({"jobs": jobs, "total": len(jobs)})
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    rows = [_row(job, now_ms) for job in jobs]
    print_table(("Id", "Name", "Schedule", "Next", "Last", "Agent"), rows)
    return ExitCode.OK


def _row(job: dict[str, Any], now_ms: int) -> tuple[Any, ...]:
    state = job["state"]
    upcoming = state.get("nextRunAtMs")
    next_run = "" if upcoming is None else _until(upcoming - now_ms)
    return (job["id"], job["name"], _words(job["schedule"]), next_run, _last(job, now_ms),
            job.get("effectiveAgentId"))  # fmt: skip


def _until(left_ms: int) -> str:
    return f"in {duration(left_ms / 1000)}" if left_ms > 0 else "now"


def _last(job: dict[str, Any], now_ms: int) -> str:
    state = job["state"]
    if state.get("autoDisabled"):
        return f"switched off after {state['autoDisabled']['consecutiveErrors']} failures"
    status = state.get("lastRunStatus")
    if status is None:
        return "" if job["enabled"] else "switched off"
    ran = state.get("lastRunAtMs")
    age = "" if ran is None else f", {duration(max(0, now_ms - ran) / 1000)} ago"
    return f"{status}{age}{'' if job['enabled'] else ', switched off'}"


def _words(schedule: dict[str, Any]) -> str:
    match schedule["kind"]:
        case "at":
            return f"at {schedule['at']}"
        case "every":
            return f"every {duration(schedule['everyMs'] / 1000)}"
        case _:
            zone = schedule.get("tz")
            return f"{schedule['expr']}{f' ({zone})' if zone else ''}"


@command("show")
async def show(job: str, /, *, to: Remote = THERE) -> int:
    """Show one scheduled job and its last runs.

    Args:
        job: Its id or its name.

    Examples:
        portico cron show "Morning brief"
        portico cron show job_01k5 --json
    """
    async with connected(to) as client:
        found = await find_job(client, job, to)
        wanted = {"id": found["id"], "limit": 5}
        runs = await client.request("cron.runs", wanted, timeout_s=to.timeout_s)
    if to.json:
        print_json({"job": found, "runs": runs["entries"]})
        return ExitCode.OK
    state, payload = found["state"], found["payload"]
    print_fields(
        (
            ("Job", found["id"]),
            ("Name", found["name"]),
            ("Description", found.get("description")),
            ("Schedule", _words(found["schedule"])),
            ("Next run", utc_time(state.get("nextRunAtMs"))),
            ("Switched on", "yes" if found["enabled"] else "no"),
            ("Agent", found.get("agentId")),
            ("Session", found["sessionTarget"]),
            ("Says", payload.get("message") or payload.get("text")),
            ("Last error", state.get("lastError")),
        )
    )
    _print_runs(runs["entries"])
    return ExitCode.OK


@command("runs")
async def runs(
    job: str | None = None, /, *, limit: int = 20, status: str | None = None, to: Remote = THERE
) -> int:
    """Show finished runs of a scheduled job, or of all, the latest first.

    Args:
        job: Its id or its name. [default: all jobs]
        limit: How many at most. [default: 20]
        status: Only those that ended so: ok, error or skipped.

    Examples:
        portico cron runs
        portico cron runs "Morning brief" --status error --json
    """
    request: dict[str, Any] = {"limit": limit, **({"status": status} if status else {})}
    async with connected(to) as client:
        if job is None:
            request["scope"] = "all"
        else:
            request["id"] = (await find_job(client, job, to, or_gone=True))["id"]
        page = await client.request("cron.runs", request, timeout_s=to.timeout_s)
    if to.json:
        print_json(page)
    else:
        _print_runs(page["entries"])
    return ExitCode.OK


def _print_runs(entries: list[dict[str, Any]]) -> None:
    rows = [
        (
            utc_time(entry["runAtMs"]),
            entry.get("jobName"),
            entry["status"],
            duration(entry["durationMs"] / 1000),
            entry.get("deliveryStatus"),
            " ".join((entry.get("error") or entry.get("summary") or "").split())[:60],
        )
        for entry in entries
    ]
    print_table(("Began", "Job", "Status", "Took", "Delivery", "What came of it"), rows)


@command("status")
async def status(*, to: Remote = THERE) -> int:
    """Say whether jobs run by themselves, how many there are, and when the next one is due.

    Examples:
        portico cron status
        portico cron status --json
    """
    async with connected(to) as client:
        answer = await client.request("cron.status", {}, timeout_s=to.timeout_s)
    if to.json:
        print_json(answer)
        return ExitCode.OK
    upcoming = answer["nextWakeAtMs"]
    print_fields(
        (
            ("Jobs run by themselves", "yes" if answer["enabled"] else "no (cron.enabled)"),
            ("Jobs", answer["jobs"]),
            ("Next run", utc_time(upcoming)),
        )
    )
    return ExitCode.OK
