"""Approvals over real sockets: reviewers race, the gateway dies, time runs out."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import GatewayProcess, Operator, Refused

REQUESTED, RESOLVED = "exec.approval.requested", "exec.approval.resolved"
APPROVALS = ("operator.approvals",)


def request(operator: Operator, **params: Any) -> tuple[str, str]:
    """Ask in two phases; return the request's id and the approval's."""
    asked = operator.send("exec.approval.request", command="rm -rf build", twoPhase=True, **params)
    accepted = operator.answer(asked)
    assert accepted["status"] == "accepted"
    return asked, accepted["id"]


def test_two_reviewers_race_and_one_decision_is_made(gateway: GatewayProcess) -> None:
    outcomes: dict[str, str] = {}
    with (
        Operator(gateway, scopes=APPROVALS) as asker,
        Operator(gateway, scopes=APPROVALS) as one,
        Operator(gateway, scopes=APPROVALS) as other,
    ):
        asked, approval_id = request(asker)
        start = threading.Barrier(2)

        def decide(reviewer: Operator, decision: str) -> None:
            start.wait(30)
            try:
                reviewer.call("exec.approval.resolve", id=approval_id, decision=decision)
                outcomes[decision] = "ok"
            except Refused as refused:
                outcomes[decision] = refused.error["message"]

        deciders = [
            threading.Thread(target=decide, args=(one, "allow-once")),
            threading.Thread(target=decide, args=(other, "deny")),
        ]
        for thread in deciders:
            thread.start()
        for thread in deciders:
            thread.join(30)
        assert sorted(outcomes.values()) == ["approval already resolved", "ok"]
        (winner,) = (decision for decision, outcome in outcomes.items() if outcome == "ok")
        assert asker.answer(asked)["decision"] == winner
        for reviewer in (one, other):
            told = reviewer.wait_event(RESOLVED, id=approval_id)
            assert told["decision"] == winner
            reviewer.call("exec.approval.list")
            names = [frame["event"] for frame in reviewer.events]
            assert (names.count(REQUESTED), names.count(RESOLVED)) == (1, 1)


def test_an_approval_outlives_kill_9(gateway: GatewayProcess) -> None:
    with (
        Operator(gateway, scopes=APPROVALS) as asker,
        Operator(gateway, scopes=APPROVALS) as reviewer,
    ):
        _, approval_id = request(asker)
        assert reviewer.wait_event(REQUESTED)["id"] == approval_id
        gateway.kill()
    gateway.start()
    with (
        Operator(gateway, scopes=APPROVALS) as asker,
        Operator(gateway, scopes=APPROVALS) as reviewer,
    ):
        waiting = asker.send("exec.approval.waitDecision", id=approval_id)
        (listed,) = reviewer.call("exec.approval.list")
        assert listed["id"] == approval_id
        assert listed["request"]["command"] == "rm -rf build"
        reviewer.call("exec.approval.resolve", id=approval_id, decision="allow-once")
        assert asker.answer(waiting)["decision"] == "allow-once"
        assert asker.wait_event(RESOLVED)["id"] == approval_id
        gateway.kill()
    gateway.start()
    with Operator(gateway, scopes=APPROVALS) as asker:  # its answer was lost; it is on record
        decided = asker.call("exec.approval.waitDecision", id=approval_id)
        assert decided["decision"] == "allow-once"


def test_the_same_request_is_joined_after_a_restart(gateway: GatewayProcess) -> None:
    with (
        Operator(gateway, scopes=APPROVALS) as asker,
        Operator(gateway, scopes=APPROVALS),
    ):
        _, approval_id = request(asker, id="mine")
        assert approval_id == "mine"
        gateway.kill()
    gateway.start()
    with (
        Operator(gateway, scopes=APPROVALS) as asker,
        Operator(gateway, scopes=APPROVALS) as reviewer,
    ):
        assert len(reviewer.call("exec.approval.list")) == 1  # so it is connected
        asked, approval_id = request(asker, id="mine")
        assert [one["id"] for one in reviewer.call("exec.approval.list")] == ["mine"]
        reviewer.call("exec.approval.resolve", id="mine", decision="deny")
        assert asker.answer(asked)["decision"] == "deny"


def test_time_runs_out_while_running_and_while_down(gateway: GatewayProcess) -> None:
    with (
        Operator(gateway, scopes=APPROVALS) as asker,
        Operator(gateway, scopes=APPROVALS) as reviewer,
        Operator(gateway, scopes=("operator.read", "operator.write")) as stranger,
    ):
        asked, approval_id = request(asker, timeoutMs=300)
        told = reviewer.wait_event(RESOLVED, id=approval_id)
        assert (told["decision"], told["reason"]) == (None, "timeout")
        assert asker.answer(asked)["decision"] is None
        stranger.call("health")
        assert not [one for one in stranger.events if "approval" in one["event"]]
        _, approval_id = request(asker, timeoutMs=300)
        gateway.kill()
    gateway.start()
    with Operator(gateway, scopes=APPROVALS) as asker:
        decided = asker.call("exec.approval.waitDecision", id=approval_id)
        assert (decided["decision"], decided["terminalReason"]) == (None, "timeout")
        with pytest.raises(Refused) as refused:
            asker.call("exec.approval.resolve", id=approval_id, decision="allow-once")
        assert refused.value.error["code"] == "APPROVAL_NOT_FOUND"


def test_a_stop_answers_who_waits_and_keeps_the_approval(start_gateway: StartGateway) -> None:
    auth = {"auth": {"mode": "token", "token": "0123456789abcdef0123456789abcdef"}}
    gateway = start_gateway({"gateway": auth, "approvals": {"waitForClient": True}})
    with Operator(gateway, scopes=APPROVALS) as asker:
        asked, approval_id = request(asker)
        stopping = threading.Thread(target=gateway.stop)
        stopping.start()
        with pytest.raises((Refused, ConnectionClosed)):
            asker.answer(asked)
        stopping.join(30)
    gateway.start()
    with Operator(gateway, scopes=APPROVALS) as reviewer:
        assert [one["id"] for one in reviewer.call("exec.approval.list")] == [approval_id]
