"""`portico cron add | edit | enable | disable | remove | run`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from cyclopts import Parameter

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.job_options import (
    NO_TIME,
    NOTHING,
    NOWHERE,
    What,
    When,
    Where,
    delivery_of,
    misfire_of,
    payload_of,
    schedule_of,
    target_of,
)
from portico.cli.jobs import find_job, utc_time
from portico.cli.output import ask, print_json
from portico.cli.target import connected
from portico.client import GatewayClient
from portico.clock import SystemClock

_POLL_S: Final = 0.5


@command("add")
async def add(
    name: str,
    /,
    *,
    when: When = NO_TIME,
    what: What = NOTHING,
    where: Where = NOWHERE,
    description: str | None = None,
    disabled: bool = False,
    keep_after_run: bool = False,
    to: Remote = THERE,
) -> int:
    """Add a scheduled job.

    By default a job asks the agent in a session of its own and sends you the answer.

    Args:
        name: What it is called.
        description: What it is for.
        disabled: Switch it on later.
        keep_after_run: Keep a job that runs once after it has run.

    Examples:
        portico cron add "Morning brief" --cron "0 7 * * 1-5" --tz Europe/Berlin -m "What is new?"
        portico cron add Tea --at 4m --system-event "The tea is ready"
        portico cron add Backup --every 6h -m "Check the backups" --no-deliver --misfire run_all
        portico cron add Report --cron "0 18 * * *" -m "Report" --channel telegram --to 123456
    """
    schedule, payload = schedule_of(when, SystemClock()), payload_of(what)
    if schedule is None or payload is None:
        raise Failure(
            "A job needs a time (--at, --every or --cron) and something to say (--message or "
            "--system-event).",
            code="usage",
            next_step="portico cron add --help",
            exit_code=ExitCode.USAGE,
        )
    is_event = payload["kind"] == "systemEvent"
    given = {
        "description": description,
        "agentId": what.agent,
        "delivery": delivery_of(where),
        "misfire": misfire_of(when),
        "deleteAfterRun": False if keep_after_run else None,
    }
    params = {
        "name": name,
        "schedule": schedule,
        "payload": payload,
        "sessionTarget": target_of(what) or ("main" if is_event else "isolated"),
        "wakeMode": "now",
        "enabled": not disabled,
        **{key: value for key, value in given.items() if value is not None},
    }
    async with connected(to) as client:
        job = await client.request("cron.add", params, timeout_s=to.timeout_s)
    return _say("Added", job, to)


@command("edit")
async def edit(
    job: str,
    /,
    *,
    when: When = NO_TIME,
    what: What = NOTHING,
    where: Where = NOWHERE,
    name: str | None = None,
    description: str | None = None,
    to: Remote = THERE,
) -> int:
    """Change a scheduled job; what is not given stays.

    Args:
        job: Its id or its name.
        name: What it is called from now on.
        description: What it is for.

    Examples:
        portico cron edit "Morning brief" --cron "30 6 * * 1-5"
        portico cron edit job_01k5 -m "Something else" --no-deliver
    """
    async with connected(to) as client:
        found = await find_job(client, job, to)
        patch = _patch(found, when, what, where, {"name": name, "description": description})
        if not patch:
            raise Failure(
                "Nothing to change was given.",
                code="usage",
                next_step="portico cron edit --help",
                exit_code=ExitCode.USAGE,
            )
        request = {
            "id": found["id"],
            "patch": patch,
            "expectedConfigRevision": found["configRevision"],
        }
        changed = await client.request("cron.update", request, timeout_s=to.timeout_s)
    return _say("Changed", changed, to)


def _patch(
    job: dict[str, Any], when: When, what: What, where: Where, plain: dict[str, Any]
) -> dict[str, Any]:
    schedule, old = schedule_of(when, SystemClock()), job["schedule"]
    if schedule is None and when.tz is not None and old["kind"] == "cron":
        schedule = {**old, "tz": when.tz}
    elif schedule is not None and schedule["kind"] == old["kind"] == "cron" and "tz" in old:
        schedule.setdefault("tz", old["tz"])
    given = {
        **plain,
        "schedule": schedule,
        "payload": payload_of(what),
        "sessionTarget": target_of(what),
        "agentId": what.agent,
        "delivery": delivery_of(where),
        "misfire": misfire_of(when),
    }
    return {name: value for name, value in given.items() if value is not None}


@command("enable")
async def enable(job: str, /, *, to: Remote = THERE) -> int:
    """Switch a scheduled job on; it runs what comes, not what it missed.

    Args:
        job: Its id or its name.

    Examples:
        portico cron enable "Morning brief"
    """
    return await _switch(job, on=True, to=to)


@command("disable")
async def disable(job: str, /, *, to: Remote = THERE) -> int:
    """Switch a scheduled job off.

    Args:
        job: Its id or its name.

    Examples:
        portico cron disable "Morning brief"
    """
    return await _switch(job, on=False, to=to)


async def _switch(job: str, *, on: bool, to: Remote) -> int:
    async with connected(to) as client:
        found = await find_job(client, job, to)
        request = {"id": found["id"], "patch": {"enabled": on}}
        changed = await client.request("cron.update", request, timeout_s=to.timeout_s)
    return _say("Switched on" if on else "Switched off", changed, to)


@command("remove")
async def remove(
    job: str, /, *, yes: Annotated[bool, Parameter(alias="-y")] = False, to: Remote = THERE
) -> int:
    """Delete a scheduled job; the history of its runs stays for a while.

    Args:
        job: Its id or its name.
        yes: Do not ask.

    Examples:
        portico cron remove "Morning brief"
        portico cron remove job_01k5 --yes
    """
    async with connected(to) as client:
        found = await find_job(client, job, to)
        if not yes and not ask(f"Delete the job {found['name']} ({found['id']})?"):
            raise Failure(
                "Nothing was changed.",
                code="not_confirmed",
                next_step="Answer y, or give --yes",
                exit_code=ExitCode.REFUSED,
            )
        answer = await client.request("cron.remove", {"id": found["id"]}, timeout_s=to.timeout_s)
    if to.json:
        print_json(answer)
    else:
        print(f"Deleted: {found['name']} ({found['id']})")
    return ExitCode.OK


@command("run")
async def run(job: str, /, *, wait: bool = False, due: bool = False, to: Remote = THERE) -> int:
    """Run a scheduled job now.

    With --wait the exit code says whether the run succeeded; --timeout limits the wait, in seconds.

    Args:
        job: Its id or its name.
        wait: Wait for the end and print the answer.
        due: Only when it is due.

    Examples:
        portico cron run "Morning brief"
        portico cron run "Morning brief" --wait --timeout 300
    """
    async with connected(to) as client:
        found = await find_job(client, job, to)
        request = {"id": found["id"], "mode": "due" if due else "force"}
        answer = await client.request("cron.run", request, timeout_s=to.timeout_s)
        entry = None
        if wait and answer.get("enqueued"):
            entry = await _entry(client, found["id"], answer["runId"], to)
    if to.json:
        print_json(answer if entry is None else {**answer, "run": entry})
    elif entry is not None:
        print(entry.get("summary") or entry.get("error") or entry["status"])
    else:
        print(f"Runs: {answer['runId']}" if answer.get("enqueued") else f"No: {answer['reason']}")
    is_well = answer.get("enqueued") and (entry is None or entry["completionStatus"] == "succeeded")
    return ExitCode.OK if is_well else ExitCode.FAILED


async def _entry(client: GatewayClient, job_id: str, run_id: str, to: Remote) -> dict[str, Any]:
    wanted = {"id": job_id, "runId": run_id, "limit": 1}
    try:
        async with asyncio.timeout(to.timeout):
            while True:
                page = await client.request("cron.runs", wanted, timeout_s=to.timeout_s)
                if page["entries"]:
                    return dict(page["entries"][0])
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise Failure(
            f"The run {run_id} has not ended within {to.timeout:g} s; it goes on.",
            code="cron.still_running",
            next_step=f"portico cron runs {job_id}",
        ) from None


def _say(what: str, job: dict[str, Any], to: Remote) -> int:
    if to.json:
        print_json(job)
        return ExitCode.OK
    upcoming = utc_time(job["state"].get("nextRunAtMs"))
    print(f"{what}: {job['name']} ({job['id']}){f', next run {upcoming}' if upcoming else ''}")
    return ExitCode.OK
