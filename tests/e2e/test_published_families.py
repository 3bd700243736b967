"""The methods of wizards, voice, push and the small families, against the published schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.gateway import GatewayProcess, Operator, Refused
from tests.e2e.test_published_schema import exported, problems, published, pytestmark

__all__ = ["exported", "pytestmark"]

PARAMS = {
    "wizard.start": "WizardStartParams",
    "wizard.next": "WizardNextParams",
    "wizard.cancel": "WizardCancelParams",
    "wizard.status": "WizardStatusParams",
}


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
    wrong = problems("WizardStartResult", state)
    wrong += problems("WizardStatusResult", operator.call("wizard.status", **session))
    wrong += problems("WizardNextResult", operator.call("wizard.next", **session))
    for _ in range(20):
        if state["done"]:
            break
        step = state["step"]
        wrong += problems("WizardStep", step)
        answer = {"stepId": step["id"], "value": step.get("initialValue", True)}
        refused = operator.call("wizard.next", **session, answer={**answer, "stepId": "other"})
        wrong += problems("WizardNextResult", refused)
        state = operator.call("wizard.next", **session, answer=answer)
        wrong += problems("WizardNextResult", state)
    assert state["status"] == "done"
    wrong += problems("WizardStatusResult", operator.call("wizard.cancel", **session))
    with pytest.raises(Refused) as error:
        operator.call("wizard.status", **session)
    assert error.value.error["message"] == "wizard not found"
    wrong += problems("WizardNotFoundErrorDetails", error.value.error["details"])
    assert wrong == []


@pytest.mark.parametrize("method", PARAMS)
def test_params_that_clients_may_send_are_taken(exported: dict[str, Any], method: str) -> None:
    theirs = published()["definitions"][PARAMS[method]]
    ours = exported["methods"][method]["params"]
    if "$ref" in ours:
        ours = exported["$defs"][ours["$ref"].rpartition("/")[2]]
    for shape in theirs.get("anyOf", [theirs]):
        assert set(shape.get("properties", {})) - set(ours.get("properties", {})) == set()
        assert set(ours.get("required", [])) <= set(shape.get("required", []))
