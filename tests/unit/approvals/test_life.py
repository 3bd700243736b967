"""The table of an approval's life."""

from __future__ import annotations

import pytest

from portico.approvals.life import (
    DECISIONS,
    ENDED_BY,
    TRANSITIONS,
    ApprovalState,
    Outcome,
    Reason,
    allowed_decisions,
    judge,
    state_after,
    state_without_decision,
)


def test_only_what_waits_can_change():
    assert set(TRANSITIONS) == {ApprovalState.PENDING}
    assert TRANSITIONS[ApprovalState.PENDING] == set(ApprovalState) - {ApprovalState.PENDING}


def test_every_end_has_its_reasons():
    assert set(ENDED_BY) == set(Reason)
    assert {state_after(one) for one in DECISIONS} == ENDED_BY[Reason.USER]
    for reason in set(Reason) - {Reason.USER}:
        assert state_without_decision(reason) in TRANSITIONS[ApprovalState.PENDING]


def test_the_same_decision_again_is_fine_and_another_one_is_not():
    assert judge("deny", "deny") is Outcome.REPEATED
    assert judge("deny", "allow-once") is Outcome.CONFLICT
    assert judge("allow-once", "allow-always") is Outcome.CONFLICT
    assert judge(None, "deny") is Outcome.OVER


@pytest.mark.parametrize(
    ("ask", "unavailable", "allowed"),
    [
        (None, (), ("allow-once", "allow-always", "deny")),
        ("on-miss", (), ("allow-once", "allow-always", "deny")),
        ("always", (), ("allow-once", "deny")),
        (None, ("allow-always",), ("allow-once", "deny")),
        (None, DECISIONS, ("deny",)),
    ],
)
def test_no_can_always_be_said(ask: str | None, unavailable: tuple[str, ...], allowed: object):
    assert allowed_decisions(ask=ask, unavailable=unavailable) == allowed
