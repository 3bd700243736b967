"""The methods of wizards, voice, push and the small families, against the published schema.

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
    running = GatewayProcess(tmp_path_factory.mktemp("families") / "state").start()
    yield running
    assert running.stop() == 0
    assert running.tracebacks() == []


@pytest.fixture
def operator(gateway: GatewayProcess) -> Iterator[Operator]:
    with Operator(gateway) as connected:
        yield connected


def test_wizard(operator: Operator) -> None:
    state = operator.call("wizard.start", flow="setup")
    session = {"sessionId": state["sessionId"]}
    operator.call("wizard.status", **session)
    operator.call("wizard.next", **session)
    for _ in range(20):
        if state["done"]:
            break
        step = state["step"]
        answer = {"stepId": step["id"], "value": step.get("initialValue", True)}
        operator.call("wizard.next", **session, answer={**answer, "stepId": "other"})
        state = operator.call("wizard.next", **session, answer=answer)
    assert state["status"] == "done"
    operator.call("wizard.cancel", **session)
    with pytest.raises(Refused) as error:
        operator.call("wizard.status", **session)
    assert error.value.error["message"] == "wizard not found"
    assert problems("WizardNotFoundErrorDetails", error.value.error["details"]) == []
