"""tasks.*: the turns nobody waits for are listed, shown, followed and cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.house import House, principal
from tests.support.waiting import eventually

HANG = "/sim hang=1\nfor ever"


async def ask(house: House, run_id: str, text: str, key: str = "main") -> asyncio.Task[Any]:
    """Have an agent run for a program, and return when that is accepted."""
    params = {"sessionKey": key, "message": text, "idempotencyKey": run_id}
    early: list[Any] = []
    running = asyncio.ensure_future(house.call("agent", params, early=early))
    await eventually(lambda: _truth(early))
    return running


async def _truth(early: list[Any]) -> bool:
    return bool(early)


async def listed(house: House, **asked: Any) -> list[tuple[str, str]]:
    tasks = (await house.call("tasks.list", asked))["tasks"]
    return [(task["id"], task["status"]) for task in tasks]


async def test_a_program_s_run_is_a_task_and_a_conversation_is_none(house: House):
    watcher = house.connect()
    await house.say("main", "work", "t1")
    params = {"sessionKey": "main", "message": "talk", "idempotencyKey": "c1"}
    await house.call("chat.send", params)
    await house.call("agent.wait", {"runId": "c1", "timeoutMs": 50_000})
    (task,) = (await house.call("tasks.list"))["tasks"]
    assert (task["id"], task["runtime"], task["status"]) == ("t1", "cli", "completed")
    assert (task["title"], task["terminalSummary"]) == ("work", "Echo: work")
    assert "prompt" not in task
    whole = (await house.call("tasks.get", {"taskId": "t1"}))["task"]
    assert (whole["prompt"], whole["result"]) == ("work", "Echo: work")
    told = watcher.named("task")
    assert [one["task"]["status"] for one in told] == ["running", "completed"]
    assert told[-1] == {"action": "upserted", "task": task}
    assert (await house.call("status"))["tasks"]["byRuntime"] == {
        "subagent": 0,
        "acp": 0,
        "cli": 1,
        "cron": 0,
    }
    for method in ("tasks.get", "tasks.history"):
        assert (await house.refusal(method, {"taskId": "c1"}))["code"] == "INVALID_REQUEST"


async def test_a_job_s_run_is_named_after_the_job(house: House):
    job = await house.call(
        "cron.add",
        {
            "name": "Morning",
            "schedule": {"kind": "every", "everyMs": 86_400_000},
            "sessionTarget": "isolated",
            "wakeMode": "now",
            "payload": {"kind": "agentTurn", "message": "go"},
        },
    )
    await house.call("cron.run", {"id": job["id"]})

    async def done() -> bool:
        return [status for _, status in await listed(house)] == ["completed"]

    await eventually(done)
    (task,) = (await house.call("tasks.list"))["tasks"]
    assert (task["runtime"], task["title"], task["sourceId"]) == ("cron", "Morning", job["id"])
    assert (task["kind"], task["execution"]) == ("automation_run", {"state": "finished"})
    assert task["sessionKey"].startswith(f"agent:main:cron:{job['id']}")


async def test_lists_are_filtered_and_paged(house: House):
    for number in range(5):
        await house.say("main", f"work {number}", f"t{number}")
    await house.refusal(
        "agent", {"sessionKey": "w", "message": "/sim error=timeout\nx", "idempotencyKey": "f"}
    )
    assert await listed(house, status="failed") == [("f", "failed")]
    assert await listed(house, status=["queued", "running"]) == []
    assert await listed(house, sessionKey="w") == [("f", "failed")]
    assert await listed(house, agentId="nobody") == []
    seen: list[str] = []
    asked: dict[str, Any] = {"limit": 2, "sortBy": "endedAt"}
    while True:
        page = await house.call("tasks.list", asked)
        seen += [task["id"] for task in page["tasks"]]
        if "nextCursor" not in page:
            break
        asked["cursor"] = page["nextCursor"]
    assert sorted(seen) == ["f", "t0", "t1", "t2", "t3", "t4"]
    for cursor in ("x", "9" * 30, "²:t1"):
        assert "cursor" in (await house.refusal("tasks.list", {"cursor": cursor}))["message"]


async def test_a_task_shows_what_its_own_run_wrote(house: House):
    await house.say("main", "first", "t1")
    await house.say("main", "second", "t2")
    one = await house.call("tasks.history", {"taskId": "t2", "limit": 1})
    assert [message["role"] for message in one["messages"]] == ["user"]
    rest = await house.call("tasks.history", {"taskId": "t2", "cursor": one["nextCursor"]})
    assert [message["role"] for message in rest["messages"]] == ["assistant"]
    assert "second" in str(rest)
    assert "first" not in str(one) + str(rest)
    assert "nextCursor" not in rest


async def test_what_runs_and_what_waits_is_cancelled_once(house: House):
    running = await ask(house, "t1", HANG)
    waiting = await ask(house, "t2", "next")
    assert dict(await listed(house, sessionKey="main")) == {"t1": "running", "t2": "queued"}
    reader = principal("operator.read")
    assert (await house.refusal("tasks.cancel", {"taskId": "t2"}, by=reader))["code"]
    for task_id in ("t2", "t1"):
        answer = await house.call("tasks.cancel", {"taskId": task_id, "reason": "enough"})
        assert (answer["found"], answer["cancelled"]) == (True, True)
        assert answer["task"]["status"] == "cancelled"
    again = await house.call("tasks.cancel", {"taskId": "t1"})
    assert (again["cancelled"], again["reason"]) == (False, "Task is already cancelled.")
    assert await house.call("tasks.cancel", {"taskId": "none"}) == {
        "found": False,
        "cancelled": False,
        "reason": "Task not found.",
    }
    await asyncio.wait_for(asyncio.gather(running, waiting, return_exceptions=True), 30)
