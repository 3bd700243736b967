"""The table of a delivery's life."""

from __future__ import annotations

import itertools

import pytest

from portico.channels.contract import (
    AuthExpired,
    NotReady,
    RateLimited,
    Rejected,
    Transient,
    Uncertain,
)
from portico.outbox.life import (
    OPEN,
    TRANSITIONS,
    WAITING,
    DeliveryState,
    RetryPolicy,
    after_failure,
    after_uncertainty,
    describe,
)

S = DeliveryState
ERRORS = [
    NotReady("x"),
    AuthExpired("x"),
    RateLimited("x", retry_after_s=7),
    Transient("x"),
    Rejected("x"),
    Uncertain("x"),
    TimeoutError(),
    RuntimeError("x"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("attempts", [1, 5, 50, 60])
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("resend", [False, True])
def test_every_failure_has_its_consequence(
    error: BaseException, attempts: int, keyed: bool, resend: bool
) -> None:
    policy = RetryPolicy(resend_unknown=resend)
    follow = after_failure(error, attempts=attempts, keyed=keyed, policy=policy)
    assert follow.state in TRANSITIONS[S.SENDING]
    assert follow.state is not S.SENT
    if isinstance(error, Rejected | AuthExpired):
        assert follow.state is S.FAILED
    elif isinstance(error, NotReady):
        assert follow.state is S.RETRY
    elif isinstance(error, RateLimited | Transient):
        assert follow.state is (S.FAILED if attempts >= policy.max_attempts else S.RETRY)
    elif (keyed or resend) and attempts < policy.max_attempts:
        assert follow.state is S.RETRY
    else:
        assert follow.state is S.UNKNOWN
    if isinstance(error, RateLimited) and follow.state is S.RETRY:
        assert follow.delay_s == 7


def test_an_uncertain_outcome_is_never_called_a_failure() -> None:
    for attempts, keyed in itertools.product(range(1, 40), (False, True)):
        follow = after_uncertainty(attempts=attempts, keyed=keyed, policy=RetryPolicy())
        assert follow.state in {S.RETRY, S.UNKNOWN}


def test_waits_grow_and_are_bounded() -> None:
    policy = RetryPolicy(first_s=1, factor=2, longest_s=10)
    for attempts in range(1, 50):
        base = min(10, 2 ** (attempts - 1))
        assert base / 2 <= policy.delay_s(attempts) <= base


def test_every_state_can_be_reached_and_left_as_the_table_says() -> None:
    reached = {S.PENDING}
    for _ in S:
        reached |= {follow for state in reached for follow in TRANSITIONS.get(state, ())}
    assert reached == set(S)
    assert WAITING | {S.SENDING} == OPEN
    assert TRANSITIONS[S.SENT] == {S.FAILED}  # only when it comes back
    assert S.DISCARDED not in TRANSITIONS


def test_an_operator_sees_the_kind_but_no_internals() -> None:
    assert describe(Rejected("chat not found")) == "Rejected: chat not found"
    assert describe(RuntimeError("token=secret")) == "RuntimeError"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("attempts", [1, 20])
def test_what_may_have_arrived_never_counts_as_failed(error: BaseException, attempts: int) -> None:
    follow = after_failure(
        error, attempts=attempts, keyed=True, policy=RetryPolicy(), uncertain=True
    )
    assert follow.state in {S.RETRY, S.UNKNOWN}
