"""Who is told what, once."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from portico.approvals.board import REMEMBERED_ENDS, Board
from portico.approvals.life import DECISIONS, ApprovalState, Reason
from portico.approvals.model import Approval
from portico.events.hub import Hub, Subscription
from portico.ids import ConnId
from portico.protocol.scopes import Scope, expand
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio


class Client:
    def __init__(self, hub: Hub, name: str, *scopes: str, device_id: str | None = None) -> None:
        self.events: list[tuple[str, Any]] = []
        granted = expand(list(scopes or (Scope.APPROVALS,)))
        hub.subscribe(Subscription(ConnId(name), self, "operator", granted, device_id))

    def send_event(self, frame: bytes, *, droppable: bool) -> bool:
        event = msgspec.json.decode(frame)
        self.events.append((event["event"].rpartition(".")[2], event["payload"]["id"]))
        return True


@pytest.fixture
def hub() -> Hub:
    return Hub(epoch="e", window=10, window_bytes=1 << 16)


@pytest.fixture
def board(hub: Hub) -> Board:
    return Board(hub, FakeClock())


def approval(key: str = "a", **more: Any) -> Approval:
    return Approval(
        **{
            "approval_id": key,
            "state": ApprovalState.PENDING,
            "request": {"command": "ls"},
            "allowed": DECISIONS,
            "origin": "client",
            "fingerprint": "f",
            "requested_by": "r",
            "reviewers": (),
            "silent": False,
            "decision": None,
            "reason": None,
            "resolver_kind": None,
            "resolver_id": None,
            "resolved_by": None,
            "owner": None,
            "lease_until": None,
            "created_at": 1,
            "expires_at": 2,
            "resolved_at": None,
            "consumed_at": None,
            **more,
        }
    )


def over(key: str = "a", **more: Any) -> Approval:
    return approval(key, state=ApprovalState.EXPIRED, reason=Reason.TIMEOUT, resolved_at=2, **more)


async def test_each_is_told_once_whoever_noticed(hub: Hub, board: Board):
    client = Client(hub, "c")
    for _ in range(2):
        board.appeared(approval())
    for _ in range(2):
        board.ended(over())
    board.appeared(approval())  # read before the end was committed, and handed over after it
    assert client.events == [("requested", "a"), ("resolved", "a")]
    assert list(board.waiting) == []


async def test_what_is_known_is_brought_up_to_date(board: Board):
    board.appeared(approval(lease_until=1))
    board.appeared(approval(lease_until=9))
    assert [one.lease_until for one in board.waiting] == [9]
    board.load([])
    assert list(board.waiting) == []


async def test_the_memory_of_ends_is_bounded(board: Board):
    for number in range(REMEMBERED_ENDS + 10):
        board.ended(over(str(number)))
    assert len(board._ended) == REMEMBERED_ENDS


async def test_a_silent_one_is_not_announced(hub: Hub, board: Board):
    client = Client(hub, "c")
    board.appeared(approval(silent=True))
    assert client.events == []
    assert len(board.waiting) == 1


async def test_only_its_reviewers_are_told(hub: Hub, board: Board):
    phone = Client(hub, "phone", device_id="phone")
    tablet = Client(hub, "tablet", device_id="tablet")
    admin = Client(hub, "admin", Scope.ADMIN)
    reader = Client(hub, "reader", Scope.READ, Scope.WRITE, Scope.PAIRING)
    board.appeared(approval(reviewers=("phone",)))
    board.ended(over(reviewers=("phone",)))
    assert phone.events == admin.events == [("requested", "a"), ("resolved", "a")]
    assert tablet.events == reader.events == []
    assert board.has_reviewer(("phone",))
    hub.unsubscribe(ConnId("admin"))
    assert not board.has_reviewer(("watch",))
    assert board.has_reviewer((), but=ConnId("phone"))
    hub.unsubscribe(ConnId("tablet"))
    assert not board.has_reviewer((), but=ConnId("phone"))


async def test_everybody_who_waits_is_woken_and_nobody_is_left(board: Board):
    async def wait() -> Approval:
        with board.place("a") as future:
            return await future

    tasks = [asyncio.ensure_future(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert board.awaited == {"a"}
    tasks[0].cancel()
    await asyncio.sleep(0)
    board.ended(over())
    assert [one.approval_id for one in await asyncio.gather(*tasks[1:])] == ["a", "a"]
    assert board.awaited == frozenset()
