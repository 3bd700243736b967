"""`status`: what the gateway does now, in one answer.

Source: OpenClaw gateway protocol, "status".
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

from portico.agents.service import Agents
from portico.outbox import store as outbox_store
from portico.sessions import listing
from portico.sessions.listing import Filter, Page
from portico.sessions.shapes import model_of
from portico.store import Work
from portico.turns import background
from portico.turns.life import TurnState
from portico.turns.model import TaskKind

RECENT = 10
HIDDEN = "[redacted]"
# What a turn's end is called where tasks are counted.
S = TurnState
_TASK_STATUS = {
    S.QUEUED: "queued",
    S.RUNNING: "running",
    S.SUCCEEDED: "succeeded",
    S.MERGED: "succeeded",
    S.FAILED: "failed",
    S.TIMED_OUT: "timed_out",
    S.CANCELLED: "cancelled",
    S.DROPPED: "cancelled",
    S.EXPIRED: "cancelled",
    S.INTERRUPTED: "lost",
}
TaskCounts = dict[tuple[TaskKind, TurnState], int]


def read_status() -> Work[tuple[TaskCounts, dict[str, int], dict[str, int], Page]]:
    """Count tasks and deliveries by state and sessions by agent; read the newest sessions."""
    runs = yield from background.counts()
    deliveries = yield from outbox_store.counts()
    sessions = yield from listing.counts_by_agent()
    page = yield from listing.list_sessions(Filter(archived=None), limit=RECENT)
    return runs, deliveries, sessions, page


def tasks(runs: TaskCounts) -> dict[str, Any]:
    """Return the overview of tasks."""
    by_status = dict.fromkeys(
        ("queued", "running", "succeeded", "failed", "timed_out", "cancelled", "lost"), 0
    )
    by_runtime = {"subagent": 0, "acp": 0, "cli": 0, "cron": 0}
    for (kind, state), count in runs.items():
        by_status[_TASK_STATUS[state]] += count
        by_runtime[kind] += count
    active = by_status["queued"] + by_status["running"]
    total = sum(by_status.values())
    failures = by_status["failed"] + by_status["timed_out"] + by_status["lost"]
    return {
        "total": total,
        "active": active,
        "terminal": total - active,
        "failures": failures,
        "byStatus": by_status,
        "byRuntime": by_runtime,
    }


def task_audit(runs: TaskCounts, deliveries: dict[str, int]) -> dict[str, Any]:
    """Return what went wrong with tasks and deliveries and waits for a person."""
    by_code = {
        "stale_queued": 0,  # the sweep starts what waits and closes what is orphaned
        "stale_running": 0,
        "lost": sum(n for (_, state), n in runs.items() if state is S.INTERRUPTED),
        "delivery_failed": deliveries.get("failed", 0) + deliveries.get("unknown", 0),
        "missing_cleanup": 0,
        "inconsistent_timestamps": 0,
    }
    errors = by_code["delivery_failed"]
    warnings = by_code["lost"]
    return {
        "total": errors + warnings,
        "warnings": warnings,
        "errors": errors,
        "byCode": by_code,
    }


def sessions(
    agents: Agents, counts: dict[str, int], page: Page, *, path: str, now: int, is_admin: bool
) -> dict[str, Any]:
    """Return the overview of sessions; only administrators see paths and keys."""
    recent = [_recent(item, agents, now) for item in page.items] if is_admin else []
    shown_path = path if is_admin else HIDDEN
    model = model_of(agents.get(None))
    return {
        "paths": [path] if is_admin and path else [],
        "count": sum(counts.values()),
        "defaults": {"model": model.model if is_admin else None, "contextTokens": None},
        "recent": recent,
        "byAgent": [
            {
                "agentId": agent.agent_id,
                "path": shown_path,
                "count": counts.get(agent.agent_id, 0),
                "recent": [one for one in recent if one["agentId"] == agent.agent_id],
            }
            for agent in agents.list()
        ],
    }


def _recent(item: listing.Listed, agents: Agents, now: int) -> dict[str, Any]:
    session = item.session
    model = model_of(agents.find(session.agent_id) or agents.get(None), session.model)
    return {
        "agentId": session.agent_id,
        "key": session.key,
        "kind": session.chat_type,
        "sessionId": session.session_id,
        "updatedAt": session.updated_at,
        "age": max(0, now - session.updated_at),
        "inputTokens": session.input_tokens,
        "outputTokens": session.output_tokens,
        "totalTokens": session.context_tokens,
        "totalTokensFresh": session.last_run_ended_at is not None,
        "remainingTokens": None,
        "percentUsed": None,
        "model": model.model,
        "contextTokens": None,
        "flags": [],
    }


def vitals() -> dict[str, Any]:
    """Return what the process uses."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "pid": os.getpid(),
        "processMemory": {"rssBytes": _resident_bytes(used.ru_maxrss)},
        "processCpu": {
            "userMs": int(used.ru_utime * 1000),
            "systemMs": int(used.ru_stime * 1000),
        },
    }


def _resident_bytes(peak_kib: int) -> int:
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * resource.getpagesize()
    except OSError:  # no /proc: the peak is the best there is
        return peak_kib * (1 if sys.platform == "darwin" else 1024)
