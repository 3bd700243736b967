"""The life of one invoke, as a table. No I/O.

    PENDING ──sent──► SENT ──► SUCCEEDED | FAILED      the node answered
       │                └────► TIMED_OUT | CANCELLED   nobody waits any more; the node is told
       │                └────► LOST                    its connection ended first
       └──► UNSENT                                     nothing was sent, nothing was done

Guarantees: an invoke ends once; what comes afterwards (a late or second result, progress, the end
of a connection) changes nothing. Once a command was sent, only the node's answer says what became
of it: in `TIMED_OUT`, `CANCELLED` and `LOST` that is uncertain.

Source: OpenClaw gateway protocol, "node.invoke".
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from portico.protocol.errors import Outcome


class InvokeState(StrEnum):
    """How far an invoke is."""

    PENDING = "pending"
    SENT = "sent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"
    LOST = "lost"
    UNSENT = "unsent"


class Happening(StrEnum):
    """What may happen to it."""

    SENT = "sent"
    NOT_SENT = "not-sent"
    PROGRESS = "progress"
    RESULT = "result"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCEL = "cancel"
    DISCONNECT = "disconnect"


class Step(NamedTuple):
    """What a happening comes to.

    Attributes:
        is_heard: it counted; else it came too early or too late and is ignored.
        tells_node: the node should stop.
    """

    state: InvokeState
    is_heard: bool = True
    tells_node: bool = False


_S, _H = InvokeState, Happening
_TABLE: dict[tuple[InvokeState, Happening], Step] = {
    (_S.PENDING, _H.SENT): Step(_S.SENT),
    (_S.PENDING, _H.NOT_SENT): Step(_S.UNSENT),
    (_S.PENDING, _H.TIMEOUT): Step(_S.UNSENT),
    (_S.PENDING, _H.CANCEL): Step(_S.UNSENT),
    (_S.PENDING, _H.DISCONNECT): Step(_S.UNSENT),
    (_S.SENT, _H.PROGRESS): Step(_S.SENT),
    (_S.SENT, _H.RESULT): Step(_S.SUCCEEDED),
    (_S.SENT, _H.ERROR): Step(_S.FAILED),
    (_S.SENT, _H.TIMEOUT): Step(_S.TIMED_OUT, tells_node=True),
    (_S.SENT, _H.CANCEL): Step(_S.CANCELLED, tells_node=True),
    (_S.SENT, _H.DISCONNECT): Step(_S.LOST),
}
OPEN = frozenset({InvokeState.PENDING, InvokeState.SENT})


def step(state: InvokeState, happening: Happening) -> Step:
    """Return what a happening comes to; one that is not in the table is ignored."""
    return _TABLE.get((state, happening), Step(state, is_heard=False))


def is_over(state: InvokeState) -> bool:
    """Whether nothing can happen to it any more."""
    return state not in OPEN


def was_sent(state: InvokeState) -> bool:
    """Whether the node was told to do it."""
    return state not in {InvokeState.PENDING, InvokeState.UNSENT}


def outcome(state: InvokeState) -> Outcome | None:
    """What is known of what the node did; `None`: the node has said it itself."""
    if not was_sent(state):
        return Outcome.NOT_STARTED
    return None if state in {_S.SUCCEEDED, _S.FAILED} else Outcome.UNCERTAIN
