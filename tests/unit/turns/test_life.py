"""The table of a turn's life."""

from __future__ import annotations

import itertools

import pytest

from portico.turns.life import (
    ENDED,
    MAX_ATTEMPTS,
    OPEN,
    TRANSITIONS,
    TurnState,
    after_owner_died,
    may_become,
)

S = TurnState


def test_every_open_state_leads_somewhere_and_no_ended_one_does() -> None:
    assert set(TRANSITIONS) == OPEN
    for state in OPEN:
        assert any(may_become(state, ended) for ended in ENDED)
    for state, other in itertools.product(ENDED, S):
        assert not may_become(state, other)


def test_every_state_can_be_reached() -> None:
    reached = {S.QUEUED}
    while True:
        further = reached.union(*(TRANSITIONS.get(state, frozenset()) for state in reached))
        if further == reached:
            break
        reached = further
    assert reached == set(S)


@pytest.mark.parametrize("attempts", range(1, 6))
@pytest.mark.parametrize("unsafe", [False, True])
@pytest.mark.parametrize("resumable", [False, True])
@pytest.mark.parametrize("cancelled", [False, True])
def test_after_its_owner_died(
    attempts: int, unsafe: bool, resumable: bool, cancelled: bool
) -> None:
    state = after_owner_died(
        attempts=attempts, unsafe=unsafe, resumable=resumable, cancelled=cancelled
    )
    assert may_become(S.RUNNING, state)
    assert (state is S.CANCELLED) == cancelled
    again = state is S.QUEUED
    assert again == (resumable and not unsafe and attempts < MAX_ATTEMPTS and not cancelled)
