"""What the stock clients ask a gateway beside the conversation, against the published schema.

`Operator` holds every answer to what is published for its method.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.gateway import GatewayProcess, Operator, Refused
from tests.published import needs_schema, problems

NEWER = {"hasTranscript", "execution"}  # than the installed package

pytestmark = [pytest.mark.node, needs_schema]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    running = GatewayProcess(tmp_path_factory.mktemp("stock") / "state").start()
    yield running
    assert running.stop() == 0
    assert running.tracebacks() == []


@pytest.fixture
def operator(gateway: GatewayProcess) -> Iterator[Operator]:
    with Operator(gateway) as connected:
        yield connected


def test_tasks(operator: Operator) -> None:
    run = {"sessionKey": "main", "message": "work", "idempotencyKey": "task-1"}
    operator.call("agent", **run)
    operator.call("agent.wait", runId="task-1", timeoutMs=50_000)
    told = operator.wait_event("task", action="upserted")
    listed = {name: value for name, value in told["task"].items() if name not in NEWER}
    assert problems("TaskSummary", listed) == []
    (task,) = operator.call("tasks.list", status="completed", sortBy="endedAt")["tasks"]
    assert (task["id"], task["title"]) == ("task-1", "work")
    assert operator.call("tasks.get", taskId="task-1")["task"]["result"] == "Echo: work"
    roles = [one["role"] for one in operator.call("tasks.history", taskId="task-1")["messages"]]
    assert roles == ["user", "assistant"]
    assert not operator.call("tasks.cancel", taskId="task-1")["cancelled"]
    with pytest.raises(Refused):
        operator.call("tasks.get", taskId="none")


def test_where_work_can_be_done(operator: Operator) -> None:
    (here,) = operator.call("environments.list")["environments"]
    assert (here["id"], here["type"], here["status"]) == ("gateway", "local", "available")
    assert operator.call("environments.status", environmentId="gateway") == here
    with pytest.raises(Refused, match="environment not found"):
        operator.call("environments.status", environmentId="node:none")


def test_the_people_are_one(operator: Operator) -> None:
    (profile,) = operator.call("users.list")["profiles"]
    assert profile == operator.call("users.self")["profile"]


def test_what_an_agent_has_noted_is_found(operator: Operator) -> None:
    note = "# Notes\n\nThe lease ends in October.\n"
    operator.call("agents.files.set", agentId="main", name="MEMORY.md", content=note)
    found = operator.call("memory.search", query="october lease", agentId="main")
    assert (found["agentId"], found["searchMode"]) == ("main", "fts-only")
    (hit,) = found["results"]
    assert (hit["path"], hit["startLine"] >= 1) == ("MEMORY.md", True)
    assert "October" in hit["snippet"]
    assert operator.call("memory.search", query="nothing like it")["results"] == []
    with pytest.raises(Refused):
        operator.call("memory.search", query="x", agentId="nobody")


def test_steering_stops_what_runs(operator: Operator) -> None:
    operator.call("chat.send", sessionKey="s", message="/sim hang=1\nx", idempotencyKey="s-1")
    operator.wait_event("chat", runId="s-1", state="status")
    ack = operator.call("sessions.steer", key="s", message="now this", idempotencyKey="s-2")
    assert ack["interruptedActiveRun"] is True
    operator.wait_event("chat", runId="s-1", state="aborted")
    operator.wait_event("chat", runId="s-2", state="final")


def test_a_provider_s_key(operator: Operator) -> None:
    kept = operator.call("models.authSetApiKey", provider="OpenAI", apiKey="sk-canary")
    assert kept == {"provider": "openai", "profileId": "openai:api-key"}
    status = operator.call("models.authStatus")
    assert [(one["provider"], one["status"]) for one in status["providers"]] == [
        ("openai", "static")
    ]
    gone = operator.call("models.authLogout", provider="openai", credentialType="api_key")
    assert gone == {"provider": "openai", "removedProfiles": ["openai:api-key"]}
    assert operator.call("models.authStatus")["providers"] == []
