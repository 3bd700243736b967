"""What must be in the database when the dust has settled."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.driver import Driver, Message

SETTLE_TIMEOUT_S = 120.0
Select = Callable[[str], Awaitable[list[dict[str, Any]]]]


def sqlite_reader(path: Path) -> Select:
    """A reader of a SQLite file that the gateway may have open."""

    async def select(sql: str) -> list[dict[str, Any]]:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql)]

    return select


def postgres_reader(url: str) -> Select:
    """A reader of a PostgreSQL database."""

    async def select(sql: str) -> list[dict[str, Any]]:
        import asyncpg

        connection = await asyncpg.connect(url)
        try:
            return [dict(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return select


async def settled(select: Select) -> None:
    """Wait until every turn has ended."""
    async with asyncio.timeout(SETTLE_TIMEOUT_S):
        while True:
            waiting = "SELECT count(*) AS n FROM turns WHERE state IN ('queued', 'running')"
            if (await select(waiting))[0]["n"] == 0:
                return
            await asyncio.sleep(0.1)


@dataclass
class Findings:
    """How many of what; `problems` must be empty."""

    answered: int
    interrupted: int
    resumed: int
    problems: list[str]


async def check(driver: Driver, select: Select) -> Findings:
    """Compare the database with what was acknowledged."""
    turns = {row["run_id"]: row for row in await select("SELECT * FROM turns")}
    by_run: dict[str, list[dict[str, Any]]] = {}
    by_session: dict[str, list[str]] = {}
    entries = await select("SELECT * FROM session_entries ORDER BY session_id, seq")
    for entry in entries:
        by_run.setdefault(entry["run_id"], []).append(entry)
        if entry["role"] == "user":
            key = json.loads(entry["meta"])["key"]
            by_session.setdefault(entry["session_id"], []).append(key)
    problems = _sequence_problems(entries)
    sent = [message for messages in driver.acknowledged.values() for message in messages]
    for message in sent:
        problems += _problems(message, turns.get(message.key), by_run.get(message.key, []))
    for session, messages in driver.acknowledged.items():
        session_ids = {turns[m.key]["session_id"] for m in messages if m.key in turns}
        said = [key for each in session_ids for key in by_session.get(each or "", [])]
        if said != [message.key for message in messages]:
            problems.append(f"{session}: the order is {said[:50]}")
    extra = turns.keys() - {message.key for message in sent}
    problems += [f"{key}: never sent" for key in extra]
    inbox = Counter(row["run_id"] for row in await select("SELECT run_id FROM inbox_messages"))
    problems += [f"{key}: accepted {times} times" for key, times in inbox.items() if times > 1]
    states = Counter(row["state"] for row in turns.values())
    return Findings(
        answered=states["succeeded"],
        interrupted=states["interrupted"],
        resumed=sum(row["attempts"] > 1 for row in turns.values()),
        problems=problems,
    )


def _problems(
    message: Message, turn: dict[str, Any] | None, entries: list[dict[str, Any]]
) -> list[str]:
    if turn is None:
        return [f"{message.key}: acknowledged and lost"]
    may_end_as = {"succeeded", "interrupted"} if message.is_unsafe else {"succeeded"}
    problems = []
    if turn["state"] not in may_end_as:
        problems.append(f"{message.key}: ended as {turn['state']}: {turn['result']}")
    said = [entry for entry in entries if not _is_about_tools(entry)]
    if [entry["role"] for entry in said] != ["user", "assistant"]:
        problems.append(f"{message.key}: transcript has {[entry['role'] for entry in entries]}")
    elif turn["state"] == "succeeded":
        text = json.loads(said[1]["content"])[0]["text"]
        if text != f"Echo: message {message.number} of {message.session}":
            problems.append(f"{message.key}: the answer is {text!r}")
    return problems


def _is_about_tools(entry: dict[str, Any]) -> bool:
    return entry["role"] == "toolResult" or (
        entry["role"] == "assistant" and json.loads(entry["meta"])["stopReason"] == "toolUse"
    )


def _sequence_problems(entries: list[dict[str, Any]]) -> list[str]:
    """Within a session: seq without gaps, and runs do not interleave."""
    problems = []
    previous: dict[str, dict[str, Any]] = {}
    ended: set[str] = set()
    for entry in entries:
        before = previous.get(entry["session_id"])
        if entry["seq"] != (before["seq"] + 1 if before else 1):
            problems.append(f"{entry['session_id']}: a gap before {entry['seq']}")
        if before and before["run_id"] != entry["run_id"]:
            ended.add(before["run_id"])
        if entry["run_id"] in ended:
            problems.append(f"{entry['run_id']}: interleaved with another run")
        previous[entry["session_id"]] = entry
    return problems


def check_file(path: Path) -> list[str]:
    """What SQLite itself says of the file."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    return [] if found == ["ok"] else found
