"""The composition root: a house of services (`portico.wiring.house`) that is opened and closed.

Guarantees: `start` opens things in order, `shut_down` and `stop` close them in the reverse; nothing
here decides anything.
"""

from __future__ import annotations

import asyncio

import structlog

from portico.agents.workspace.starting import start_workspaces
from portico.events.hub import Forward
from portico.rpc.method import Registry
from portico.settings.trial import HealthTrial
from portico.store import Work
from portico.wiring.channels import ConnectedAccounts
from portico.wiring.house import House

log = structlog.get_logger()

OUTBOX_DRAIN_S = 5.0


class Gateway(House):
    """Every service of one gateway, and its life: alone, or beside its successor."""

    async def start(self) -> None:
        """Open the database, take over unfinished work, start the services."""
        await self.store.start()
        self.readiness.add_check("store", self._store_answers)
        await self.outbox.start()
        await self.approvals.start()
        await self.questions.start()
        await self.turns.start()
        await self.orders.start()
        await self.automation.start()
        await self.health.start()
        await self.plane.start()
        if not self.alone:
            self.tasks.start(self.device_parts.patrol.run(), name="devices.patrol")
        if self.certificate.is_on:
            self.tasks.start(self.certificate.watch(), name="tls.watch")
        self.accounts.start()
        self.housekeeping.start()
        self.live.try_with(
            HealthTrial(
                self.readiness.checks,
                accounts=ConnectedAccounts(self.accounts),
                clock=self.clock,
                patience_s=lambda: self.settings.reload.trial_ms / 1000,
            )
        )
        self.settings.start()
        if self.doors.mcp is not None:
            await self.doors.mcp.start(self.tasks)
        if self.doors.canvas_host is not None:
            self.doors.canvas_host.start()

    def open(self) -> None:
        """Let clients in."""
        self.mcp_servers.start()
        if not self._has_company:  # else the predecessor is still the one that is told of
            self.discovery.start()
        self.updates.start()
        self.readiness.open()
        self.plane.open()
        self.tasks.start(self.agents.warm_up(), name="agents.warm_up")
        first = asyncio.to_thread(
            start_workspaces,
            self.agents.list(),
            state_dir=self._loaded.paths.state_dir,
            limit=self.config.gateway.limits.agent_file_max_bytes,
        )
        self.tasks.start(first, name="agents.workspaces")

    async def _store_answers(self) -> str | None:
        try:
            await self.store.write(_nothing)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the reason
            return f"the database does not accept writes: {type(error).__name__}"
        return None

    # -- beside another process (see `portico.succession`) ---------------------------------------

    def keep_company(self, *, has_company: bool) -> None:
        """Our successor or predecessor begins or ceases to work on the same database."""
        self.alone = alone = self._is_own_database and not has_company
        self.turns.keep_company(alone=alone, closely=has_company)
        self.outbox.keep_company(alone=alone, closely=has_company)
        self.accounts.keep_company(alone=alone)
        self.approvals.keep_company(alone=alone)
        self.automation.keep_company(alone=alone)
        if not has_company:
            self.discovery.start()

    async def outlive(self, owner: str) -> None:
        """Take over from a process that is gone for certain, without waiting for its leases."""
        for part in (self.turns, self.orders, self.outbox, self.accounts, self.approvals):
            await part.outlive(owner)

    async def give_up(self, forward: Forward) -> None:
        """Leave lanes, jobs, deliveries and accounts to our successor, and send our clients there.

        What runs goes on, and what it tells is forwarded.
        """
        self.hub.forward(forward)
        self.turns.retire()
        self.automation.drain()
        leaving = self.tasks.start(
            self.plane.shut_down(reason="gateway restarting", restart_expected_ms=0), name="leave"
        )
        await self.outbox.drain(OUTBOX_DRAIN_S)
        await self.browser.service.close()
        await self.accounts.stop()
        await leaving

    async def shut_down(self, reason: str = "gateway stopping") -> None:
        """Let what runs finish, within the configured time, then tell and close every client."""
        self.readiness.drain()
        drain_s = self.live.loaded.require().gateway.shutdown.drain_ms / 1000
        log.info("gateway.draining", deadline_s=drain_s, running=self.turns.running)
        self.automation.drain()
        await self.turns.drain(drain_s)
        await self.outbox.drain(drain_s)
        self.approvals.detach()
        self.canvas.close()
        await self.plane.shut_down(reason=reason)

    async def stop(self) -> None:
        """Stop every service and close the database. Safe to call twice."""
        await self.discovery.stop()
        await self.plane.stop()
        if self.doors.canvas_host is not None:
            await self.doors.canvas_host.stop()
        await self.accounts.stop()
        await self.tasks.stop()
        await self.fetcher.close()
        await self.web_fetcher.close()
        await self.agents.close()
        await self.store.stop()
        log.info("gateway.stopped")


def _nothing() -> Work[None]:
    return
    yield


def method_registry() -> Registry:
    """Return every method of a gateway with the default configuration; nothing is started."""
    from portico.config import resolve_paths
    from portico.config.service import load_text

    loaded = load_text(resolve_paths(env={}), '{ gateway: { auth: { mode: "none" } } }', env={})
    return House(loaded, env={}).registry
