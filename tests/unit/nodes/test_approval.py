"""The second stage of a node's approval."""

from __future__ import annotations

import itertools

import pytest

from portico.nodes import approval
from portico.nodes.model import About, NodeRow, Surface
from portico.protocol.scopes import Scope

ABOUT = About(platform="linux")
WHICH = Surface(("system",), ("system.which",))
RUN = Surface(("system",), ("system.which", "system.run"))
_ids = itertools.count()


def arrived(row: NodeRow | None, declared: Surface, *, preapproved: bool = False) -> NodeRow:
    return approval.arrived(
        row,
        node_id="n",
        about=ABOUT,
        declared=declared,
        request_id=f"req-{next(_ids)}",
        now=1_000,
        silent=True,
        is_preapproved=preapproved,
    )


def test_a_new_node_asks_and_may_nothing() -> None:
    row = arrived(None, WHICH)
    assert row.state == "pending-approval"
    assert row.approved is None
    assert row.asked is not None
    assert row.asked.surface == WHICH


def test_the_same_wish_keeps_its_id() -> None:
    first = arrived(None, WHICH)
    again = arrived(first, WHICH)
    other = arrived(again, RUN)
    assert first.asked
    assert again.asked
    assert other.asked
    assert first.asked.request_id == again.asked.request_id != other.asked.request_id


def test_approved_and_back_again() -> None:
    row = approval.approved(arrived(None, RUN), RUN, by="cli", now=2_000)
    assert row.state == "approved"
    assert arrived(row, RUN).state == "approved"
    assert arrived(row, WHICH).state == "approved"  # less is fine


def test_more_keeps_the_old_until_it_is_approved() -> None:
    row = approval.approved(arrived(None, WHICH), WHICH, by="cli", now=2_000)
    more = arrived(row, RUN)
    assert more.state == "pending-reapproval"
    assert more.approved == WHICH
    back = arrived(more, WHICH)
    assert back.state == "approved"
    assert back.asked is None


def test_a_permission_that_is_granted_later_is_more() -> None:
    before = Surface((), ("screen.snapshot",), {"screen": False})
    after = Surface((), ("screen.snapshot",), {"screen": True})
    row = approval.approved(arrived(None, before), before, by="cli", now=2_000)
    assert arrived(row, after).state == "pending-reapproval"
    assert after.within(before).permissions == {"screen": False}


def test_a_setup_code_approves_the_first_offer_only() -> None:
    row = arrived(None, WHICH, preapproved=True)
    assert row.state == "approved"
    assert row.approved_by == "setup-code"
    assert arrived(row, RUN).state == "pending-reapproval"


@pytest.mark.parametrize(
    ("commands", "scopes"),
    [
        ((), (Scope.PAIRING,)),
        (("location.get",), (Scope.PAIRING, Scope.WRITE)),
        (("location.get", "system.which"), (Scope.PAIRING, Scope.ADMIN)),
        (("fs.listDir",), (Scope.PAIRING, Scope.ADMIN)),
    ],
)
def test_who_may_approve(commands: tuple[str, ...], scopes: tuple[Scope, ...]) -> None:
    assert approval.scopes_to_approve(commands) == scopes
