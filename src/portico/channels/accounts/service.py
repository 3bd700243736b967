"""All accounts of a gateway: known from the start, each kept by a supervisor of its own.

Guarantees: constructing and starting this waits for no account; each account is registered with
the outbox before anything connects, so that what waits for it is neither refused nor given up. A
replica has the accounts whose lease it holds, and gives them back when it stops.

Not here: what one account does (supervisor.py), RPC (rpc.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import structlog

from portico.channels.accounts import store as account_store
from portico.channels.accounts.life import AccountState, RestartRules
from portico.channels.accounts.run import EventEffect, Intake, Menu, no_effect
from portico.channels.accounts.store import AccountRow
from portico.channels.accounts.supervisor import Supervisor, Surroundings
from portico.channels.doors import Doors
from portico.channels.live import LiveReplies
from portico.channels.manifest import Manifest
from portico.channels.model import InboundMessage
from portico.channels.registry import ChannelRegistry
from portico.clock import Clock
from portico.config.channels import AccountEntry
from portico.store import Store, Work
from portico.tasks import Tasks

log = structlog.get_logger()

Key = tuple[str, str]
FLUSH_S = 15.0
AGAIN_S = 1.0
FORGET_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """How accounts are kept.

    Attributes:
        stall_s: replaces the channels' own time of silence; `None`: theirs.
        folder: where accounts keep files of their own, a folder each.
    """

    folder: Path
    lease_s: float = 30.0
    stall_s: float | None = None
    rules: RestartRules = field(default_factory=RestartRules)


class Notices(Protocol):
    """Who tells the operator."""

    def changed(self, account: Supervisor, before: AccountState) -> None:
        """An account is in another state."""
        ...

    def healthy(self, account: Supervisor) -> None:
        """An account is well again."""
        ...


class Accounts:
    """Every account."""

    def __init__(
        self,
        entries: Iterable[AccountEntry],
        *,
        manifests: Callable[[], Mapping[str, Manifest]],
        store: Store,
        clock: Clock,
        tasks: Tasks,
        intake: Intake,
        registry: ChannelRegistry,
        doors: Doors,
        owner: str,
        alone: bool,
        settings: AccountSettings,
        notices: Notices | None = None,
        live: LiveReplies | None = None,
        on_ready: Callable[[str, str], None] = lambda _channel, _account: None,
        effect: EventEffect = no_effect,
        menu: Menu = tuple,
    ) -> None:
        """Take note of the accounts; nothing is imported, read or started.

        Args:
            manifests: every installed channel's, by id; asked for only when there are accounts.
            on_ready: told of each account that can send (again).
            effect: what a recorded event does besides.
            menu: the commands that providers may show.
        """
        self._find_manifests = manifests
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._registry = registry
        self._owner = owner
        self._alone = alone
        self._settings = settings
        self._notices = notices
        self._live = live
        self._on_ready = on_ready
        self._around = Surroundings(
            store=store,
            clock=clock,
            tasks=tasks,
            intake=intake,
            effect=effect,
            doors=doors,
            watcher=self,
            owner=owner,
            alone=alone,
            lease_s=settings.lease_s,
            rules=settings.rules,
            stall_s=settings.stall_s,
            folder=settings.folder,
            menu=menu,
        )
        self._supervisors: dict[Key, Supervisor] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._changed: set[Key] = set()
        self._flush_wanted = asyncio.Event()
        self._is_started = False
        self._keeping: asyncio.Task[None] | None = None
        self._renewed_s = clock.monotonic_s()
        self._recorded: dict[Key, AccountRow] = {}
        for entry in entries:
            self._add(entry)

    # -- what there is ---------------------------------------------------------------------------

    def all(self) -> list[Supervisor]:
        """Return every account, in the order of channels and names."""
        return [self._supervisors[key] for key in sorted(self._supervisors)]

    def find(self, channel: str, account: str) -> Supervisor | None:
        """Return an account, or `None`."""
        return self._supervisors.get((channel, account))

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start keeping the accounts, in the background."""
        if not self._is_started:
            self._is_started = True
            self._begin([*self._supervisors])

    async def stop(self) -> None:
        """Tear every account down and let other replicas have them. Safe to call twice."""
        self._is_started = False
        running: list[asyncio.Task[None]] = [*self._running.values()]
        self._running.clear()
        if self._keeping is not None:
            running.append(self._keeping)
            self._keeping = None
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
            with contextlib.suppress(Exception):  # the leases run out by themselves
                await self._flush()
                await self._store.write(account_store.release_all, self._owner)

    def keep_company(self, *, alone: bool) -> None:
        """Another process begins or ceases to keep the same accounts."""
        self._alone = alone
        self._around.alone = alone
        self.look_again()

    def look_again(self) -> None:
        """Accounts that wait for another process to let go try again now."""
        for supervisor in self._supervisors.values():
            if supervisor.state is AccountState.STANDBY:
                supervisor.nudge()

    async def outlive(self, owner: str) -> None:
        """Take the accounts of a process that is gone for certain."""
        await self._store.write(account_store.release_all, owner)
        self.look_again()

    def apply(self, entries: Iterable[AccountEntry]) -> None:
        """Follow a changed configuration: only accounts whose settings changed are restarted."""
        wanted = {(entry.channel, entry.account): entry for entry in entries}
        for key in [key for key in self._supervisors if key not in wanted]:
            self._remove(key)
        for key, entry in wanted.items():
            known = self._supervisors.get(key)
            if known is not None:
                known.configure(entry)
            else:
                self._add(entry)
        if self._is_started:
            self._begin([key for key in self._supervisors if key not in self._running])

    def configure(self, settings: AccountSettings) -> None:
        """Keep accounts by other rules from now on; leases stay as long as they were."""
        self._around = replace(self._around, rules=settings.rules, stall_s=settings.stall_s)
        for supervisor in self._supervisors.values():
            supervisor.surround(self._around)

    async def want(self, channel: str, account: str, desired: str) -> Supervisor:
        """Record that an account should run or not, and see to it here.

        Raises:
            LookupError: there is no such account.
        """
        known = self._supervisors[channel, account]
        await self._store.write(
            account_store.want, channel, account, desired, now=self._clock.now_ms()
        )
        known.want(desired)
        return known

    async def rows(self) -> dict[Key, AccountRow]:
        """Return what is recorded of accounts, by whatever replica."""
        found = await self._store.read(account_store.list_accounts)
        return {(row.channel, row.account): row for row in found}

    async def forget(self, *, before_ms: int) -> int:
        """Delete events received before a time, some at a time; return how many."""
        total = 0
        while count := await self._store.write(
            account_store.forget_events, before_ms=before_ms, count=FORGET_AT_ONCE
        ):
            total += count
        return total

    # -- what supervisors say --------------------------------------------------------------------

    def changed(self, account: Supervisor, before: AccountState) -> None:
        """An account is in another state now."""
        log.info(
            "channel.state",
            channel=account.channel,
            account=account.account,
            state=account.state.value,
            before=before.value,
            error=account.error,
            failures=account.failures,
        )
        self._changed.add((account.channel, account.account))
        self._flush_wanted.set()
        if account.state is AccountState.CONNECTED:
            self._on_ready(account.channel, account.account)
        if self._notices is not None:
            self._notices.changed(account, before)

    def healthy(self, account: Supervisor) -> None:
        """An account has received for long enough to be called well."""
        if self._notices is not None:
            self._notices.healthy(account)

    def admitted(self, account: Supervisor, message: InboundMessage, run_id: str) -> None:
        """A message will be answered."""
        if self._live is not None:
            self._live.watch(account, message, run_id)

    # -- inside ----------------------------------------------------------------------------------

    def _add(self, entry: AccountEntry) -> None:
        manifest = self._find_manifests().get(entry.channel)
        if manifest is None:
            return
        supervisor = Supervisor(entry, manifest, self._around)
        self._supervisors[entry.channel, entry.account] = supervisor
        self._registry.register(entry.channel, entry.account, supervisor)

    def _remove(self, key: Key) -> None:
        self._registry.unregister(*key)
        del self._supervisors[key]
        task = self._running.pop(key, None)
        if task is not None:
            task.cancel()
            self._tasks.start(self._give_back(key, task), name=f"channels:{key[0]}:{key[1]}")

    async def _give_back(self, key: Key, task: asyncio.Task[None]) -> None:
        await asyncio.wait({task})
        await self._store.write(account_store.release, *key, owner=self._owner)

    def _begin(self, keys: list[Key]) -> None:
        if keys:
            self._tasks.start(self._begin_later(keys), name="channels.begin")
        if keys and self._keeping is None:
            self._keeping = self._tasks.start(self._keep(), name="channels.keep")

    async def _begin_later(self, keys: list[Key]) -> None:
        """Start supervisors, once it is known what earlier processes recorded."""
        while (rows := await self._known_rows(keys)) is None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(AGAIN_S)
        if not self._is_started:
            return
        for key in keys:
            supervisor = self._supervisors.get(key)
            if supervisor is None or key in self._running:
                continue
            if key in rows:
                supervisor.recall(rows[key])
                self._recorded[key] = rows[key]
            self._running[key] = self._tasks.start(
                supervisor.supervise(), name=f"channels:{key[0]}:{key[1]}"
            )

    async def _known_rows(self, keys: list[Key]) -> dict[Key, AccountRow] | None:
        try:
            await self._store.write(account_store.add, keys, now=self._clock.now_ms())
            return await self.rows()
        except Exception as error:  # the database is away: accounts cannot be claimed either
            log.error("channels.start_delayed", exc_info=error)
            return None

    async def _keep(self) -> None:
        """Renew leases, follow what other replicas decide, record what changed."""
        every_s = min(FLUSH_S, self._settings.lease_s / 3)
        looked_s = self._clock.monotonic_s()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._flush_wanted.wait()
            self._flush_wanted.clear()
            try:
                if self._clock.monotonic_s() - looked_s >= every_s:
                    looked_s = self._clock.monotonic_s()
                    self._changed.update(self._supervisors)
                    if not self._alone:
                        await self._look_around()
                await self._flush()
            except Exception as error:  # the database may be away; the next round tries again
                log.error("channels.keep_failed", exc_info=error)
                self._lose_what_ran_out()

    async def _look_around(self) -> None:
        until = self._clock.now_ms() + int(self._settings.lease_s * 1000)
        began_s = self._clock.monotonic_s()
        held = await self._store.write(account_store.renew, self._owner, lease_until=until)
        self._renewed_s = began_s
        rows = await self.rows()
        for key, supervisor in [*self._supervisors.items()]:
            if supervisor.has_lease and key not in held:
                supervisor.lose()
            row = rows.get(key)
            if row is not None and row.desired != supervisor.desired:
                supervisor.want(row.desired)

    def _lose_what_ran_out(self) -> None:
        """Others may have the accounts by now: be the first to let go."""
        if self._alone or self._clock.monotonic_s() - self._renewed_s < self._settings.lease_s:
            return
        for supervisor in self._supervisors.values():
            if supervisor.has_lease:
                supervisor.lose()

    async def _flush(self) -> None:
        keys, self._changed = self._changed, set()
        snapshots = [self._supervisors[key].snapshot() for key in keys if key in self._supervisors]
        fresh = [row for row in snapshots if row != self._recorded.get((row.channel, row.account))]
        if not fresh:
            return
        try:
            await self._store.write(_observe_all, fresh, self._clock.now_ms())
        except BaseException:
            self._changed |= keys
            raise
        self._recorded.update({(row.channel, row.account): row for row in fresh})


def _observe_all(rows: list[AccountRow], now: int) -> Work[None]:
    for row in rows:
        yield from account_store.observe(row, now=now)
