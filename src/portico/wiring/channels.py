"""From the configuration to the channels: how their accounts are kept, and the rules of each.

Not here: what accounts do (`channels`), what happens to a message (`inbox`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from portico.agents.runtime import AgentEvent
from portico.agents.tools.policy import Rules
from portico.channels.access.life import HOUR_MS, MINUTE_MS, PairingRules
from portico.channels.access.pairing import Pairings
from portico.channels.access.policy import AccessPolicy, ClosedPolicy, Pairing
from portico.channels.access.rpc import PairingMethods
from portico.channels.accounts.life import AccountState, RestartRules
from portico.channels.accounts.login import Logins
from portico.channels.accounts.notices import LifecycleNotices
from portico.channels.accounts.run import Menu
from portico.channels.accounts.service import Accounts, AccountSettings
from portico.channels.accounts.status import health_of
from portico.channels.admission import Policy
from portico.channels.configuring import ChannelConfigMethods
from portico.channels.doors import Doors
from portico.channels.live import LiveReplies
from portico.channels.manifest import find_manifests
from portico.channels.model import InboundMessage, Peer, ReplyRoute
from portico.channels.registry import ChannelRegistry
from portico.channels.rpc import ChannelMethods
from portico.clock import Clock
from portico.inbox.channels import ChannelIntake
from portico.inbox.service import Inbox
from portico.outbox.bounces import came_back
from portico.outbox.life import RetryPolicy
from portico.outbox.service import Outbox
from portico.protocol import keys
from portico.store import Store, Work
from portico.tasks import Tasks
from portico.turns.feed import Ended, Started
from portico.turns.service import Turns

if TYPE_CHECKING:
    from portico.agents.service import Agents
    from portico.config.channels import AccountEntry
    from portico.config.live import LiveConfig
    from portico.config.model import PorticoConfig
    from portico.config.service import LoadedConfig

log = structlog.get_logger()


def account_settings(config: PorticoConfig, state_dir: Path) -> AccountSettings:
    """Return how accounts are kept."""
    defaults = config.channels.defaults
    restart = defaults.restart
    return AccountSettings(
        folder=state_dir / "channels",
        lease_s=defaults.lease_ms / 1000,
        stall_s=None if defaults.stall_ms is None else defaults.stall_ms / 1000,
        rules=RestartRules(
            first_s=restart.first_ms / 1000,
            longest_s=restart.longest_ms / 1000,
            break_after=restart.break_after,
            break_s=restart.break_ms / 1000,
            healthy_s=restart.healthy_ms / 1000,
            connect_s=restart.connect_ms / 1000,
            teardown_s=restart.teardown_ms / 1000,
        ),
    )


def retry_policy(config: PorticoConfig) -> RetryPolicy:
    """Return how what could not be sent is tried again."""
    retry = config.channels.defaults.retry
    return RetryPolicy(
        first_s=retry.first_ms / 1000,
        longest_s=retry.longest_ms / 1000,
        max_attempts=retry.attempts,
        expire_after_s=retry.expire_ms / 1000,
        resend_unknown=retry.resend_unknown,
    )


def build_notices(config: PorticoConfig, outbox: Outbox, tasks: Tasks) -> LifecycleNotices:
    """Return who tells the operator how accounts are doing."""
    wanted = config.channels.defaults.notify
    channel, to = wanted.channel, wanted.to
    route = ReplyRoute(
        channel=channel or "",
        account=wanted.account,
        peer=Peer("direct", to),
        thread_id=wanted.thread_id,
    )

    async def send(text: str) -> None:
        try:
            await outbox.send(route, text, media=(), session_key=None)
        except Exception as error:  # it is in the log already
            log.error("channel.notice_failed", exc_info=error)

    def say(text: str) -> None:
        tasks.start(send(text), name="channels.notice")

    return LifecycleNotices(
        say=say if channel and to else None, after_failures=wanted.after_failures
    )


def pairing_rules(config: PorticoConfig) -> PairingRules:
    """Return the numbers of pairing."""
    limits = config.channels.defaults.pairing
    return PairingRules(
        ttl_ms=limits.code_minutes * MINUTE_MS,
        pending=limits.pending,
        per_hour=limits.per_hour,
        wrong_codes=limits.wrong_codes,
        lock_ms=limits.lock_minutes * MINUTE_MS,
        rejected_ms=limits.rejected_hours * HOUR_MS,
    )


class Answers:
    """Lets pairing put its answers into the outbox."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def enqueue(self, route: ReplyRoute, text: str, *, now: int) -> Work[None]:
        """Insert a message, inside a transaction."""
        yield from self._outbox.enqueue(route, text, run_id=None, session_key=None, now=now)

    def wake(self) -> None:
        """Something was committed."""
        self._outbox.wake()


class FollowedRuns:
    """Lets channels follow the runs of this process."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    async def follow(self, run_id: str) -> AsyncIterator[AgentEvent | None]:
        """Yield a run's steps, `None` first when it begins, until it has ended."""
        row = await self._turns.find(run_id)
        feed = None if row is None else self._turns.follow(row)
        if feed is None:
            return
        async for _, step in feed.follow():
            if isinstance(step, Started):
                yield None
            elif isinstance(step, Ended):
                return
            else:
                yield step

    async def has_answer(self, run_id: str) -> bool:
        """Whether an ended run has something to say."""
        row = await self._turns.find(run_id)
        result = None if row is None else row.result
        return result is not None and bool(result.text or result.error)


class AccountRules:
    """The rules of every account: who may write, and which agent answers."""

    def __init__(
        self,
        entries: Iterable[AccountEntry],
        *,
        agents: Agents,
        doors: Callable[[str], Policy | None],
        pairing: Pairing,
    ) -> None:
        """Read the rules.

        Args:
            doors: the policy of channels that have no accounts (`webchat`, `http` …).
        """
        self._agents = agents
        self._doors = doors
        self._pairing = pairing
        self._closed = ClosedPolicy()
        self._policies: dict[tuple[str, str], AccessPolicy] = {}
        self._entries: dict[tuple[str, str], AccountEntry] = {}
        self.apply(entries)

    def apply(self, entries: Iterable[AccountEntry]) -> None:
        """Use other settings from now on."""
        self._entries = {(entry.channel, entry.account): entry for entry in entries}
        self._policies = {
            key: AccessPolicy(entry.config, self._pairing)
            for key, entry in self._entries.items()
            if entry.config is not None
        }

    def policy_of(self, channel: str, account: str) -> Policy:
        """Return who may write to an account."""
        return self._policies.get((channel, account)) or self._doors(channel) or self._closed

    def tools_of(self, route: ReplyRoute) -> Rules | None:
        """Return which tools a group leaves to its agent; `None`: all."""
        policy = self._policies.get((route.channel, route.account))
        if policy is None or route.peer.kind == "direct":
            return None
        rules = policy.group_rules(route)
        if rules is None:
            return None
        name = f"channels.{route.channel}.groups.{route.peer.id}.tools"
        tools = rules.tools
        return Rules(name, tools.profile, tools.allow, tools.also_allow, tools.deny)

    def agent_of(self, message: InboundMessage) -> str | None:
        """Return the agent that a group or an account is set to; `None`: the bindings decide."""
        key = (message.channel, message.account)
        entry, policy = self._entries.get(key), self._policies.get(key)
        wanted = None if entry is None or entry.config is None else entry.config.agent
        if policy is not None and message.peer.kind != "direct":
            rules = policy.group_rules(message.reply_route)
            wanted = (rules.agent if rules else None) or wanted
        if wanted is None:
            return None
        known = self._agents.find(keys.normalize_agent_id(wanted))
        if known is None:
            log.warning("channel.unknown_agent", channel=key[0], account=key[1], agent=wanted)
            return None
        return known.agent_id


class ConnectedAccounts:
    """What a trial of a new configuration looks at: the accounts that were connected."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def connected(self) -> dict[tuple[str, str], object]:
        """Return those that are connected, with what they are made from."""
        return {
            (one.channel, one.account): one.entry
            for one in self._accounts.all()
            if one.state is AccountState.CONNECTED
        }

    def trouble_of(self, account: tuple[str, str], made_from: object, since_ms: int) -> str | None:
        """Say why an account is not connected; those no longer wanted are fine."""
        found = self._accounts.find(*account)
        if found is None or not found.is_wanted:
            return None
        connected_ms = found.snapshot().connected_at or 0
        is_again = found.entry == made_from or connected_ms >= since_ms
        if found.state is AccountState.CONNECTED and is_again:
            return None
        why = f": {found.error}" if found.error else ""
        return f"{account[0]} account {account[1]} is {found.state.value}{why}"


class ChannelParts:
    """Everything about channels: constructed here, in two steps around the inbox."""

    def __init__(
        self,
        live: LiveConfig,
        *,
        store: Store,
        clock: Clock,
        tasks: Tasks,
        outbox: Outbox,
        registry: ChannelRegistry,
        agents: Agents,
        residents: Callable[[str], Policy | None],
        owner: str,
        alone: bool,
    ) -> None:
        """Read the rules that the inbox asks for.

        Args:
            residents: the policy of channels that have no accounts (`webchat`, `http` …).
        """
        self._live = live
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._outbox = outbox
        self._registry = registry
        self._owner = owner
        self._alone = alone
        self.doors = Doors()
        self.pairings = Pairings(
            store=store,
            clock=clock,
            answers=Answers(outbox),
            rules=lambda: pairing_rules(live.loaded.require()),
        )
        self.rules = AccountRules(
            live.loaded.channel_accounts,
            agents=agents,
            doors=residents,
            pairing=self.pairings,
        )

    def build_accounts(self, inbox: Inbox, turns: Turns, *, menu: Menu) -> Accounts:
        """Construct the accounts: known to the outbox from now on, and with a way in."""
        loaded = self._live.loaded
        config = loaded.require()
        self.accounts = Accounts(
            loaded.channel_accounts,
            manifests=find_manifests,
            store=self._store,
            clock=self._clock,
            tasks=self._tasks,
            intake=ChannelIntake(inbox, self.rules.agent_of),
            registry=self._registry,
            doors=self.doors,
            owner=self._owner,
            alone=self._alone,
            settings=account_settings(config, loaded.paths.state_dir),
            notices=build_notices(config, self._outbox, self._tasks),
            live=LiveReplies(runs=FollowedRuns(turns), clock=self._clock, tasks=self._tasks),
            on_ready=self._outbox.account_ready,
            effect=came_back,
            menu=menu,
        )
        self._live.follow("channels", stage=self._stage)
        return self.accounts

    def health(self) -> dict[str, Any]:
        """Return how channels are doing, for the health summary."""
        return health_of(self.accounts.all())

    def methods(self) -> list[object]:
        """Return the features with RPC methods."""
        logins = Logins(self.accounts, store=self._store, tasks=self._tasks)
        return [
            ChannelMethods(
                accounts=self.accounts,
                logins=logins,
                store=self._store,
                clock=self._clock,
                default_account=self.default_account,
            ),
            ChannelConfigMethods(self._live),
            PairingMethods(pairings=self.pairings, accounts=self.accounts),
        ]

    def _stage(self, loaded: LoadedConfig) -> Callable[[], None]:
        settings = account_settings(loaded.require(), loaded.paths.state_dir)

        def commit() -> None:
            self.accounts.configure(settings)
            self.rules.apply(loaded.channel_accounts)
            self.accounts.apply(loaded.channel_accounts)

        return commit

    def default_account(self, channel: str) -> str:
        """Return the account of a channel that is meant when none is named."""
        from portico.config.channels import default_account_of

        return default_account_of(self._live.loaded.require().channels, channel)
