"""The rules of asking to write."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portico.channels.access.life import (
    REASONS,
    Known,
    PairingRules,
    RequestState,
    Standing,
    code_hash,
    locked_until,
    normalized,
    shown,
    standing_of,
)
from portico.ids import new_code

RULES = PairingRules(pending=3, per_hour=5, wrong_codes=2)
NOW = 1_000_000

known = st.builds(
    Known,
    state=st.none() | st.sampled_from(RequestState),
    expires_at=st.integers(NOW - 5, NOW + 5),
    pending=st.integers(0, 6),
    lately=st.integers(0, 8),
)


@given(known)
def test_a_person_asks_once_and_a_crowd_is_bounded(facts: Known) -> None:
    standing = standing_of(facts, now=NOW, rules=RULES)
    has_open = facts.state is not None and facts.expires_at > NOW
    assert (standing in {Standing.WAIT, Standing.REJECTED}) == has_open
    if standing is Standing.ASK:
        assert facts.pending < RULES.pending
        assert facts.lately < RULES.per_hour
    assert REASONS[standing]


def test_wrong_codes_lock() -> None:
    assert locked_until(1, now=NOW, rules=RULES) is None
    assert locked_until(2, now=NOW, rules=RULES) == NOW + RULES.lock_ms


def test_codes_are_easy_to_read_and_to_type() -> None:
    codes = {new_code() for _ in range(200)}
    assert len(codes) == 200
    assert all(len(code) == 8 and not set(code) & set("01ILO") for code in codes)
    code = codes.pop()
    typed = f" {shown(code).lower()} "
    assert normalized(typed) == code
    assert code_hash(typed, "r") == code_hash(code, "r") != code_hash(code, "s")
