"""Strangers ask by a code; operators approve, reject, revoke."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from portico.channels.access.life import PairingRules
from portico.channels.access.pairing import Pairings
from portico.channels.access.policy import AccessPolicy
from portico.channels.accounts import store as account_store
from portico.channels.model import InboundMessage, Peer, ReplyRoute
from portico.config.sections.channels import AccountConfig
from portico.inbox.channels import ChannelIntake
from portico.inbox.model import Routing
from portico.protocol.errors import InvalidRequest, TooManyAttempts
from portico.store import Store, Work
from tests.support.clock import FakeClock
from tests.support.path import Path, rows

RULES = PairingRules(ttl_ms=60_000, pending=2, per_hour=4, wrong_codes=2, lock_ms=30_000)
CODE = re.compile(r"[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}")


@dataclass
class Mail:
    """Stands for the outbox: what people were answered."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    woken: int = 0

    def enqueue(self, route: ReplyRoute, text: str, *, now: int) -> Work[None]:
        yield from ()
        self.sent.append((route.peer.id, text))

    def wake(self) -> None:
        self.woken += 1

    def code(self) -> str:
        found = CODE.search(self.sent[-1][1])
        assert found is not None, self.sent
        return found[0]


class Door:
    """An account with pairing on a real inbox."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = FakeClock()
        self.mail = Mail()
        self.pairings = Pairings(
            store=store, clock=self.clock, answers=self.mail, rules=lambda: RULES
        )
        self.path = Path(store, clock=self.clock)
        policy = AccessPolicy(AccountConfig(), self.pairings)
        self.path.inbox._policies = lambda _channel, _account: policy
        self.path.inbox._route = lambda message: Routing("agent:main:s", "main")
        self.intake = ChannelIntake(self.path.inbox, lambda _message: None)
        self.count = 0

    async def say(self, sender: str, key: str | None = None) -> Any:
        self.count += 1
        message = InboundMessage(
            channel="c",
            account="a",
            event_key=key or f"k{self.count}",
            peer=Peer("direct", sender),
            sender=sender,
            sender_name=sender.title(),
            text="let me in",
        )
        return await self.intake.take(message, beside=nothing)


def nothing() -> Work[None]:
    yield from ()


@pytest.fixture
async def door(store: Store):
    await store.write(account_store.add, [("c", "a")], now=0)
    door = Door(store)
    yield door
    await door.path.crash()


async def test_a_stranger_gets_one_answer_with_a_code(door: Door) -> None:
    first = await door.say("ann")
    assert (first.verdict, first.reason) == (
        "refuse",
        "not approved yet: a pairing code was sent",
    )
    again = await door.say("ann")
    assert again.reason == "not approved yet: waits for the operator"
    assert [to for to, _ in door.mail.sent] == ["ann"]
    assert door.mail.woken == 1
    (request,) = await door.pairings.list_pending()
    assert (request.sender, request.sender_name, request.messages) == ("ann", "Ann", 2)
    kept = await rows(door.store, "SELECT state, reason FROM inbox_messages ORDER BY message_id")
    assert [row[0] for row in kept] == ["refused", "refused"]
    assert all(row[1] for row in kept)


async def test_the_code_is_not_on_disk(door: Door) -> None:
    await door.say("ann")
    code = door.mail.code().replace("-", "")
    (row,) = await rows(door.store, "SELECT code_hash, route FROM channel_pairing_requests")
    assert code not in row[0] + row[1]


async def test_a_repeated_message_asks_nothing_new(door: Door) -> None:
    await door.say("ann", "same")
    repeat = await door.say("ann", "same")
    assert repeat.duplicate
    assert len(door.mail.sent) == 1


async def test_the_code_lets_its_person_in(door: Door) -> None:
    await door.say("ann")
    code = door.mail.code()
    request, told = await door.pairings.redeem("c", "a", code.lower(), by="me", notify=True)
    assert (request.sender, told) == ("ann", "sent")
    assert door.mail.sent[-1] == ("ann", "You are approved: write, and I will answer.")
    assert (await door.say("ann")).verdict == "admit"
    assert (await door.say("bob")).verdict == "refuse"
    (person,) = await door.pairings.list_approved()
    assert (person.sender, person.sender_name, person.approved_by) == ("ann", "Ann", "me")
    assert [one.sender for one in await door.pairings.list_pending()] == ["bob"]
    with pytest.raises(InvalidRequest, match="no request has this pairing code"):
        await door.pairings.redeem("c", "a", code, by="me", notify=False)


async def test_an_approval_can_be_taken_back(door: Door) -> None:
    await door.pairings.admit("c", "a", "ann", by="me")
    assert (await door.say("ann")).verdict == "admit"
    assert await door.pairings.revoke("c", "a", "ann")
    assert not await door.pairings.revoke("c", "a", "ann")
    assert (await door.say("ann")).verdict == "refuse"


async def test_a_rejected_person_is_not_answered_for_hours(door: Door) -> None:
    await door.say("ann")
    (request,) = await door.pairings.list_pending()
    await door.pairings.reject("c", "a", request.request_id)
    assert await door.pairings.list_pending() == []
    said = await door.say("ann")
    assert said.reason == "the operator rejected the sender"
    door.clock.advance(24 * 3600 + 1)
    assert (await door.say("ann")).reason == "not approved yet: a pairing code was sent"
    assert len(door.mail.sent) == 2
    with pytest.raises(InvalidRequest, match="unknown pairing request"):
        await door.pairings.reject("c", "a", request.request_id)


async def test_codes_run_out_and_another_can_be_had(door: Door) -> None:
    await door.say("ann")
    old = door.mail.code()
    door.clock.advance(61)
    with pytest.raises(InvalidRequest):
        await door.pairings.redeem("c", "a", old, by="me", notify=False)
    assert (await door.say("ann")).reason == "not approved yet: a pairing code was sent"
    assert door.mail.code() != old
    await door.pairings.redeem("c", "a", door.mail.code(), by="me", notify=False)
    assert (await door.say("ann")).verdict == "admit"


async def test_a_crowd_is_bounded(door: Door) -> None:
    for name in ("ann", "bob", "cid"):
        said = await door.say(name)
    assert said.reason == "not approved, and too many others ask already"
    assert len(door.mail.sent) == 2
    door.clock.advance(61)
    for name in ("dan", "eve", "fay"):
        said = await door.say(name)
    assert len(door.mail.sent) == 4  # not more than so many in an hour
    door.clock.advance(3600)
    await door.say("fay")
    assert len(door.mail.sent) == 5


async def test_wrong_codes_lock_approving_by_code(door: Door) -> None:
    await door.say("ann")
    code = door.mail.code()
    with pytest.raises(InvalidRequest):
        await door.pairings.redeem("c", "a", "WRONG234", by="me", notify=False)
    with pytest.raises(TooManyAttempts):
        await door.pairings.redeem("c", "a", "WRONG234", by="me", notify=False)
    with pytest.raises(TooManyAttempts) as locked:
        await door.pairings.redeem("c", "a", code, by="me", notify=False)
    assert locked.value.retry_after_ms == 30_000
    door.clock.advance(31)
    await door.pairings.redeem("c", "a", code, by="me", notify=False)


async def test_a_request_is_approved_by_its_id(door: Door) -> None:
    await door.say("ann")
    (request,) = await door.pairings.list_pending(channel="c", account="a")
    assert await door.pairings.list_pending(channel="other") == []
    with pytest.raises(InvalidRequest):
        await door.pairings.approve("c", "other", request.request_id, by="me", notify=False)
    await door.pairings.approve("c", "a", request.request_id, by="me", notify=False)
    assert len(door.mail.sent) == 1
    assert (await door.say("ann")).verdict == "admit"


async def test_what_ran_out_is_forgotten(door: Door) -> None:
    await door.say("ann")
    assert await door.pairings.forget(before_ms=door.clock.now_ms()) == 0
    door.clock.advance(120)
    assert await door.pairings.forget(before_ms=door.clock.now_ms()) == 1
