"""What the stock clients ask a gateway beside the conversation, against the published schema.

`Operator` holds every answer to what is published for its method.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.gateway import GatewayProcess, Operator, Refused
from tests.published import needs_schema, problems

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
    operator.call("agent.wait", runId="task-1", timeoutMs=20_000)
    told = operator.wait_event("task", action="upserted")
    listed = {name: value for name, value in told["task"].items() if name != "hasTranscript"}
    assert problems("TaskSummary", listed) == []  # the installed package is older than the member
    (task,) = operator.call("tasks.list", status="completed", sortBy="endedAt")["tasks"]
    assert (task["id"], task["title"]) == ("task-1", "work")
    assert operator.call("tasks.get", taskId="task-1")["task"]["result"] == "Echo: work"
    roles = [one["role"] for one in operator.call("tasks.history", taskId="task-1")["messages"]]
    assert roles == ["user", "assistant"]
    assert not operator.call("tasks.cancel", taskId="task-1")["cancelled"]
    with pytest.raises(Refused):
        operator.call("tasks.get", taskId="none")
