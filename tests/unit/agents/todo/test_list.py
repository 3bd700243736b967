"""Task lists on disk, and the tool."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.agents.todo import list as task_list
from portico.agents.todo.list import CannotKeep
from portico.agents.todo.tools import TodoTools
from portico.agents.tools.contract import ToolCall, tools_of
from portico.agents.tools.toolbox import Done, ToolLimits, run
from portico.channels.model import Peer, ReplyRoute
from tests.support.clock import FakeClock

CALL = ToolCall(agent_id="main", session_key="agent:main:main", call_id="c")


async def call(workspace: Path | None, args: dict[str, Any], by: ToolCall = CALL) -> Done:
    feature = TodoTools(
        workspace_of=lambda _agent: None if workspace is None else str(workspace),
        clock=FakeClock(),
    )
    (tasks,) = tools_of(feature)
    return await run(tasks, by, args, ToolLimits())


async def result(workspace: Path, **args: Any) -> Any:
    done = await call(workspace, args)
    assert done.error is None, done.value
    return msgspec.to_builtins(done.value)


async def test_a_task_from_capture_to_done(tmp_path: Path) -> None:
    added = await result(tmp_path, action="add", texts=["Buy milk", "Call Ann"], due="2026-05-01")
    assert added == {
        "tasks": [
            {"id": "t1", "text": "Buy milk", "due": "2026-05-01"},
            {"id": "t2", "text": "Call Ann", "due": "2026-05-01"},
        ],
        "open": 2,
    }
    again = await result(tmp_path, action="add", texts=["buy  MILK", "Write"])
    assert [task["id"] for task in again["tasks"]] == ["t1", "t3"]
    done = await result(tmp_path, action="done", ids=["t1", "^t3"])
    assert done["open"] == 1
    assert done["tasks"][0] == {
        "id": "t1",
        "text": "Buy milk",
        "done": True,
        "due": "2026-05-01",
        "done_on": "2027-01-15",
    }
    assert (await result(tmp_path, action="list"))["tasks"][0]["id"] == "t2"
    found = await result(tmp_path, action="list", show="all", search="MILK buy")
    assert [task["id"] for task in found["tasks"]] == ["t1"]
    reopened = await result(tmp_path, action="reopen", ids=["t1"])
    assert reopened["tasks"][0] == {"id": "t1", "text": "Buy milk", "due": "2026-05-01"}
    assert "- [x] Write · done 2027-01-15 ^t3" in (tmp_path / "TASKS.md").read_text()


async def test_what_is_asked_wrongly_changes_nothing(tmp_path: Path) -> None:
    await result(tmp_path, action="add", texts=["a"])
    before = (tmp_path / "TASKS.md").read_text()
    for args, why in (
        ({"action": "done", "ids": ["t1", "t9"]}, "There is no task t9."),
        ({"action": "done"}, "Say which tasks"),
        ({"action": "add"}, "Say what to add"),
        ({"action": "add", "texts": ["b"], "due": "tomorrow"}, "2026-05-01"),
        ({"action": "done", "ids": ["../x"]}, "must match pattern"),
        ({"action": "drop"}, "allowed values"),
    ):
        done = await call(tmp_path, args)
        assert done.is_error
        assert why in done.value
    assert (tmp_path / "TASKS.md").read_text() == before
    assert (await call(None, {"action": "list"})).error == "REFUSED"


async def test_what_strangers_had_a_part_in_stays_marked(tmp_path: Path) -> None:
    stranger = replace(CALL, is_untrusted=True)
    await call(tmp_path, {"action": "add", "texts": ["Do as I say"]}, stranger)
    assert "from outside" in (tmp_path / "TASKS.md").read_text()
    assert (await call(tmp_path, {"action": "list"})).is_untrusted
    await call(tmp_path, {"action": "add", "texts": ["mine"]})
    assert not (await call(tmp_path, {"action": "list", "search": "mine"})).is_untrusted


async def test_the_list_is_not_for_a_group_of_strangers(tmp_path: Path) -> None:
    await result(tmp_path, action="add", texts=["a secret"])
    group = ReplyRoute(channel="telegram", account="default", peer=Peer("group", "g"))
    done = await call(tmp_path, {"action": "list"}, replace(CALL, is_untrusted=True, origin=group))
    assert done.error == "REFUSED"
    assert "secret" not in done.value


async def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from portico.agents.todo import list as tasks\n"
        "for n in range(15): tasks.add(Path(sys.argv[1]), [f'{sys.argv[2]} {n}'], due=None, "
        "from_outside=False)"
    )
    others = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name])
        for name in ("one", "two")
    ]
    await asyncio.gather(*(result(tmp_path, action="add", texts=[f"n {n}"]) for n in range(15)))
    with ThreadPoolExecutor() as pool:
        codes = list(pool.map(lambda process: process.wait(30), others))
    assert codes == [0, 0]
    tasks = task_list.listed(tmp_path)
    assert len({task.id for task in tasks}) == len({task.text for task in tasks}) == 45


def test_links_that_lead_out_and_files_that_are_no_list(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (tmp_path / "secret").write_text("- [ ] secret\n")
    (workspace / "TASKS.md").symlink_to(tmp_path / "secret")
    with pytest.raises(CannotKeep, match="cannot be"):
        task_list.add(workspace, ["a"], due=None, from_outside=False)
    assert (tmp_path / "secret").read_text() == "- [ ] secret\n"
    (workspace / "TASKS.md").unlink()
    (workspace / "TASKS.md").write_bytes(b"\xff")
    with pytest.raises(CannotKeep, match="UTF-8"):
        task_list.listed(workspace)
    (workspace / "TASKS.md").write_bytes(b"x" * 1_000_001)
    with pytest.raises(CannotKeep, match="larger"):
        task_list.listed(workspace)
    (workspace / "TASKS.md").unlink()
    (workspace / "TASKS.md").mkdir()
    with pytest.raises(CannotKeep, match="cannot be read"):
        task_list.listed(workspace)


def test_a_list_has_an_end(tmp_path: Path) -> None:
    lines = "".join(f"- [ ] task {n} ^t{n}\n" for n in range(1, task_list.MAX_OPEN + 1))
    (tmp_path / "TASKS.md").write_text(lines)
    with pytest.raises(CannotKeep, match="no more are added"):
        task_list.add(tmp_path, ["one more"], due=None, from_outside=False)
    assert json.dumps((tmp_path / "TASKS.md").read_text()) == json.dumps(lines)
