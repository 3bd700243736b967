"""Finding scheduled jobs by what people call them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from portico.cli.command import Remote
from portico.cli.exit import ExitCode, Failure
from portico.client import GatewayClient

_PAGE: Final = 200


async def all_jobs(
    client: GatewayClient, params: dict[str, Any], to: Remote
) -> list[dict[str, Any]]:
    """Return every job a filter names."""
    jobs: list[dict[str, Any]] = []
    offset: int | None = 0
    while offset is not None:
        request = {**params, "limit": _PAGE, "offset": offset}
        page = await client.request("cron.list", request, timeout_s=to.timeout_s)
        jobs += page["jobs"]
        offset = page["nextOffset"]
    return jobs


async def find_job(
    client: GatewayClient, wanted: str, to: Remote, *, or_gone: bool = False
) -> dict[str, Any]:
    """Return the job with an id or, if only one has it, with a name.

    Args:
        or_gone: what is not there may have been: then only the id comes back.

    Raises:
        Failure: there is none, or more than one.
    """
    jobs = await all_jobs(client, {"includeDisabled": True}, to)
    found = [job for job in jobs if job["id"] == wanted]
    found = found or [job for job in jobs if job["name"].lower() == wanted.lower()]
    if len(found) == 1:
        return found[0]
    if not found and or_gone:
        return {"id": wanted}
    told = "There is no" if not found else "There is more than one"
    raise Failure(
        f"{told} scheduled job {wanted}.",
        code="cron.job_not_found",
        next_step="See which there are: portico cron list --all",
        exit_code=ExitCode.REFUSED,
    )


def utc_time(at_ms: int | None) -> str | None:
    """Return a time for people."""
    if at_ms is None:
        return None
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
