"""Finished runs: a page of them, and forgetting the old ones.

Guarantees: a page of one job's runs, or of all, is read along an index; a search on text reads them
all, and their number is limited per job.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import ColumnElement, bindparam, delete, func, or_, select, update

from portico.automation.cron.store import Run, run_from_row
from portico.automation.cron.tables import runs
from portico.store import Statement, Work, among, statement

r = runs.c
SortDir = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which finished runs; `None`: whatever it is."""

    job_id: str | None = None
    run_id: str | None = None
    agent_id: str | None = None
    statuses: tuple[str, ...] | None = None
    deliveries: tuple[str, ...] | None = None
    search: str | None = None


def page(
    wanted: RunFilter, *, limit: int, offset: int = 0, sort: SortDir = "desc"
) -> Work[tuple[list[Run], int]]:
    """Return a page of finished runs in the order of their starts, and how many there are."""
    shape, params = _shape(wanted), _params(wanted)
    total: int = (yield _counting(shape)(**params))[0]["n"]
    rows = yield _paging(shape, sort)(**params, count=limit, skip=offset)
    return [run_from_row(row) for row in rows], total


def forget_before(*, before_ms: int, count: int) -> Work[int]:
    """Delete runs that ended before a time, at most `count`; return how many."""
    return len((yield _FORGET(before=before_ms, count=count)))


def forget_beyond(job_id: str, *, keep: int) -> Work[int]:
    """Delete all but the newest finished runs of a job; return how many."""
    return len((yield _FORGET_BEYOND(id=job_id, keep=keep)))


def old_sessions(*, before_ms: int, count: int) -> Work[list[Run]]:
    """Return runs with a session of their own that ended before a time."""
    rows = yield _OLD_SESSIONS(before=before_ms, count=count)
    return [run_from_row(row) for row in rows]


def let_go_of_session(run_id: str) -> Work[None]:
    """Note that a run's session is deleted, or has become somebody's conversation."""
    yield _LET_GO(id=run_id)


_CONDITIONS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "job_id": lambda _: r.job_id == bindparam("job"),
    "run_id": lambda _: r.run_id == bindparam("run"),
    "agent_id": lambda _: r.agent_id == bindparam("agent"),
    "statuses": lambda values: among(r.status, values),
    "deliveries": lambda values: among(r.delivery_status, values),
    "search": lambda _: or_(
        *(
            func.lower(text).like(bindparam("like"), escape="\\")
            for text in (r.job_name, r.summary, r.error)
        )
    ),
}
# Values that are part of the statement; all others are bound to it.
_FIXED = {"statuses", "deliveries"}
Shape = tuple[tuple[str, Any], ...]


def _shape(wanted: RunFilter) -> Shape:
    given = ((field.name, getattr(wanted, field.name)) for field in fields(wanted))
    return tuple(
        (name, tuple(sorted(value)) if name in _FIXED else None)
        for name, value in given
        if value is not None
    )


def _params(wanted: RunFilter) -> dict[str, Any]:
    search = (wanted.search or "").lower()
    for special in "\\%_":
        search = search.replace(special, f"\\{special}")
    return {
        "job": wanted.job_id,
        "run": wanted.run_id,
        "agent": wanted.agent_id,
        "like": f"%{search}%",
    }


def _where(shape: Shape) -> Sequence[ColumnElement[bool]]:
    return [r.state == "finished", *(_CONDITIONS[name](value) for name, value in shape)]


@lru_cache(maxsize=256)
def _counting(shape: Shape) -> Statement:
    return statement(select(func.count().label("n")).select_from(runs).where(*_where(shape)))


@lru_cache(maxsize=256)
def _paging(shape: Shape, sort: SortDir) -> Statement:
    order = r.started_at.desc() if sort == "desc" else r.started_at.asc()
    tie = r.run_id.desc() if sort == "desc" else r.run_id.asc()
    return statement(
        select(runs)
        .where(*_where(shape))
        .order_by(order, tie)
        .limit(bindparam("count"))
        .offset(bindparam("skip"))
    )


_old = runs.alias("old")
_FORGET = statement(
    delete(runs)
    .where(
        r.run_id.in_(
            select(_old.c.run_id)
            .where(
                _old.c.state == "finished",
                _old.c.owns_session == 0,
                _old.c.started_at < bindparam("before"),
            )
            .limit(bindparam("count"))
        )
    )
    .returning(r.run_id)
)
_FORGET_BEYOND = statement(
    delete(runs)
    .where(
        r.job_id == bindparam("id"),
        r.state == "finished",
        r.owns_session == 0,
        r.run_id.not_in(
            select(_old.c.run_id)
            .where(_old.c.job_id == bindparam("id"), _old.c.state == "finished")
            .order_by(_old.c.started_at.desc(), _old.c.run_id.desc())
            .limit(bindparam("keep"))
        ),
    )
    .returning(r.run_id)
)
_OLD_SESSIONS = statement(
    select(runs)
    .where(r.owns_session == 1, r.state == "finished", r.ended_at < bindparam("before"))
    .order_by(r.ended_at)
    .limit(bindparam("count"))
)
_LET_GO = statement(update(runs).where(r.run_id == bindparam("id")).values(owns_session=0))
