"""A channel whose account does what the test says, and accounts kept on a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from portico.channels.accounts.life import RestartRules
from portico.channels.accounts.service import Accounts, AccountSettings
from portico.channels.accounts.supervisor import Supervisor
from portico.channels.admission import Verdict
from portico.channels.contract import AccountContext, Outgoing, Receipt, Received
from portico.channels.doors import Doors
from portico.channels.manifest import Manifest
from portico.channels.model import InboundMessage, Peer
from portico.channels.registry import ChannelRegistry
from portico.clock import SystemClock
from portico.config.channels import AccountEntry
from portico.config.sections.channels import AccountConfig
from portico.store import Store, Work
from portico.tasks import Tasks
from tests.support.waiting import eventually

Script = Callable[["Puppet"], Awaitable[None]]
FAST = RestartRules(
    first_s=0.005,
    longest_s=0.02,
    break_after=5,
    break_s=0.05,
    healthy_s=1.0,
    connect_s=1.0,
    teardown_s=1.0,
)


class Puppet:
    """One run; the script decides what it does."""

    def __init__(self, ctx: AccountContext, theatre: Theatre) -> None:
        self.ctx = ctx
        self.theatre = theatre
        self.sent: list[Outgoing] = []
        self.is_over = False
        theatre.runs.append(self)
        theatre.on_make(self)

    async def run(self) -> None:
        try:
            await self.theatre.script(self)
        finally:
            self.is_over = True

    async def send(self, message: Outgoing) -> Receipt:
        self.sent.append(message)
        return Receipt(f"p-{len(self.sent)}")


async def stay(puppet: Puppet) -> None:
    """Connect and receive for ever."""
    puppet.ctx.connected()
    await asyncio.Event().wait()


@dataclass
class Theatre:
    """Where puppets play: a manifest whose runtime is here."""

    script: Script = stay
    runs: list[Puppet] = field(default_factory=list)
    on_make: Callable[[Puppet], None] = lambda _puppet: None

    def manifest(self, channel: str = "puppet", **facts: Any) -> Manifest:
        theatre = self

        class Here(Manifest):
            def load(self) -> Callable[[AccountContext], Puppet]:
                return lambda ctx: Puppet(ctx, theatre)

        wanted = {"stall_after_s": None, **facts}
        return Here(id=channel, label=channel.title(), config="", runtime="", **wanted)

    def run_of(self, account: str) -> Puppet:
        """The newest run of an account."""
        return next(run for run in reversed(self.runs) if run.ctx.account == account)


class Ledger:
    """Stands for the inbox: what was taken in, in order."""

    def __init__(self, store: Store) -> None:
        self.taken: list[InboundMessage] = []
        self._store = store

    async def take(self, message: InboundMessage, *, beside: Callable[[], Work[None]]) -> Received:
        await self._store.write(beside)
        known = any(one.event_key == message.event_key for one in self.taken)
        if not known:
            self.taken.append(message)
        return Received(Verdict.ADMIT, duplicate=known)

    async def is_wanted(self, message: InboundMessage) -> bool:
        return message.sender != "eve"


def entry(account: str = "a", *, channel: str = "puppet", **changes: Any) -> AccountEntry:
    config = AccountConfig(dm_policy="open", allow_from=("*",))
    return replace(AccountEntry(channel, account, enabled=True, config=config), **changes)


def said(key: str, text: str = "hello", *, sender: str = "ann") -> InboundMessage:
    return InboundMessage(
        channel="", account="", event_key=key, peer=Peer("direct", sender), sender=sender, text=text
    )


class Stage:
    """Accounts on a store, as one gateway keeps them."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        theatre: Theatre,
        *entries: AccountEntry,
        owner: str = "me",
        alone: bool = True,
        facts: dict[str, Any] | None = None,
        notices: Any = None,
        **settings: Any,
    ) -> None:
        self.failures: list[tuple[str, BaseException]] = []
        self.tasks = Tasks(lambda name, error: self.failures.append((name, error)))
        self.registry = ChannelRegistry()
        self.doors = Doors()
        self.ledger = Ledger(store)
        self.ready: list[tuple[str, str]] = []
        wanted = entries or (entry(),)
        channels = {one.channel for one in wanted}
        found = {name: theatre.manifest(name, **(facts or {})) for name in channels}
        self.accounts = Accounts(
            wanted,
            manifests=lambda: found,
            store=store,
            clock=SystemClock(),
            tasks=self.tasks,
            intake=self.ledger,
            registry=self.registry,
            doors=self.doors,
            owner=owner,
            alone=alone,
            settings=AccountSettings(folder=folder, **{"rules": FAST, **settings}),
            notices=notices,
            on_ready=lambda channel, account: self.ready.append((channel, account)),
        )

    async def __aenter__(self) -> Self:
        self.accounts.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.accounts.stop()
        await self.tasks.stop()

    def account(self, name: str = "a", channel: str = "puppet") -> Supervisor:
        found = self.accounts.find(channel, name)
        assert found is not None
        return found

    async def until(self, state: str, name: str = "a", channel: str = "puppet") -> Supervisor:
        account = self.account(name, channel)
        await eventually(lambda: account.state.value == state)
        return account
