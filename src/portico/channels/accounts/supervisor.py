"""Keeps one account as it is wanted: starts it, watches it, tears it down, waits, starts again.

Guarantees:
    - At most one run at a time; the next begins only when the last is torn down, with a higher
      generation. A reader that will not end can hand nothing in any more.
    - Health comes from the receiving side: a run that gave no sign of life for the channel's time
      is ended and begun anew, whatever was sent meanwhile.
    - Nothing an account raises leaves this module; the state says what happened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
import structlog

from portico.channels.accounts import store as account_store
from portico.channels.accounts.life import (
    FAILURES,
    AccountState,
    End,
    RestartRules,
    after_end,
    may_become,
)
from portico.channels.accounts.run import EventEffect, Intake, Menu, Run
from portico.channels.accounts.store import AccountRow, Begun
from portico.channels.contract import (
    AuthExpired,
    ChannelError,
    Misconfigured,
    NotReady,
    Outgoing,
    OutgoingPoll,
    Polls,
    Receipt,
    Rejected,
    RunningAccount,
)
from portico.channels.doors import Doors
from portico.channels.live import PreviewGate
from portico.channels.manifest import Manifest, MissingExtra
from portico.channels.model import InboundMessage
from portico.clock import Clock
from portico.config.channels import AccountEntry
from portico.protocol.errors import InvalidRequest
from portico.store import Store
from portico.tasks import Tasks

log = structlog.get_logger()

S = AccountState
CLAIM_AGAIN_S = 5.0
SHORTEST_LOOK_S = 0.001
Ended = tuple[End, str | None]


class Watcher(Protocol):
    """Who is told of every change of state, and of messages that will be answered."""

    def admitted(self, account: Supervisor, message: InboundMessage, run_id: str) -> None:
        """A message will be answered."""
        ...

    def changed(self, account: Supervisor, before: AccountState) -> None:
        """An account is in another state now."""
        ...

    def healthy(self, account: Supervisor) -> None:
        """An account has received for long enough to be called well."""
        ...


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What all accounts of a gateway share."""

    store: Store
    clock: Clock
    tasks: Tasks
    intake: Intake
    effect: EventEffect
    doors: Doors
    watcher: Watcher
    owner: str
    alone: bool
    lease_s: float
    rules: RestartRules
    stall_s: float | None
    folder: Path
    menu: Menu


class Supervisor:
    """One account."""

    def __init__(self, entry: AccountEntry, manifest: Manifest, around: Surroundings) -> None:
        self.channel = entry.channel
        self.account = entry.account
        self.manifest = manifest
        self.entry = entry
        self.desired = "running"
        self.state = S.OFF
        self.failures = 0
        self.seen = AccountRow(channel=entry.channel, account=entry.account)
        self.previews = PreviewGate()
        self._around = around
        self._run: Run | None = None
        self._account: RunningAccount | None = None
        self._reader: asyncio.Task[Ended] | None = None
        self._connected_s: float | None = None
        self._nudged = asyncio.Event()
        self._ending: End | None = None

    # -- what others ask -------------------------------------------------------------------------

    @property
    def keyed(self) -> bool:
        """Whether sending the same delivery id twice is harmless."""
        return self.manifest.capabilities.keyed

    @property
    def shared(self) -> bool:
        """Whether every replica runs it."""
        return self.entry.config is not None and not self.entry.config.exclusive

    @property
    def live(self) -> RunningAccount | None:
        """The account, while it is connected."""
        return self._account if self.state is S.CONNECTED else None

    @property
    def shows_previews(self) -> bool:
        """Whether answers are shown while they grow."""
        return self.entry.config is not None and self.entry.config.streaming != "off"

    @property
    def text_limit(self) -> int:
        """The longest text of one message."""
        most, config = self.manifest.text_limit, self.entry.config
        wanted = None if config is None else config.text_chunk_limit
        return most if wanted is None else min(most, wanted)

    @property
    def takes_polls(self) -> bool:
        """Whether polls can be sent through it."""
        return self.manifest.capabilities.polls

    @property
    def is_wanted(self) -> bool:
        """Whether it should run."""
        return self.entry.enabled and self.desired == "running"

    @property
    def has_lease(self) -> bool:
        """Whether this replica believes to have the account for itself."""
        return self._run is not None and not self.shared

    @property
    def error(self) -> str | None:
        """What is wrong, or was last."""
        return self.seen.last_error

    async def send(self, message: Outgoing) -> Receipt:
        """Send one message.

        Raises:
            NotReady: the account is not connected.
            ChannelError: see the contract.
        """
        live = self._connected()
        async with self.previews.final(message.run_id):
            receipt = await live.send(message)
        self._note(sent_at=self._around.clock.now_ms())
        return receipt

    async def send_poll(self, poll: OutgoingPoll) -> Receipt:
        """Send a poll.

        Raises:
            NotReady: the account is not connected.
            Rejected: the channel has no polls.
            ChannelError: see the contract.
        """
        live = self._connected()
        if not isinstance(live, Polls):
            raise Rejected(f"{self.channel} takes no polls")
        receipt = await live.send_poll(poll)
        self._note(sent_at=self._around.clock.now_ms())
        return receipt

    def _connected(self) -> RunningAccount:
        live = self.live
        if live is None:
            raise NotReady(f"{self.channel}:{self.account} is {self.state}")
        return live

    def snapshot(self) -> AccountRow:
        """Return what is to be seen of it, with the times of the run."""
        run = self._run
        if run is not None:
            received = run.received_ms or self.seen.received_at
            self._note(alive_at=run.alive_ms or self.seen.alive_at, received_at=received)
        return msgspec.structs.replace(
            self.seen, desired=self.desired, observed=self.state.value, failures=self.failures
        )

    async def make_idle(self) -> tuple[RunningAccount, Run]:
        """Return an account that does not run, to log in or out; the caller closes its context.

        Raises:
            InvalidRequest: it cannot be made.
        """
        if (missing := self._broken()) is not None:
            raise InvalidRequest(missing)
        run = self._context(Begun(self.seen.generation, self.seen.fence, self.seen.cursor, 0))
        try:
            make = await asyncio.to_thread(self.manifest.load)
            return make(run), run
        except Exception as error:
            await run.close(None, within_s=self._around.rules.teardown_s)
            raise InvalidRequest(f"{type(error).__name__}: {error}") from error

    # -- what others want ------------------------------------------------------------------------

    def recall(self, row: AccountRow) -> None:
        """Go on from what an earlier process recorded."""
        self.seen, self.desired = row, row.desired

    def configure(self, entry: AccountEntry) -> None:
        """Use other settings; a run with the old ones ends."""
        if entry != self.entry:
            self.entry = entry
            self.failures = 0
            self._end(End.UNWANTED)

    def surround(self, around: Surroundings) -> None:
        """Share something else with the other accounts from now on."""
        self._around = around

    def want(self, desired: str) -> None:
        """Start it, or stop it; an account that waits is started at once."""
        is_change, self.desired = desired != self.desired, desired
        if desired == "running":
            self.failures = 0
            self._nudged.set()
        elif is_change:
            self._end(End.UNWANTED)

    def lose(self) -> None:
        """Another replica has it now."""
        self._end(End.TAKEN)

    def nudge(self) -> None:
        """Look again whether something can be done."""
        self._nudged.set()

    def _end(self, why: End) -> None:
        self._ending = why
        self._nudged.set()

    # -- what the run says -----------------------------------------------------------------------

    def connected(self, identity: Mapping[str, Any] | None) -> None:
        """It receives."""
        if self.state in {S.STARTING, S.LOST}:
            clock = self._around.clock
            self._connected_s = clock.monotonic_s()
            self._note(connected_at=clock.now_ms(), last_error=None)
            if identity is not None:
                self._note(identity=dict(identity))
            self._become(S.CONNECTED)

    def disconnected(self, reason: str) -> None:
        """It does not, and mends it by itself."""
        if self.state is S.CONNECTED:
            self._connected_s = None
            self._note(last_error=reason)
            self._become(S.LOST)

    def admitted(self, message: InboundMessage, run_id: str) -> None:
        """A message will be answered."""
        self._around.watcher.admitted(self, message, run_id)

    # -- the life --------------------------------------------------------------------------------

    async def supervise(self) -> None:
        """Keep the account as it is wanted, until cancelled."""
        try:
            while True:
                self._nudged.clear()
                self._ending = None
                if not self.is_wanted:
                    await self._rest(S.OFF)
                elif (why := self._missing()) is not None:
                    self._note(last_error=why)
                    await self._rest(S.UNUSABLE)
                else:
                    await self._try()
        finally:
            await self._tear_down()

    def _missing(self) -> str | None:
        broken, config = self._broken(), self.entry.config
        return broken if config is None else config.missing

    def _broken(self) -> str | None:
        if self.entry.config is not None:
            return None
        return "; ".join(f"{issue.path} {issue.message}" for issue in self.entry.problems)

    async def _try(self) -> None:
        """One run, from the claim to the wait after its end."""
        try:
            begun = await self._claim()
        except Exception as error:  # noqa: BLE001 - the database is away: not the account's fault
            log.warning("channel.claim_failed", **self._names(), error=repr(error))
            self._note(last_error="the database does not answer")
            await self._rest(S.WAITING, min(CLAIM_AGAIN_S, self._around.rules.longest_s))
            return
        if begun is None:
            await self._rest(S.STANDBY, self._around.lease_s / 3)
            return
        self._begin(begun)
        end, error_text = await self._run_once(begun)
        was_healthy = self._is_healthy()
        self._become(S.CLOSING)
        await self._tear_down()
        rules = self._around.rules
        follow = after_end(end, failures=self.failures, was_healthy=was_healthy, rules=rules)
        self.failures = follow.failures
        self._note(stopped_at=self._around.clock.now_ms())
        if end in FAILURES:
            self._note(restarts=self.seen.restarts + 1)
        if error_text is not None:
            self._note(last_error=error_text)
        if end in {End.UNWANTED, End.TAKEN}:  # what is wanted now decides, without a wait
            self._become(follow.state)
        else:
            await self._rest(follow.state, follow.delay_s or None)

    async def _claim(self) -> Begun | None:
        around = self._around
        now = around.clock.now_ms()
        return await around.store.write(
            account_store.begin,
            self.channel,
            self.account,
            owner=around.owner,
            shared=self.shared,
            alone=around.alone,
            lease_until=now + int(around.lease_s * 1000),
            now=now,
        )

    def _begin(self, begun: Begun) -> None:
        self._connected_s = None
        self._note(
            generation=begun.generation,
            fence=begun.fence,
            cursor=begun.cursor,
            owner=None if self.shared else self._around.owner,
            started_at=self._around.clock.now_ms(),
        )
        self._become(S.STARTING)

    async def _run_once(self, begun: Begun) -> Ended:
        """Make the account, run it and watch it; return why it is over."""
        run = self._run = self._context(begun)
        try:
            make = await asyncio.to_thread(self.manifest.load)
            self._account = make(run)
        except Exception as error:  # noqa: BLE001 - whatever a channel raises is its state
            return self._ended(error)
        self._reader = self._around.tasks.start(
            self._receive(self._account), name=f"channel:{self.channel}:{self.account}"
        )
        self._reader.add_done_callback(lambda _task: self._nudged.set())
        return await self._watch(run, self._reader)

    def _context(self, begun: Begun) -> Run:
        around = self._around
        return Run(
            channel=self.channel,
            account=self.account,
            config=self.entry.config,
            generation=begun.generation,
            cursor=begun.cursor,
            owner=around.owner,
            shared=self.shared,
            store=around.store,
            clock=around.clock,
            intake=around.intake,
            effect=around.effect,
            doors=around.doors,
            listener=self,
            folder=around.folder / self.channel / quote(self.account, safe=""),
            menu=around.menu(),
        )

    async def _receive(self, account: RunningAccount) -> Ended:
        try:
            await account.run()
        except Exception as error:  # noqa: BLE001 - as above
            return self._ended(error)
        return End.FAILED, "the account stopped receiving"

    def _ended(self, error: BaseException) -> Ended:
        match error:
            case AuthExpired():
                return End.LOGGED_OUT, str(error)
            case Misconfigured() | MissingExtra():
                return End.UNUSABLE, str(error)
            case _:
                text = f"{type(error).__name__}: {error}"
                if not isinstance(error, ChannelError | OSError) and text != self.error:
                    # Not the network's weather: where it comes from is worth a look, once.
                    log.warning("channel.failed", **self._names(), exc_info=error)
                return End.FAILED, text

    async def _watch(self, run: Run, reader: asyncio.Task[Ended]) -> Ended:
        told_healthy = False
        while True:
            if self._ending is not None:
                return self._ending, None
            if reader.done():
                cancelled = (End.FAILED, "the account was cancelled")
                return cancelled if reader.cancelled() else reader.result()
            if (failure := run.failure) is not None:
                return self._ended(failure)
            if (overdue := self._overdue(run)) is not None:
                return overdue
            if not told_healthy and self._is_healthy():
                told_healthy = True
                self.failures = 0
                self._around.watcher.healthy(self)
            await self._nudge_within(self._look_again_s(run, told_healthy=told_healthy))

    def _overdue(self, run: Run) -> Ended | None:
        now_s, rules = self._around.clock.monotonic_s(), self._around.rules
        if self.state is S.STARTING:
            if now_s - run.begun_s >= rules.connect_s:
                return End.NOT_CONNECTED, f"not connected within {rules.connect_s:g} s"
            return None
        stall_s = self._stall_s
        if stall_s is not None and now_s - run.alive_s >= stall_s:
            return End.STALLED, f"nothing was received for {stall_s:g} s"
        return None

    def _look_again_s(self, run: Run, *, told_healthy: bool) -> float | None:
        rules, stall_s = self._around.rules, self._stall_s
        if self.state is S.STARTING:
            due_s = [run.begun_s + rules.connect_s]
        else:
            due_s = [] if stall_s is None else [run.alive_s + stall_s]
            if not told_healthy and self._connected_s is not None:
                due_s.append(self._connected_s + rules.healthy_s)
        if not due_s:
            return None
        return max(SHORTEST_LOOK_S, min(due_s) - self._around.clock.monotonic_s())

    @property
    def _stall_s(self) -> float | None:
        own = self.manifest.stall_after_s
        return None if own is None else self._around.stall_s or own

    def _is_healthy(self) -> bool:
        if self._connected_s is None:
            return False
        been_s = self._around.clock.monotonic_s() - self._connected_s
        return been_s >= self._around.rules.healthy_s

    async def _tear_down(self) -> None:
        run, reader = self._run, self._reader
        if run is not None:
            self.snapshot()
            await run.close(reader, within_s=self._around.rules.teardown_s)
        self._run = self._account = self._reader = None

    async def _rest(self, state: AccountState, delay_s: float | None = None) -> None:
        """Be in a state until nudged, or for a time."""
        if state is not self.state:
            self._become(state)
        await self._nudge_within(delay_s)

    async def _nudge_within(self, delay_s: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._nudged.wait()
        self._nudged.clear()

    def _become(self, state: AccountState) -> None:
        before, self.state = self.state, state
        assert may_become(before, state), (before, state)  # noqa: S101 - the table is the law
        if state in {S.CONNECTED, S.LOST}:
            self._nudged.set()  # other times count now
        self._around.watcher.changed(self, before)

    def _note(self, **seen: Any) -> None:
        self.seen = msgspec.structs.replace(self.seen, **seen)

    def _names(self) -> dict[str, str]:
        return {"channel": self.channel, "account": self.account}
