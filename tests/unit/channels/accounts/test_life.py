"""The table of an account's life."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.channels.accounts.life import (
    FAILURES,
    RESTING,
    RUNNING,
    TRANSITIONS,
    AccountState,
    End,
    RestartRules,
    after_end,
    may_become,
)

RULES = RestartRules(first_s=1, longest_s=60, break_after=5, break_s=600)


def test_every_state_has_its_line_and_is_running_or_resting() -> None:
    assert set(TRANSITIONS) == set(AccountState)
    assert set(AccountState) == RUNNING | RESTING
    assert not RUNNING & RESTING


def test_a_new_run_begins_only_where_nothing_runs() -> None:
    before = {state for state in AccountState if may_become(state, AccountState.STARTING)}
    assert before == RESTING


def test_every_run_is_closed_before_anything_else() -> None:
    for state in RUNNING - {AccountState.CLOSING}:
        assert TRANSITIONS[state] <= RUNNING


@given(end=st.sampled_from(End), failures=st.integers(0, 50), healthy=st.booleans())
def test_what_follows_an_end_is_in_the_table(end: End, failures: int, healthy: bool) -> None:
    follow = after_end(end, failures=failures, was_healthy=healthy, rules=RULES)
    assert may_become(AccountState.CLOSING, follow.state)
    assert 0 <= follow.delay_s <= RULES.break_s
    assert (follow.delay_s > 0) == (end in FAILURES)
    if end in FAILURES:
        assert follow.failures == (1 if healthy else failures + 1)
        assert (follow.state is AccountState.BROKEN) == (follow.failures >= RULES.break_after)


@given(failures=st.integers(1, 4))
def test_waits_grow_are_capped_and_jittered(failures: int) -> None:
    delays = {RULES.delay_s(failures) for _ in range(20)}
    whole = min(RULES.longest_s, 2.0 ** (failures - 1))
    assert all(whole / 2 <= delay <= whole for delay in delays)
    assert len(delays) > 1


@given(st.lists(st.tuples(st.sampled_from(End), st.booleans()), max_size=40))
def test_failures_in_a_row_open_the_circuit_and_health_closes_it(runs) -> None:
    failures = 0
    in_a_row = 0
    for end, healthy in runs:
        follow = after_end(end, failures=failures, was_healthy=healthy, rules=RULES)
        failures = follow.failures
        if end in FAILURES:
            in_a_row = 1 if healthy else in_a_row + 1
            assert failures == in_a_row
        elif end in {End.UNWANTED, End.TAKEN}:
            in_a_row = 0
        else:
            in_a_row = failures


@pytest.mark.parametrize("end", [End.LOGGED_OUT, End.UNUSABLE])
def test_what_only_a_person_can_mend_waits_for_the_person(end: End) -> None:
    follow = after_end(end, failures=0, was_healthy=True, rules=RULES)
    assert follow.state in {AccountState.LOGIN, AccountState.UNUSABLE}
    assert follow.delay_s == 0
