"""Nodes on a real store: approval, connections, invokes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portico.audit.model import Wanted
from portico.clock import SystemClock
from portico.ids import ConnId
from portico.nodes.invoking import InvokeLimits, NodeAnswer, NodeFailed, Order, answer_of
from portico.nodes.policy import CommandRules
from portico.nodes.settings import NodeSettings
from portico.protocol.errors import Forbidden, InvalidRequest
from portico.store import Store
from tests.support.nodes import ADMIN, NodeHouse, operator
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio
WHICH = "system.which"


@pytest.fixture
async def house(store: Store) -> Any:
    opened = NodeHouse(store, SystemClock())
    yield opened
    await opened.tasks.stop()
    assert opened.failures == []


def order(command: str = WHICH, **how: Any) -> Order:
    return Order(command=command, params={"bins": ["git"]}, subject="cli", **how)


async def test_from_asking_to_approved(house: NodeHouse) -> None:
    session = await house.connect("n1", WHICH, "lamp.switch")
    (asked,) = house.events("node.pair.requested")
    assert asked["commands"] == [WHICH]
    assert asked["requiredApproveScopes"] == ["operator.pairing", "operator.admin"]
    (entry,) = await house.nodes.directory.entries()
    assert entry["approvalState"] == "pending-approval"
    assert entry["commands"] == []
    with pytest.raises(InvalidRequest) as refused:
        await house.nodes.invoke("n1", order())
    assert refused.value.details["reason"] == "command not approved"
    with pytest.raises(Forbidden):
        await house.nodes.pairing.approve(asked["requestId"], operator("operator.pairing"))
    await house.nodes.pairing.approve(asked["requestId"], operator(*ADMIN))
    (entry,) = await house.nodes.directory.entries()
    assert entry["approvalState"] == "approved"
    assert entry["commands"] == [WHICH]
    told = [(to, name) for to, name, _ in house.told]
    assert told == [(session.conn_id, "node.pair.resolved")]
    with pytest.raises(InvalidRequest):
        await house.nodes.pairing.approve(asked["requestId"], operator(*ADMIN))


async def test_what_a_command_says_while_it_runs(house: NodeHouse) -> None:
    session = await house.approved("n1", WHICH)
    heard: list[Any] = []
    told = order(heard=lambda invoke_id, piece: heard.append((invoke_id, *piece)))
    asking = asyncio.create_task(house.nodes.invoke("n1", told))
    await eventually(lambda: len(house.requests()) == 1)
    invoke_id, invokes = house.requests()[0]["id"], house.nodes.invokes
    for seq, is_taken in ((1, True), (0, True), (1, False), (5, True)):
        said = invokes.progress(session.conn_id, invoke_id, seq=seq, chunk=str(seq))
        assert said is is_taken
    assert not invokes.progress(ConnId("another"), invoke_id, seq=2, chunk="forged")
    assert [seq for _, seq, _ in heard] == [0, 1]
    invokes.result(session.conn_id, invoke_id, answer=answer_of(1, None), error=("", ""))
    await asking
    assert heard[-1] == (invoke_id, 5, "5")  # what was held came before the answer
    assert not invokes.progress(session.conn_id, invoke_id, seq=6, chunk="late")
    assert house.metrics.node_progress.values == {("taken",): 3, ("ignored",): 3}
    assert house.metrics.node_invokes.values == {("succeeded",): 1}


async def test_changes_are_on_record(house: NodeHouse) -> None:
    await house.approved("n1", WHICH)
    await house.nodes.pairing.rename("n1", "attic", operator(*ADMIN))
    await house.nodes.pairing.remove("n1", operator(*ADMIN))
    recorded = await house.audit.list(Wanted(action="node"))
    assert [(one.action, one.actor, one.target) for one in recorded] == [
        ("node.removed", "cli", "n1"),
        ("node.renamed", "cli", "n1"),
        ("node.approved", "cli", "n1"),
    ]


async def test_a_token_is_good_for_an_approved_node(house: NodeHouse) -> None:
    await house.connect("n1", WHICH)
    assert await house.nodes.pairing.verified("n1", "token of n1") is None
    await house.approved("n1", WHICH)
    assert await house.nodes.pairing.verified("n1", "token of n1") is not None
    assert await house.nodes.pairing.verified("n1", "another") is None
    assert await house.nodes.pairing.verified("n2", "token of n2") is None


async def test_rejected_node_asks_again_when_it_comes_back(house: NodeHouse) -> None:
    session = await house.connect("n1", WHICH)
    assert session.row.asked is not None
    await house.nodes.pairing.reject(session.row.asked.request_id, operator(*ADMIN))
    (entry,) = await house.nodes.directory.entries()
    assert entry["approvalState"] == "unapproved"
    await house.connect("n1", WHICH)
    assert len(house.events("node.pair.requested")) == 2


async def test_more_than_approved_waits_and_the_old_goes_on(house: NodeHouse) -> None:
    await house.approved("n1", WHICH)
    await house.connect("n1", WHICH, "system.run")
    (entry,) = await house.nodes.directory.entries()
    assert entry["approvalState"] == "pending-reapproval"
    assert entry["commands"] == [WHICH]
    assert entry["pendingDeclaredCommands"] == [WHICH, "system.run"]


async def test_setup_code_approves_both_stages(house: NodeHouse) -> None:
    await house.nodes.pairing.device_approved("early", via="bootstrap")
    assert (await house.connect("early", WHICH)).row.state == "approved"
    late = await house.connect("late", WHICH)
    await house.nodes.pairing.device_approved("late", via="bootstrap")
    assert late.row.state == "approved"
    house.by_code.add("lost")  # the gateway died before it could say so
    assert (await house.connect("lost", WHICH)).row.state == "approved"
    await house.nodes.pairing.device_approved("silent", via="silent")
    assert (await house.connect("silent", WHICH)).row.state == "pending-approval"


async def test_removed_revoked_renamed(house: NodeHouse) -> None:
    one = await house.approved("one", WHICH)
    two = await house.approved("two", WHICH)
    await house.nodes.pairing.device_renamed("one", "kitchen")
    assert (await house.nodes.directory.describe("one"))["displayName"] == "kitchen"
    assert (await house.nodes.directory.resolve("Kitchen")).node_id == "one"
    await house.nodes.pairing.remove("one", operator(*ADMIN))
    await house.nodes.pairing.device_revoked("two")
    assert house.closed == [one.conn_id, two.conn_id]
    assert await house.nodes.directory.entries() == []
    with pytest.raises(InvalidRequest):
        house.nodes.check("two", WHICH)  # still connected for a moment
    decisions = [event["decision"] for event in house.events("node.pair.resolved")]
    assert decisions == ["approved", "approved", "removed", "removed"]


async def test_an_answer(house: NodeHouse) -> None:
    session = await house.approved("n1", WHICH)
    asking = asyncio.create_task(house.nodes.invoke("n1", order(key="k", session_key="main")))
    (request,) = await eventually(house.requests)
    assert request["command"] == WHICH
    assert request["paramsJSON"] == '{"bins":["git"]}'
    assert request["idempotencyKey"] == "k"
    assert request["sessionKey"] == "main"
    answer = answer_of(None, '{"bins":{}}')
    invokes = house.nodes.invokes
    assert invokes.progress(session.conn_id, request["id"], seq=0, chunk="…")
    assert not invokes.progress(session.conn_id, request["id"], seq=0, chunk="again")
    assert invokes.result(session.conn_id, request["id"], answer=answer, error=("", ""))
    assert (await asking).payload == {"bins": {}}
    assert not invokes.result(session.conn_id, request["id"], answer=answer, error=("", ""))
    assert len(invokes) == 0


async def failure(asking: asyncio.Task[NodeAnswer]) -> dict[str, Any]:
    with pytest.raises(NodeFailed) as failed:
        await asking
    details = failed.value.details
    return {
        "code": details["code"],
        "sent": details["nodeCommandDispatched"],
        "outcome": details.get("outcome"),
    }


async def test_node_that_is_not_there(house: NodeHouse) -> None:
    session = await house.approved("n1", WHICH)
    house.deaf.add(session.conn_id)
    asking = asyncio.create_task(house.nodes.invoke("n1", order(key="k")))
    gone = {"code": "NOT_CONNECTED", "sent": False, "outcome": "not_started"}
    assert await failure(asking) == gone
    house.deaf.clear()
    asking = asyncio.create_task(house.nodes.invoke("n1", order(key="k")))  # may be tried again
    (request,) = await eventually(house.requests)
    house.nodes.connections.gone(session.conn_id)
    lost = {"code": "DISCONNECTED", "sent": True, "outcome": "uncertain"}
    assert await failure(asking) == lost
    assert await failure(asyncio.create_task(house.nodes.invoke("n1", order()))) == gone
    assert not house.nodes.invokes.result(
        session.conn_id, request["id"], answer=answer_of(1, None), error=("", "")
    )


async def test_a_command_is_not_sent_twice_over_a_restart(house: NodeHouse) -> None:
    session = await house.approved("n1", WHICH)
    asking = asyncio.create_task(house.nodes.invoke("n1", order(key="k")))
    await eventually(house.requests)
    asking.cancel()
    after = NodeHouse(house.store, house.clock)
    await after.connect("n1", WHICH)
    again = asyncio.create_task(after.nodes.invoke("n1", order(key="k")))
    lost = {"code": "RESULT_LOST", "sent": True, "outcome": "uncertain"}
    assert await failure(again) == lost
    assert after.requests() == []
    assert house.cancels() == [house.requests(session.conn_id)[0]["id"]]
    assert await after.nodes.forget(before_ms=house.clock.now_ms() + 1) == 1


async def test_too_slow_and_too_late(house: NodeHouse) -> None:
    session = await house.approved("n1", WHICH)
    asking = asyncio.create_task(house.nodes.invoke("n1", order(timeout_ms=1)))
    slow = {"code": "TIMEOUT", "sent": True, "outcome": "uncertain"}
    assert await failure(asking) == slow
    (request,) = house.requests()
    assert house.cancels() == [request["id"]]
    assert not house.nodes.invokes.result(
        session.conn_id, request["id"], answer=answer_of(1, None), error=("", "")
    )


async def test_the_caller_goes_away(house: NodeHouse) -> None:
    await house.approved("n1", WHICH)
    caller: Any = "caller"
    asking = asyncio.create_task(house.nodes.invoke("n1", order(caller=caller)))
    (request,) = await eventually(house.requests)
    house.nodes.connections.gone(caller)
    assert (await failure(asking))["code"] == "CANCELLED"
    assert house.cancels() == [request["id"]]


async def test_the_same_node_comes_back_before_it_was_missed(house: NodeHouse) -> None:
    old = await house.approved("n1", WHICH)
    asking = asyncio.create_task(house.nodes.invoke("n1", order()))
    (request,) = await eventually(house.requests)
    new = await house.connect("n1", WHICH)
    assert house.closed == [old.conn_id]
    assert (await failure(asking))["code"] == "DISCONNECTED"
    answer = answer_of("old", None)
    for conn_id in (old.conn_id, new.conn_id):
        invokes = house.nodes.invokes
        assert not invokes.result(conn_id, request["id"], answer=answer, error=("", ""))
    house.nodes.connections.gone(old.conn_id)  # the end of the old one, late
    assert house.nodes.connections.session("n1") is new


async def test_another_node_cannot_answer(house: NodeHouse) -> None:
    mine = await house.approved("n1", WHICH)
    other = await house.approved("n2", WHICH)
    asking = asyncio.create_task(house.nodes.invoke("n1", order()))
    (request,) = await eventually(house.requests)
    forged, true = answer_of("forged", None), answer_of("true", None)
    invokes = house.nodes.invokes
    assert not invokes.result(other.conn_id, request["id"], answer=forged, error=("", ""))
    assert invokes.result(mine.conn_id, request["id"], answer=true, error=("", ""))
    assert (await asking).payload == "true"


async def test_the_node_says_no(house: NodeHouse) -> None:
    session = await house.approved("n1", WHICH)
    asking = asyncio.create_task(house.nodes.invoke("n1", order()))
    (request,) = await eventually(house.requests)
    house.nodes.invokes.result(
        session.conn_id, request["id"], answer=None, error=("SYSTEM_RUN_DENIED", "no")
    )
    with pytest.raises(NodeFailed, match="SYSTEM_RUN_DENIED: no") as failed:
        await asking
    assert failed.value.details["nodeError"] == {"code": "SYSTEM_RUN_DENIED", "message": "no"}


async def test_a_node_has_so_many_commands_at_once(house: NodeHouse) -> None:
    house.settings = NodeSettings(invoke=InvokeLimits(most_in_flight=2))
    session = await house.approved("n1", WHICH)
    running = [asyncio.create_task(house.nodes.invoke("n1", order())) for _ in range(2)]
    await eventually(lambda: len(house.requests()) == 2)
    busy = await failure(asyncio.create_task(house.nodes.invoke("n1", order())))
    assert busy == {"code": "NODE_BUSY", "sent": False, "outcome": "not_started"}
    house.nodes.connections.gone(session.conn_id)
    await asyncio.gather(*running, return_exceptions=True)


async def test_rules_count_at_once(house: NodeHouse) -> None:
    await house.approved("n1", WHICH)
    house.nodes.check("n1", WHICH)
    house.settings = NodeSettings(rules=CommandRules(deny=frozenset({WHICH})))
    with pytest.raises(InvalidRequest, match=r"commands\.deny"):
        house.nodes.check("n1", WHICH)
    (entry,) = await house.nodes.directory.entries()
    assert entry["commands"] == []
