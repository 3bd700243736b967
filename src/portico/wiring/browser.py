"""The browser, constructed: from the configuration to a process that is started when needed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from portico.audit.service import Audit
from portico.browser.configured import browser_settings
from portico.browser.process import BrowserProcess
from portico.browser.rpc import BrowserMethods
from portico.browser.service import BrowserService
from portico.clock import Clock
from portico.ids import new_secret
from portico.nodes.service import Nodes
from portico.wiring.canvas import NodeScreens

if TYPE_CHECKING:
    from portico.browser.tools import BrowserTools
    from portico.config import LoadedConfig

COMMAND = "browser.proxy"


class BrowserParts:
    """Everything about the browser that others are handed."""

    def __init__(
        self,
        loaded: LoadedConfig,
        *,
        audit: Audit,
        clock: Clock,
        env: Mapping[str, str],
        nodes: Nodes,
    ) -> None:
        config, state_dir = loaded.require(), loaded.paths.state_dir
        self._is_enabled = config.browser.enabled
        settings = browser_settings(config, state_dir)
        process = BrowserProcess(
            (sys.executable, "-m", "portico", "browser", "serve", "--piped"),
            settings=lambda: msgspec.structs.replace(settings, token=new_secret()),
            env=env,
            clock=clock,
        )
        self.service = BrowserService(process if self._is_enabled else None)
        self.methods = BrowserMethods(self.service, nodes=ProxyNodes(nodes), audit=audit)

    def tools(self) -> tuple[BrowserTools, ...]:
        """Return the tools of agents; none when there is no browser."""
        if not self._is_enabled:
            return ()
        from portico.browser.tools import BrowserTools

        return (BrowserTools(self.service),)


class ProxyNodes:
    """The room of nodes, as the browser asks it."""

    def __init__(self, nodes: Nodes) -> None:
        self._screens = NodeScreens(nodes)

    async def proxy(self, named: str | None, params: Mapping[str, Any]) -> Any:
        """Have a node ask its browser."""
        node = await self._screens.choose(named, COMMAND)
        return await self._screens.invoke(node, COMMAND, params, session_key="")
