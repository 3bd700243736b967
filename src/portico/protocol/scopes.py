"""Roles and scopes, and which scope includes which.

Source: OpenClaw gateway protocol, "Roles and scopes".
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache


class Role(StrEnum):
    """What a connection is: somebody who operates the gateway, or a device it can use."""

    OPERATOR = "operator"
    NODE = "node"


class Scope(StrEnum):
    """What an operator connection may do."""

    ADMIN = "operator.admin"
    READ = "operator.read"
    WRITE = "operator.write"
    SESSIONS_READ = "operator.sessions.read"
    SESSIONS_WRITE = "operator.sessions.write"
    APPROVALS = "operator.approvals"
    QUESTIONS = "operator.questions"
    PAIRING = "operator.pairing"
    TALK = "operator.talk"
    TALK_SECRETS = "operator.talk.secrets"


ALL_SCOPES: frozenset[str] = frozenset(Scope)

_INCLUDES: dict[Scope, frozenset[Scope]] = {
    Scope.ADMIN: frozenset(Scope),
    Scope.WRITE: frozenset(
        {Scope.READ, Scope.TALK, Scope.SESSIONS_READ, Scope.SESSIONS_WRITE},
    ),
    Scope.READ: frozenset({Scope.SESSIONS_READ}),
    Scope.SESSIONS_WRITE: frozenset({Scope.SESSIONS_READ}),
}

SHARED_SECRET_HTTP_SCOPES: frozenset[str] = frozenset(
    {
        Scope.ADMIN,
        Scope.APPROVALS,
        Scope.PAIRING,
        Scope.READ,
        Scope.TALK_SECRETS,
        Scope.WRITE,
    },
)
"""What an HTTP caller that proved the gateway's shared secret holds."""


def expand(granted: frozenset[str] | list[str]) -> frozenset[str]:
    """Return the granted scopes together with every scope they include."""
    names = frozenset(granted)
    known = _expand(names & ALL_SCOPES)
    return known if names <= known else names | known


@lru_cache(maxsize=256)  # connections that hold the same share one set
def _expand(granted: frozenset[str]) -> frozenset[str]:
    known = [Scope(name) for name in granted]
    return granted.union(*(_INCLUDES.get(scope, ()) for scope in known))
