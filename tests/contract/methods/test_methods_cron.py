"""cron.*: jobs are added, changed, listed, run and removed; what cannot run is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.house import House, principal
from tests.support.waiting import eventually

READER = principal("operator.read")
FAR = {"kind": "every", "everyMs": 86_400_000}
GO = {"kind": "agentTurn", "message": "go"}


async def add(house: House, **fields: Any) -> dict[str, Any]:
    asked = {
        "name": "job",
        "schedule": FAR,
        "sessionTarget": "isolated",
        "wakeMode": "now",
        "payload": GO,
        **fields,
    }
    added: dict[str, Any] = await house.call("cron.add", asked)
    return added


async def refused(house: House, **fields: Any) -> str:
    asked = {
        "name": "job",
        "schedule": FAR,
        "sessionTarget": "isolated",
        "wakeMode": "now",
        "payload": GO,
        **fields,
    }
    error = await house.refusal("cron.add", asked)
    assert error["code"] == "INVALID_REQUEST"
    return str(error["message"])


async def ran(house: House, job_id: str) -> dict[str, Any]:
    """Run a job by hand and return its entry in the history."""
    answer = await house.call("cron.run", {"id": job_id})
    assert (answer["ok"], answer["enqueued"]) == (True, True)

    async def entry() -> Any:
        wanted = {"id": job_id, "runId": answer["runId"]}
        return (await house.call("cron.runs", wanted))["entries"]

    (found,) = await eventually(entry)
    return dict(found)


async def test_a_job_from_its_beginning_to_its_end(house: House):
    watcher = house.connect()
    job = await add(house, description="about it", agentId="main")
    assert job["enabled"] is True
    assert job["delivery"] == {"mode": "announce"}
    assert job["state"]["nextRunAtMs"] == job["schedule"]["anchorMs"] + 86_400_000
    assert await house.call("cron.get", {"jobId": job["id"]}) == {
        name: value for name, value in job.items() if name != "deliveryPreview"
    }
    entry = await ran(house, job["id"])
    assert (entry["status"], entry["completionStatus"]) == ("ok", "succeeded")
    assert (entry["summary"], entry["jobName"]) == ("Echo: go", "job")
    assert (entry["deliveryStatus"], entry["usage"]["total_tokens"]) == ("delivered", 3)
    history = await house.call("chat.history", {"sessionKey": entry["sessionKey"]})
    assert [message["role"] for message in history["messages"]] == ["user", "assistant"]
    assert history["sessionInfo"]["createdVia"] == "cron"
    patch = {"name": "other", "payload": {"kind": "agentTurn", "message": "stay"}}
    changed = await house.call("cron.update", {"id": job["id"], "patch": patch})
    assert (changed["name"], changed["payload"]["message"]) == ("other", "stay")
    assert changed["configRevision"] != job["configRevision"]
    assert changed["nextRunAtMs"] == job["nextRunAtMs"]
    assert await house.call("cron.remove", {"id": job["id"]}) == {"ok": True, "removed": True}
    actions = [event["action"] for event in watcher.named("cron")]
    assert actions == ["added", "started", "finished", "updated", "removed"]
    started, finished = watcher.named("cron")[1:3]
    assert started["runId"] == finished["runId"] == entry["runId"]
    assert finished["job"]["state"]["lastRunStatus"] == "ok"


async def test_what_there_is_not_is_said(house: House):
    for method, params in (
        ("cron.update", {"id": "no", "patch": {}}),
        ("cron.remove", {"jobId": "no"}),
        ("cron.run", {"id": "no"}),
    ):
        error = await house.refusal(method, params)
        assert error["message"] == "unknown cron job id: no"
        assert error["details"] == {"code": "CRON_JOB_NOT_FOUND", "jobId": "no"}
    error = await house.refusal("cron.get", {"id": "no"})
    assert error["message"] == "cron job not found: no"
    assert error["details"]["code"] == "CRON_JOB_NOT_FOUND"
    error = await house.refusal("cron.run", {})
    assert error["message"] == "invalid cron.run params: must have required property 'id'"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"schedule": {"kind": "at", "at": "2020-01-01T00:00:00Z"}}, "schedule.at is in the past"),
        ({"schedule": {"kind": "at", "at": "soon"}}, "not an ISO 8601 time: 'soon'"),
        ({"schedule": {"kind": "cron", "expr": "61 * * * *"}}, "Bad minute"),
        ({"schedule": {"kind": "cron", "expr": "0 0 31 2 *"}}, "Bad day-of-month"),
        ({"schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "Mars"}}, "unknown time zone"),
        ({"schedule": {"kind": "every", "everyMs": 99}}, "cron.minIntervalMs (100)"),
        ({"schedule": {"kind": "on-exit", "command": "x"}}, "at /schedule/kind"),
        ({"payload": {"kind": "command", "argv": ["x"]}}, "at /payload/kind"),
        ({"sessionTarget": "main"}, 'main cron jobs require payload.kind="systemEvent"'),
        ({"payload": {"kind": "systemEvent", "text": "x"}}, 'require payload.kind="agentTurn"'),
        ({"sessionTarget": "elsewhere"}, "at /sessionTarget"),
        ({"sessionTarget": "current"}, "needs a sessionKey"),
        ({"sessionTarget": "session:agent:fox:x"}, "does not own session"),
        ({"agentId": "nobody"}, 'unknown agent id "nobody"'),
        ({"payload": {**GO, "toolsAllow": ["read"]}}, "does not offer payload.toolsAllow"),
        ({"payload": {**GO, "fallbacks": ["a/b"]}}, "does not offer payload.fallbacks"),
        ({"delivery": {"mode": "webhook", "to": "http://x"}}, "does not offer delivery.mode"),
        ({"delivery": {"mode": "announce", "channel": "telegram"}}, "unsupported channel"),
        ({"failureAlert": {"after": 3}}, "does not offer failureAlert"),
        ({"trigger": {"script": "x"}}, "does not offer trigger"),
        ({"name": ""}, "at /name"),
        ({"zzz": 1}, "unexpected property 'zzz'"),
    ],
)
async def test_what_cannot_run_is_refused(house: House, fields: dict[str, Any], words: str):
    assert words in await refused(house, **fields)
    assert (await house.call("cron.status"))["jobs"] == 0


async def test_their_number_is_limited(house: House):
    for number in range(5):
        await add(house, name=f"j{number}")
    assert "5 jobs already (cron.maxJobs)" in await refused(house)


async def test_only_administrators_change_jobs(house: House):
    job = await add(house)
    for method, params in (
        ("cron.add", {"name": "x", "schedule": FAR, "payload": GO}),
        ("cron.update", {"id": job["id"], "patch": {"enabled": False}}),
        ("cron.run", {"id": job["id"]}),
        ("cron.remove", {"id": job["id"]}),
    ):
        assert (await house.refusal(method, params, by=READER))["code"] == "FORBIDDEN"
    assert (await house.call("cron.list", by=READER))["total"] == 1
    assert (await house.call("cron.status", by=READER))["storePath"] == "[redacted]"


async def test_lists_have_filters_an_order_and_pages(house: House):
    soon = {"kind": "every", "everyMs": 3_600_000}
    await add(house, name="late", description="gardening")
    await add(house, name="early", schedule=soon)
    off = await add(house, name="off", enabled=False)
    once = await add(house, name="once", schedule={"kind": "at", "at": "2099-01-01T00:00:00Z"})
    await ran(house, off["id"])

    async def names(**params: Any) -> list[str]:
        page = await house.call("cron.list", params)
        assert page["total"] == len(page["jobs"])
        return [job["name"] for job in page["jobs"]]

    assert await names() == ["early", "late", "once"]
    assert await names(includeDisabled=True) == ["early", "late", "once", "off"]
    assert await names(enabled="disabled") == ["off"]
    assert await names(scheduleKind="at") == ["once"]
    assert await names(query="GARDEN") == ["late"]
    assert await names(query=once["id"]) == ["once"]
    assert await names(enabled="all", lastRunStatus="ok") == ["off"]
    assert await names(agentId="fox") == []
    assert await names(sortBy="name", sortDir="desc") == ["once", "late", "early"]
    assert await names(trigger="conditional") == []
    page = await house.call("cron.list", {"limit": 2})
    assert (page["hasMore"], page["nextOffset"], page["total"]) == (True, 2, 3)
    assert set(page["deliveryPreviews"]) == {job["id"] for job in page["jobs"]}
    rest = await house.call("cron.list", {"limit": 2, "offset": 2})
    assert (rest["hasMore"], rest["nextOffset"]) == (False, None)
    assert rest["snapshotRevision"] == page["snapshotRevision"]
    (short,) = (await house.call("cron.list", {"compact": True, "query": "once"}))["jobs"]
    assert (short["scheduleKind"], short["nextRunAt"]) == ("at", "2099-01-01T00:00:00.000+00:00")


async def test_a_change_of_another_revision_is_refused(house: House):
    job = await add(house)
    update = {
        "id": job["id"],
        "patch": {"description": "new"},
        "expectedConfigRevision": job["configRevision"],
    }
    await house.call("cron.update", update)
    error = await house.refusal("cron.update", update)
    assert error["details"]["code"] == "CRON_JOB_CHANGED"


async def test_patches_change_what_they_name(house: House):
    payload = {**GO, "model": "a/b", "thinking": "high"}
    delivery = {"mode": "announce", "channel": "webchat", "to": "agent:main:x"}
    job = await add(house, payload=payload, delivery=delivery, displayName="Shown")

    async def patched(**patch: Any) -> Any:
        return await house.call("cron.update", {"id": job["id"], "patch": patch})

    changed = await patched(payload={"kind": "agentTurn", "model": None}, displayName=None)
    assert changed["payload"] == {**GO, "thinking": "high"}
    assert "displayName" not in changed
    changed = await patched(delivery={"to": None, "bestEffort": True})
    assert changed["delivery"] == {"mode": "announce", "channel": "webchat", "bestEffort": True}
    changed = await patched(enabled=False)
    assert "nextRunAtMs" not in changed["state"]
    changed = await patched(enabled=True, schedule={"kind": "every", "everyMs": 5_000})
    assert changed["state"]["nextRunAtMs"] == changed["schedule"]["anchorMs"] + 5_000
    changed = await patched(payload={"kind": "systemEvent", "text": "stretch"})
    assert (changed["sessionTarget"], changed.get("delivery")) == ("main", None)
    changed = await patched(misfire={"policy": "run_all", "staggerMs": 10})
    assert changed["misfire"] == {"policy": "run_all", "staggerMs": 10}
    error = await house.refusal(
        "cron.update", {"id": job["id"], "patch": {"payload": {"kind": "systemEvent", "text": 1}}}
    )
    assert "at /patch/payload/text: must be string" in error["message"]
    error = await house.refusal("cron.update", {"id": job["id"], "patch": {"payload": {}}})
    assert "at /patch/payload/kind" in error["message"]


async def test_declared_jobs_are_made_once_and_kept_as_declared(house: House):
    first = await add(house, declarationKey="brief")
    assert (first["created"], first.get("updated")) == (True, None)
    again = await add(house, declarationKey="brief")
    assert (again["created"], again["updated"]) == (False, False)
    assert again["job"] == first["job"]
    changed = await add(house, declarationKey="brief", description="new")
    assert (changed["created"], changed["updated"]) == (False, True)
    assert changed["job"]["id"] == first["job"]["id"]
    await house.call("cron.update", {"id": first["job"]["id"], "patch": {"enabled": False}})
    kept = await add(house, declarationKey="brief", description="newer")
    assert kept["job"]["enabled"] is False
    back = await add(house, declarationKey="brief", description="newer", enabled=True)
    assert back["job"]["enabled"] is True


async def test_a_session_of_its_own_or_one_that_is_kept(house: House):
    await house.say("diary", "hello", "k1")
    job = await add(house, sessionTarget="session:diary", delivery={"mode": "none"})
    assert job["sessionTarget"] == "session:agent:main:diary"
    entry = await ran(house, job["id"])
    assert entry["sessionKey"] == "agent:main:diary"
    bound = await add(house, sessionTarget="current", sessionKey="diary")
    assert bound["sessionTarget"] == "session:agent:main:diary"
    history = await house.call("chat.history", {"sessionKey": "diary"})
    texts = [message["content"][0]["text"] for message in history["messages"][1::2]]
    assert texts == ["Echo: hello", f"Echo: [cron:{job['id']} job] go"]
    found = await house.call("cron.list", {"sessionKey": "diary"})
    assert found["total"] == 2


async def test_the_history_has_filters_and_pages(house: House):
    one = await add(house, name="one", payload={**GO, "message": "apples"})
    two = await add(house, name="two", payload={**GO, "message": "/sim error=refusal"})
    for job in (one, two, one):
        await ran(house, job["id"])

    async def entries(**params: Any) -> list[str]:
        page = await house.call("cron.runs", params)
        assert page["total"] == len(page["entries"])
        return [entry["jobName"] for entry in page["entries"]]

    assert await entries(scope="all") == ["one", "two", "one"]
    assert await entries(scope="all", sortDir="asc", statuses=["error"]) == ["two"]
    assert await entries(id=one["id"]) == ["one", "one"]
    assert await entries(jobId=one["id"], status="error") == []
    assert await entries(scope="all", query="APPLE") == ["one", "one"]
    assert await entries(scope="all", deliveryStatus="not-requested") == ["two"]
    assert await entries(scope="all", agentId="fox") == []
    page = await house.call("cron.runs", {"scope": "all", "limit": 2})
    assert (page["hasMore"], page["nextOffset"], page["total"]) == (True, 2, 3)
    error = await house.refusal("cron.runs", {})
    assert error["code"] == "INVALID_REQUEST"
    failed = (await house.call("cron.runs", {"id": two["id"]}))["entries"][0]
    assert (failed["completionStatus"], failed["errorReason"]) == ("failed", "unclassified")


async def test_a_job_runs_by_itself(house: House):
    watcher = house.connect()
    job = await add(house, schedule={"kind": "every", "everyMs": 100}, delivery={"mode": "none"})

    def finished() -> list[Any]:
        return [event for event in watcher.named("cron") if event["action"] == "finished"]

    await eventually(lambda: len(finished()) >= 2)
    status = await house.call("cron.status")
    assert (status["enabled"], status["jobs"]) == (True, 1)
    await house.call("cron.remove", {"id": job["id"]})
    slots = [event["runId"].rpartition(":")[2] for event in finished()]
    assert len(slots) == len(set(slots))
