"""From the configuration to nodes: the room, its methods, and what it is told by the others."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from portico.auth.tokens import hash_token
from portico.nodes.foreground import Foreground
from portico.nodes.incoming import NodeEvents
from portico.nodes.invoking import InvokeLimits
from portico.nodes.policy import CommandRules
from portico.nodes.rpc import NodeMethods
from portico.nodes.rpc_environments import EnvironmentMethods
from portico.nodes.rpc_node import NodeRoleMethods
from portico.nodes.service import Nodes
from portico.nodes.settings import NodeSettings
from portico.nodes.system_run import SystemRuns
from portico.nodes.talk import NodeTalk
from portico.nodes.work import WaitingWork

if TYPE_CHECKING:
    from collections.abc import Callable

    from portico.agents.service import Agents
    from portico.approvals.service import Approvals
    from portico.audit.service import Audit
    from portico.auth.devices import Devices
    from portico.auth.model import Principal
    from portico.automation.assembly import Automation
    from portico.channels.registry import ChannelRegistry
    from portico.clock import Clock
    from portico.config import LoadedConfig
    from portico.config.live import Commit, LiveConfig
    from portico.config.model import PorticoConfig
    from portico.events.hub import Hub
    from portico.ids import ConnId
    from portico.inbox.service import Inbox
    from portico.observe.metrics import Metrics
    from portico.store import Store
    from portico.tasks import Tasks


_FOLLOWED = (
    "gateway.nodes.commands",
    "gateway.nodes.invoke",
    "gateway.nodes.pluginTools",
)


def node_settings(config: PorticoConfig) -> NodeSettings:
    """Return how nodes are used."""
    given = config.gateway.nodes
    return NodeSettings(
        rules=CommandRules(
            allow=frozenset(name.strip() for name in given.commands.allow),
            deny=frozenset(name.strip() for name in given.commands.deny),
        ),
        invoke=InvokeLimits(
            timeout_ms=given.invoke.timeout_ms,
            longest_ms=given.invoke.max_timeout_ms,
            most_in_flight=given.invoke.max_in_flight,
        ),
        publishes_tools=given.plugin_tools.enabled,
    )


class NodeParts:
    """The room of nodes, constructed.

    Args:
        close: ends a connection, with a reason.
        live: its limits and lists of commands are followed as they change.
    """

    def __init__(
        self,
        live: LiveConfig,
        *,
        audit: Audit,
        clock: Clock,
        close: Callable[[ConnId, str], None],
        devices: Devices,
        hub: Hub,
        metrics: Metrics,
        store: Store,
        tasks: Tasks,
    ) -> None:
        self._clock = clock
        self._live = live
        self._settings = node_settings(live.loaded.require())
        live.follow(*_FOLLOWED, stage=self._stage)
        self._hub = hub
        self._store = store
        self.nodes = Nodes(
            audit=audit,
            store=store,
            clock=clock,
            tasks=tasks,
            publish=hub.publish,
            tell=hub.tell,
            close=close,
            devices=_Devices(devices),
            settings=lambda: self._settings,
            metrics=metrics,
        )
        metrics.gauge(
            "portico_nodes_connected",
            "Nodes that are connected.",
            lambda: float(len(self.nodes.connections.sessions())),
        )

    def _stage(self, loaded: LoadedConfig) -> Commit:
        settings = node_settings(loaded.require())

        def commit() -> None:
            self._settings = settings

        return commit

    def methods(
        self,
        *,
        agents: Agents,
        approvals: Approvals,
        automation: Automation,
        inbox: Inbox,
        senders: ChannelRegistry,
    ) -> tuple[object, ...]:
        """Return the features with RPC methods."""
        foreground = Foreground(self._store, self._clock)
        talk = NodeTalk(
            inbox=inbox,
            default_agent=lambda: agents.default_id,
            main_key=self._live.loaded.require().session.main_key,
            wake=automation.waker.wake,
            is_channel=senders.is_known,
            default_account=senders.default_account,
        )
        events = NodeEvents(
            store=self._store,
            clock=self._clock,
            publish=self._hub.publish,
            talk=talk,
            follow=self._follow,
        )
        return (
            NodeMethods(
                self.nodes,
                self._clock,
                system_runs=SystemRuns(approvals, self._clock),
                foreground=foreground,
                show=lambda to, name, said: self._hub.publish(name, said, only=(to,)),
            ),
            EnvironmentMethods(self.nodes),
            NodeRoleMethods(
                self.nodes,
                self._clock,
                events=events,
                foreground=foreground,
                work=WaitingWork(self._store, self._clock),
            ),
        )

    def _follow(self, conn_id: ConnId, session_key: str, *, following: bool) -> None:
        subscription: Any = self._hub.find(conn_id)
        if subscription is not None:
            subscription.confide(session_key, following=following)


class _Devices:
    """The device book, as the nodes need it."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    async def came_by_code(self, device_id: str) -> bool:
        """Whether a device was let in by a setup code."""
        known = await self._devices.find(device_id)
        return known is not None and known.device.approved_via == "bootstrap"

    async def forget(self, device_id: str, by: Principal) -> bool:
        """Take the role of a node from a device, and forget one that has no other."""
        known = await self._devices.find(device_id)
        if known is None or known.token("node") is None:
            return False
        if any(one.role != "node" and one.revoked_at is None for one in known.tokens):
            await self._devices.revoke(device_id, "node", by=by)
        else:
            await self._devices.remove(device_id, by=by)
        return True

    async def rename(self, device_id: str, name: str, by: Principal) -> None:
        """Call a device something else, too."""
        await self._devices.rename(device_id, name, by=by)

    async def has_token(self, device_id: str, token: str) -> bool:
        """Whether a token is the one with which a device may be a node."""
        known = await self._devices.find(device_id)
        held = known.token("node") if known is not None else None
        return held is not None and hmac.compare_digest(hash_token(token), held.token_hash)
