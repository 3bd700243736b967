"""One call in progress, as a handler sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from portico.auth.model import Principal
from portico.ids import ConnId


class ConnectionHandle(Protocol):
    """What a handler may do with the connection a call came over."""

    @property
    def conn_id(self) -> ConnId:
        """The connection's id, as in `hello-ok.server.connId`."""
        ...

    def follow_session_list(self, following: bool) -> None:  # noqa: FBT001 - reads as said
        """Start or stop receiving `sessions.changed` and the events of every session."""
        ...

    def follow_session(self, session_key: str, following: bool) -> None:  # noqa: FBT001
        """Start or stop receiving one session's messages."""
        ...


def _ignore(_payload: Any) -> None:
    return None


@dataclass(slots=True)
class Call:
    """Who calls, over what, and how to answer early.

    Attributes:
        connection: the WebSocket connection, or `None` for HTTP and in-process calls.
        accept: send a first answer now (`agent` answers twice); the handler's result follows on
            the same request id. Callers that want only one answer are handed a no-op.
        trace_id: goes into logs and rows this call causes.
    """

    principal: Principal
    connection: ConnectionHandle | None = None
    accept: Callable[[Any], None] = _ignore
    trace_id: str | None = None
