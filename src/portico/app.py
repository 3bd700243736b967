"""The composition root: a gateway, constructed floor by floor, opened and closed.

Guarantees: construction has no effects; `start` opens things in order, `shut_down` and `stop` close
them in the reverse; nothing here decides anything.

Not here: what a floor consists of (the modules of `portico.wiring` that are named after them).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog

from portico.agents.workspace.starting import start_workspaces
from portico.events.hub import Forward
from portico.rpc.method import Registry
from portico.settings.service import RequestRestart
from portico.settings.trial import HealthTrial
from portico.store import Work
from portico.wiring.channels import ConnectedAccounts
from portico.wiring.conversation import Conversation
from portico.wiring.features import Features
from portico.wiring.following import follow_settings
from portico.wiring.front import Front
from portico.wiring.ground import Ground
from portico.wiring.housekeeping import build_housekeeping
from portico.wiring.kernel import Kernel
from portico.wiring.path import MessagePath

if TYPE_CHECKING:
    from portico.config import LoadedConfig

log = structlog.get_logger()

OUTBOX_DRAIN_S = 5.0


class Gateway:
    """The services of one gateway, and its life: alone, or beside its successor.

    Args:
        env: what the configuration may refer to when it is read again.
        has_company: a predecessor still works on the same database.
        request_restart: asks for the process to be replaced soon; `None`: `restarts` is asked.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        *,
        env: Mapping[str, str],
        has_company: bool = False,
        request_restart: RequestRestart | None = None,
    ) -> None:
        self.ground = ground = Ground(
            loaded, env=env, has_company=has_company, request_restart=request_restart
        )
        self.kernel = kernel = Kernel(ground)
        self.conversation = conversation = Conversation(ground)
        self.path = path = MessagePath(ground, kernel, conversation)
        self.features = features = Features(
            ground, kernel, conversation, path, front=lambda: self.front
        )
        self.front = Front(ground, kernel, conversation, path, features)
        self.housekeeping = build_housekeeping(ground, kernel, conversation, path, features)
        follow_settings(ground, kernel, conversation, path, features, front=self.front)
        self.alone = ground.alone

    async def start(self) -> None:
        """Open the database, take over unfinished work, start the services."""
        ground, path, features, front = self.ground, self.path, self.features, self.front
        await ground.store.start()
        ground.readiness.add_check("store", self._store_answers)
        await path.outbox.start()
        await self.conversation.approvals.start()
        await self.conversation.questions.start()
        await path.turns.start()
        await path.orders.start()
        await features.automation.start()
        await features.health.start()
        await front.plane.start()
        if not self.alone:
            ground.tasks.start(features.device_parts.patrol.run(), name="devices.patrol")
        if ground.certificate.is_on:
            ground.tasks.start(ground.certificate.watch(), name="tls.watch")
        path.accounts.start()
        self.housekeeping.start()
        self._follow_the_file()
        await front.doors.start()

    def _follow_the_file(self) -> None:
        """Take over changes of the configuration; one that makes us unwell is taken back."""
        ground = self.ground
        ground.live.try_with(
            HealthTrial(
                ground.readiness.checks,
                accounts=ConnectedAccounts(self.path.accounts),
                clock=ground.clock,
                patience_s=lambda: ground.settings.reload.trial_ms / 1000,
            )
        )
        ground.settings.start()

    def open(self) -> None:
        """Let clients in."""
        ground, agents = self.ground, self.conversation.agents
        self.conversation.mcp_servers.start()
        if not ground.has_company:  # else the predecessor is still the one that is told of
            self.front.discovery.start()
        self.features.updates.start()
        ground.readiness.open()
        self.front.plane.open()
        ground.tasks.start(agents.warm_up(), name="agents.warm_up")
        first = asyncio.to_thread(
            start_workspaces,
            agents.list(),
            state_dir=ground.loaded.paths.state_dir,
            limit=ground.config.gateway.limits.agent_file_max_bytes,
        )
        ground.tasks.start(first, name="agents.workspaces")

    async def _store_answers(self) -> str | None:
        try:
            await self.ground.store.write(_nothing)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the reason
            return f"the database does not accept writes: {type(error).__name__}"
        return None

    # -- beside another process (see `portico.succession`) ---------------------------------------

    def keep_company(self, *, has_company: bool) -> None:
        """Our successor or predecessor begins or ceases to work on the same database."""
        self.alone = alone = self.ground.is_own_database and not has_company
        self.path.turns.keep_company(alone=alone, closely=has_company)
        self.path.outbox.keep_company(alone=alone, closely=has_company)
        self.path.accounts.keep_company(alone=alone)
        self.conversation.approvals.keep_company(alone=alone)
        self.features.automation.keep_company(alone=alone)
        if not has_company:
            self.front.discovery.start()

    async def outlive(self, owner: str) -> None:
        """Take over from a process that is gone for certain, without waiting for its leases."""
        path, approvals = self.path, self.conversation.approvals
        for part in (path.turns, path.orders, path.outbox, path.accounts, approvals):
            await part.outlive(owner)

    async def give_up(self, forward: Forward) -> None:
        """Leave lanes, jobs, deliveries and accounts to our successor, and send our clients there.

        What runs goes on, and what it tells is forwarded.
        """
        self.ground.hub.forward(forward)
        self.path.turns.retire()
        self.features.automation.drain()
        goodbye = self.front.plane.shut_down(reason="gateway restarting", restart_expected_ms=0)
        leaving = self.ground.tasks.start(goodbye, name="leave")
        await self.path.outbox.drain(OUTBOX_DRAIN_S)
        await self.features.browser.service.close()
        await self.path.accounts.stop()
        await leaving

    async def shut_down(self, reason: str = "gateway stopping") -> None:
        """Let what runs finish, within the configured time, then tell and close every client."""
        self.ground.readiness.drain()
        drain_s = self.ground.live.loaded.require().gateway.shutdown.drain_ms / 1000
        log.info("gateway.draining", deadline_s=drain_s, running=self.path.turns.running)
        self.features.automation.drain()
        await self.path.turns.drain(drain_s)
        await self.path.outbox.drain(drain_s)
        self.conversation.approvals.detach()
        self.conversation.canvas.close()
        await self.front.plane.shut_down(reason=reason)

    async def stop(self) -> None:
        """Stop every service and close the database. Safe to call twice."""
        await self.front.discovery.stop()
        await self.front.plane.stop()
        await self.front.doors.stop()
        await self.path.accounts.stop()
        await self.ground.tasks.stop()
        await self.front.fetcher.close()
        await self.features.web_fetcher.close()
        await self.conversation.agents.close()
        await self.ground.store.stop()
        log.info("gateway.stopped")


def _nothing() -> Work[None]:
    return
    yield


def method_registry() -> Registry:
    """Return every method of a gateway with the default configuration; nothing is started."""
    from portico.config import resolve_paths
    from portico.config.service import load_text

    loaded = load_text(resolve_paths(env={}), '{ gateway: { auth: { mode: "none" } } }', env={})
    return Gateway(loaded, env={}).front.registry
