"""The life of a channel account, as a table.

Theory of operation: what is wanted (the configuration's `enabled` and the operator's start and
stop) and what is are kept apart. An account that is wanted and usable is claimed (`standby` while
another replica has it), made and run (`starting`), and is `connected` when it says so. However a
run ends, it is torn down completely (`closing`) before anything else happens. Failures are waited
out, longer each time (`waiting`); after many in a row the account is `broken` and tried only now
and then. What only a person can mend (`login`, `unusable`) waits for the person.

No I/O here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class AccountState(StrEnum):
    """Where an account is."""

    OFF = "off"  # not wanted
    UNUSABLE = "unusable"  # its settings, or a missing library, keep it from starting
    STANDBY = "standby"  # another replica has it
    STARTING = "starting"
    CONNECTED = "connected"
    LOST = "lost"  # was connected, and mends it by itself
    CLOSING = "closing"
    WAITING = "waiting"  # failed, starts again soon
    BROKEN = "broken"  # failed often, starts again later
    LOGIN = "login"  # a person must log in


S = AccountState

_RESTS = frozenset({S.OFF, S.UNUSABLE, S.STANDBY, S.WAITING, S.BROKEN, S.LOGIN})

TRANSITIONS: dict[AccountState, frozenset[AccountState]] = {
    S.OFF: frozenset({S.UNUSABLE, S.STANDBY, S.STARTING, S.WAITING}),
    S.UNUSABLE: frozenset({S.OFF, S.STANDBY, S.STARTING, S.WAITING}),
    S.STANDBY: frozenset({S.OFF, S.UNUSABLE, S.STARTING, S.WAITING}),
    S.STARTING: frozenset({S.CONNECTED, S.CLOSING}),
    S.CONNECTED: frozenset({S.LOST, S.CLOSING}),
    S.LOST: frozenset({S.CONNECTED, S.CLOSING}),
    S.CLOSING: _RESTS,
    S.WAITING: frozenset({S.OFF, S.UNUSABLE, S.STANDBY, S.STARTING, S.WAITING, S.BROKEN}),
    S.BROKEN: frozenset({S.OFF, S.UNUSABLE, S.STANDBY, S.STARTING, S.WAITING, S.BROKEN}),
    S.LOGIN: frozenset({S.OFF, S.UNUSABLE, S.STANDBY, S.STARTING, S.WAITING}),
}

RUNNING = frozenset({S.STARTING, S.CONNECTED, S.LOST, S.CLOSING})
"""There is a run, which may hold sockets."""
RESTING = _RESTS
"""There is nothing that receives."""
DOWN = frozenset({S.UNUSABLE, S.WAITING, S.BROKEN, S.LOGIN, S.LOST})
"""Wanted, and not receiving."""


class End(StrEnum):
    """Why a run ended."""

    UNWANTED = "unwanted"  # stopped or disabled, or its settings changed
    TAKEN = "taken"  # the lease went to another replica
    UNUSABLE = "unusable"
    LOGGED_OUT = "logged_out"
    FAILED = "failed"
    STALLED = "stalled"
    NOT_CONNECTED = "not_connected"  # took too long


FAILURES = frozenset({End.FAILED, End.STALLED, End.NOT_CONNECTED})


@dataclass(frozen=True, slots=True)
class RestartRules:
    """How long and how often.

    Attributes:
        healthy_s: a run that received for this long makes earlier failures forgotten.
        break_after: failures in a row after which it is tried only every `break_s`.
    """

    first_s: float = 1.0
    longest_s: float = 300.0
    break_after: int = 10
    break_s: float = 900.0
    healthy_s: float = 60.0
    connect_s: float = 60.0
    teardown_s: float = 10.0

    def delay_s(self, failures: int) -> float:
        """Return the wait after so many failures in a row, with half of it jittered."""
        if failures >= self.break_after:
            return self.break_s * random.uniform(0.75, 1.0)  # spreads load
        base = min(self.longest_s, self.first_s * 2.0 ** max(0, failures - 1))
        return base / 2 + random.uniform(0, base / 2)  # spreads load


@dataclass(frozen=True, slots=True)
class Next:
    """What follows the end of a run."""

    state: AccountState
    failures: int
    delay_s: float = 0.0


def may_become(state: AccountState, next_state: AccountState) -> bool:
    """Whether the table allows the transition."""
    return next_state in TRANSITIONS[state]


def after_end(end: End, *, failures: int, was_healthy: bool, rules: RestartRules) -> Next:
    """Decide what follows a run, once it is torn down.

    Args:
        failures: in a row, before this one.
        was_healthy: it had received long enough for earlier failures to be forgotten.
    """
    before = 0 if was_healthy else failures
    match end:
        case End.UNWANTED:
            return Next(S.OFF, 0)
        case End.TAKEN:
            return Next(S.STANDBY, 0)
        case End.UNUSABLE:
            return Next(S.UNUSABLE, before + 1)
        case End.LOGGED_OUT:
            return Next(S.LOGIN, before + 1)
        case End.FAILED | End.STALLED | End.NOT_CONNECTED:
            count = before + 1
            state = S.BROKEN if count >= rules.break_after else S.WAITING
            return Next(state, count, rules.delay_s(count))
