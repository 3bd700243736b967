"""Everything by which others find the gateway and get to it, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from portico.tasks import Tasks

if TYPE_CHECKING:
    from portico.discovery.mdns import Advertiser
    from portico.discovery.tailscale import TailscaleRoute


class Entrance(Protocol):
    """A port for those who come by a way of their own."""

    async def start(self) -> int:
        """Open it; return the port."""
        ...

    async def stop(self) -> None:
        """Close it. Safe to call twice."""
        ...


NameOf = Callable[[], Awaitable[str | None]]
RouteTo = Callable[[int], "TailscaleRoute"]


class Discovery:
    """The gateway's ways out into the world.

    Args:
        advertiser: `None`: the local network is not told.
        entrance, route_to: of Tailscale; `None`: it is not used.
        entered: hears of the port that only Tailscale is told of; 0: it is closed.
        tailnet_name: returns this machine's name in the tailnet; `None`: it is in none.
    """

    def __init__(
        self,
        *,
        tasks: Tasks,
        advertiser: Advertiser | None,
        entrance: Entrance | None,
        route_to: RouteTo | None,
        entered: Callable[[int], None],
        tailnet_name: NameOf | None = None,
    ) -> None:
        self._tailnet_name = tailnet_name
        self._tasks = tasks
        self._advertiser = advertiser
        self._entrance = entrance
        self._route_to = route_to
        self._entered = entered
        self._route: TailscaleRoute | None = None
        self._running: list[asyncio.Task[Any]] = []

    @property
    def url(self) -> str | None:
        """Where Tailscale lets others in."""
        return None if self._route is None else self._route.url

    def start(self) -> None:
        """Begin; what fails is shown in `health`. Safe to call twice."""
        if self._running:
            return
        if self._advertiser is not None:
            self._begin(self._tell, "mdns")
        if self._route_to is not None:
            self._begin(self._keep_route, "tailscale")

    def changed(self) -> None:
        """Tell anew: something about the gateway has changed."""
        if self._advertiser is not None and self._running:
            self._begin(self._advertiser.refresh, "mdns.refresh")

    async def stop(self) -> None:
        """Take everything back. Safe to call twice."""
        running, self._running = self._running, []
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        if self._route is not None:
            await self._route.stop()
        if self._entrance is not None:
            await self._entrance.stop()
            self._entered(0)
        if self._advertiser is not None:
            await self._advertiser.stop()

    def health(self) -> dict[str, Any]:
        """Return how the ways out do, for the health summary."""
        found: dict[str, Any] = {}
        if self._advertiser is not None:
            found["mdns"] = _shown("name", self._advertiser.name, self._advertiser.problem)
        if self._route_to is not None:
            route = self._route
            url, problem = (None, None) if route is None else (route.url, route.problem)
            found["tailscale"] = _shown("url", url, problem)
        return {"reach": found} if found else {}

    def _begin(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        async def run() -> None:
            await work()

        self._running = [task for task in self._running if not task.done()]
        self._running.append(self._tasks.start(run(), name=f"discovery.{name}"))

    async def _tell(self) -> None:
        if self._advertiser is None:
            return
        if self._tailnet_name is not None:
            self._advertiser.tailnet_dns = await self._tailnet_name()
        await self._advertiser.start()

    async def _keep_route(self) -> None:
        if self._entrance is None or self._route_to is None:
            return
        port = await self._entrance.start()
        self._entered(port)
        self._route = self._route_to(port)
        await self._route.keep()


def _shown(what: str, value: str | None, problem: str | None) -> dict[str, Any]:
    if value:
        return {"ok": True, what: value}
    return {"ok": False, "problem": problem or "starting"}
