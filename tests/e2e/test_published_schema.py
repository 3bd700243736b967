"""What the gateway says and takes, against the JSON Schema published with the protocol package."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import GatewayProcess, Operator, Refused
from tests.published import needs_schema, problems, published, uncovered_params

SESSION = "agent:main:schema"
pytestmark = [pytest.mark.node, needs_schema]
# Real gateways send these too; the published objects are closed and do not list them.
UNLISTED_IN_HELLO_AUTH = {"method"}
UNLISTED_IN_AGENT_EVENT = {"sessionKey", "agentId", "sessionId"}


def without(names: set[str], value: dict[str, Any]) -> dict[str, Any]:
    return {name: member for name, member in value.items() if name not in names}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    running = GatewayProcess(tmp_path_factory.mktemp("schema") / "state").start()
    yield running
    assert running.stop() == 0
    assert running.tracebacks() == []


@pytest.fixture
def operator(gateway: GatewayProcess) -> Iterator[Operator]:
    with Operator(gateway) as connected:
        yield connected


def test_hello(operator: Operator) -> None:
    auth = without(UNLISTED_IN_HELLO_AUTH, operator.hello["auth"])
    assert problems("HelloOk", {**operator.hello, "auth": auth}) == []


@pytest.mark.parametrize(
    "text", ["hello", "/sim words=30 tools=2 think=well", "/sim error=refusal"]
)
def test_events_of_a_run(operator: Operator, text: str) -> None:
    key = f"schema-{text}"
    operator.call("sessions.subscribe")
    operator.call("chat.send", sessionKey=SESSION, message=text, idempotencyKey=key)
    operator.call("agent.wait", runId=key)
    operator.call("health")
    wrong = []
    for event in operator.events:
        wrong += problems("EventFrame", event)
        if event["event"] == "chat":
            wrong += problems("ChatEvent", event["payload"])
        elif event["event"] == "agent":
            wrong += problems("AgentEvent", without(UNLISTED_IN_AGENT_EVENT, event["payload"]))
    assert wrong == []
    assert {"chat", "agent"} <= {event["event"] for event in operator.events}


def test_results(operator: Operator) -> None:
    operator.call("chat.send", sessionKey=SESSION, message="hi", idempotencyKey="schema-results")
    operator.call("agent.wait", runId="schema-results")
    wrong = []
    operator.call("logs.tail", limit=3)
    operator.call("sessions.resolve", key=SESSION)
    operator.call("sessions.create", key="agent:main:schema-made")
    operator.call("skills.skillCard", skillKey="task-capture")
    for row in operator.call("sessions.list", includeDerivedTitles=True)["sessions"]:
        wrong += problems("SessionRow", row)
    for entry in operator.call("system-presence"):
        wrong += problems("PresenceEntry", entry)
    assert wrong == []


def test_results_of_methods_on_agents(operator: Operator) -> None:
    operator.call("agents.create", name="Schema", emoji="📐")
    agent = {"agentId": "schema"}
    operator.call("agents.list")
    wrong = problems("AgentIdentityResult", operator.call("agent.identity.get", **agent))
    operator.call("agents.update", **agent, name="Other", avatar="none.png")
    wrong += problems("AgentIdentityResult", operator.call("agent.identity.get", **agent))
    operator.call("agents.files.list", **agent)
    for name in ("SOUL.md", "MEMORY.md"):
        operator.call("agents.files.get", **agent, name=name)
    operator.call("agents.files.set", **agent, name="USER.md", content="x")
    operator.call("agents.workspace.list", **agent, limit=2)
    operator.call("agents.workspace.get", **agent, path="USER.md")
    for view in ("default", "configured", "provider-config", "all"):
        operator.call("models.list", view=view)
    operator.call("agents.delete", **agent)
    assert wrong == []


def test_tools(operator: Operator) -> None:
    operator.call("chat.send", sessionKey=SESSION, message="hi", idempotencyKey="schema-tools")
    operator.call("agent.wait", runId="schema-tools")
    catalog = operator.call("tools.catalog")
    found = {tool["id"]: tool for group in catalog["groups"] for tool in group["tools"]}
    assert {"sessions_list", "message", "memory_search", "web_fetch", "read", "exec"} <= set(found)
    assert found["session_status"]["defaultProfiles"] == ["minimal", "coding", "messaging", "full"]
    effective = operator.call("tools.effective", sessionKey=SESSION)
    ours = {tool["id"] for group in effective["groups"] for tool in group["tools"]}
    assert "exec" not in ours  # off by default
    for name, args, is_ok in (
        ("sessions_list", {}, True),
        ("session_status", {}, True),
        ("memory_search", {"query": "tea"}, True),
        ("session_status", {"sessionKey": "agent:main:absent"}, False),
        ("memory_search", {"query": 5}, False),
    ):
        invoked = operator.call("tools.invoke", name=name, args=args, sessionKey=SESSION)
        assert invoked["ok"] is is_ok, invoked
    with pytest.raises(Refused) as refused:
        operator.call("tools.invoke", name="exec", args={"command": "ls"})
    assert problems("ErrorShape", refused.value.error) == []


def test_approvals(gateway: GatewayProcess, operator: Operator) -> None:
    wrong = problems("ExecApprovalsSnapshot", operator.call("exec.approvals.get"))
    rules = {"security": "allowlist", "allowlist": [{"pattern": "/bin/ls", "argPattern": "^-l$"}]}
    file = {"version": 1, "defaults": {"ask": "always"}, "agents": {"main": rules}}
    base = {"baseHash": operator.call("exec.approvals.get")["hash"]}
    kept = operator.call("exec.approvals.set", file=file, **base)
    wrong += problems("ExecApprovalsSnapshot", kept)
    assert kept["file"] == file
    with Operator(gateway) as reviewer:
        for decision in ("allow-once", "allow-always", "deny", None):
            request = {"command": "ls", "agentId": "main", "sessionKey": SESSION, "host": "gateway"}
            limit = {"timeoutMs": 60_000 if decision else 1}
            asked = operator.send("exec.approval.request", twoPhase=True, **request, **limit)
            key = operator.answer(asked)["id"]
            pending = reviewer.call("approval.get", id=key)
            wrong += problems("ApprovalGetResult", pending)
            if decision:
                resolved = reviewer.call("approval.resolve", id=key, kind="exec", decision=decision)
                wrong += problems("ApprovalResolveResult", resolved)
            operator.answer(asked)
            wrong += problems("ApprovalGetResult", reviewer.call("approval.get", id=key))
    nobody = operator.call("exec.approval.request", command="ls")
    wrong += problems("ApprovalGetResult", operator.call("approval.get", id=nobody["id"]))
    history = operator.call("approval.history", limit=3)
    assert len(history["items"]) == 3
    wrong += problems("ApprovalHistoryResult", history)
    assert wrong == []


def test_scheduled_jobs(operator: Operator) -> None:
    payload = {"kind": "agentTurn", "message": "hi", "model": "portico/echo"}
    schedule = {"kind": "cron", "expr": "0 7 * * *", "tz": "Europe/Berlin", "staggerMs": 1000}
    added = operator.call(
        "cron.add",
        name="brief",
        schedule=schedule,
        sessionTarget="isolated",
        wakeMode="now",
        payload=payload,
        agentId="main",
        description="d",
        displayName="Brief",
        delivery={"mode": "announce", "channel": "webchat", "to": "main", "bestEffort": True},
    )
    run_id = operator.call("cron.run", id=added["id"])["runId"]
    finished = operator.wait_event("cron", action="finished", runId=run_id)
    declared = operator.call(
        "cron.add",
        name="rest",
        sessionTarget="main",
        wakeMode="next-heartbeat",
        schedule={"kind": "at", "at": "2099-01-01T00:00:00Z"},
        declarationKey="rest",
        payload={"kind": "systemEvent", "text": "stretch"},
    )
    wrong = problems("CronAddResult", added) + problems("CronDeclarativeAddResult", declared)
    wrong += problems("CronJob", finished["job"])
    wrong += problems("CronJob", operator.call("cron.get", id=added["id"]))
    patched = operator.call("cron.update", id=added["id"], patch={"enabled": False})
    wrong += problems("CronJob", patched)
    for job in operator.call("cron.list", includeDisabled=True)["jobs"]:
        assert job.pop("effectiveAgentId") == "main"
        wrong += problems("CronJob", job)
    for entry in operator.call("cron.runs", scope="all")["entries"]:
        wrong += problems("CronRunLogEntry", entry)
    for job in (added, declared["job"]):
        operator.call("cron.remove", id=job["id"])
    with pytest.raises(Refused) as refused:
        operator.call("cron.remove", id=added["id"])
    wrong += problems("ErrorShape", refused.value.error)
    wrong += problems("CronJobNotFoundErrorDetails", refused.value.error["details"])
    assert wrong == []


def test_refusals(operator: Operator) -> None:
    for method, params in (
        ("no.such.method", {}),
        ("chat.send", {}),
        ("sessions.delete", {"key": "agent:main:main"}),
        ("agent", {"agentId": "nobody", "message": "x", "idempotencyKey": "schema-nobody"}),
    ):
        with pytest.raises(Refused) as refused:
            operator.call(method, **params)
        assert problems("ErrorShape", refused.value.error) == []


@pytest.fixture(scope="module")
def exported() -> dict[str, Any]:
    told = subprocess.run(
        [sys.executable, "-m", "portico", "protocol", "export", "--format", "jsonschema"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return dict(json.loads(told.stdout))


def test_params_that_clients_may_send_are_taken(exported: dict[str, Any]) -> None:
    refused = {
        method: uncovered_params(method, shapes["params"], exported)
        for method, shapes in exported["methods"].items()
    }
    assert {method: found for method, found in refused.items() if found} == {}


def test_scopes_are_the_published_ones(exported: dict[str, Any]) -> None:
    theirs = published()["methods"]
    differ = {
        method: (shapes["scope"], theirs[method]["scope"])
        for method, shapes in exported["methods"].items()
        if method in theirs and _scope(shapes) != theirs[method]["scope"]
    }
    assert differ == {
        # Nobody becomes an owner by it: the answer says "unavailable", which needs no more.
        "channels.pairing.approve": ("operator.pairing", "dynamic"),
        # As the original, which lets every operator ask whatever is published.
        "device.scopes.requestUpgrade": (None, "operator.read"),
        "device.scopes.waitUpgrade": (None, "operator.read"),
        "chat.send": ("by params", "operator.write"),  # `/new` and `/reset` need more
        "health": (None, "operator.read"),  # asked for by clients with any scope, as the original
        # The installed package is older than the protocol, which has read.
        "users.self": ("operator.read", "operator.write"),
    }


def _scope(shapes: dict[str, Any]) -> str | None:
    if shapes["role"] == "node":
        return "node"
    return "dynamic" if shapes["scope"] == "by params" else shapes["scope"]


NOT_OFFERED = Path(__file__).parents[2] / "docs" / "protocol" / "not-offered.md"
# Every method that the founding documents name.
PROMISED = """
health status agent agent.wait agents.list chat.send chat.history chat.abort send channels.status
channels.logout config.get config.set config.patch config.schema sessions.list sessions.patch
sessions.reset sessions.delete node.list node.invoke node.describe node.pair.list node.pair.approve
node.pair.reject skills.status skills.bins skills.install cron.list cron.add cron.run tts.convert
browser.request update.run logs.tail system-presence system-event
""".split()  # noqa: SIM905 - as the documents list them


def test_every_published_method_is_implemented_or_listed_as_not_offered(
    exported: dict[str, Any],
) -> None:
    ours, theirs = set(exported["methods"]), set(published()["methods"])
    rows = [line for line in NOT_OFFERED.read_text().splitlines() if line.startswith("| `")]
    patterns = [found for row in rows for found in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert [one for one in patterns if fnmatch.filter(ours, one)] == []
    missing = theirs - ours
    assert [
        one for one in sorted(missing) if not any(fnmatch.fnmatch(one, p) for p in patterns)
    ] == []
    assert [one for one in PROMISED if one not in ours] == []
