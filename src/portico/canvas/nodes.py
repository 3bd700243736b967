"""What the canvas asks of nodes: the screens it can be shown on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from portico.ids import ConnId


@dataclass(frozen=True, slots=True)
class Screen:
    """A connected node that has a canvas."""

    node_id: str
    conn_id: ConnId


class Screens(Protocol):
    """The nodes, as far as the canvas is concerned."""

    async def choose(self, named: str | None, command: str) -> Screen:
        """Return the node that is meant; without a name the only one that can do the command.

        Raises:
            GatewayError: there is none, there are several, or it may not do that.
        """
        ...

    async def invoke(
        self, screen: Screen, command: str, params: Mapping[str, Any], *, session_key: str
    ) -> Any:
        """Have a node do something and return what it answered.

        Raises:
            GatewayError: it cannot, or did not answer in time.
        """
        ...
