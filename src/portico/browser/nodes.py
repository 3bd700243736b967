"""What the browser asks of nodes: browsers on other machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class BrowserNodes(Protocol):
    """The nodes, as far as browsers are concerned."""

    async def proxy(self, named: str | None, params: Mapping[str, Any]) -> Any:
        """Have a node ask its browser; without a name the only one that has one.

        Raises:
            GatewayError: there is none, there are several, or it cannot.
        """
        ...
