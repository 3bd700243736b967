"""From the configuration to the channels: how their accounts are kept, and the rules of each.

Not here: what accounts do (`channels`), what happens to a message (`inbox`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from portico.channels.access.policy import AccessPolicy, ClosedPolicy, NoPairing, Pairing
from portico.channels.accounts.life import RestartRules
from portico.channels.accounts.notices import LifecycleNotices
from portico.channels.accounts.service import AccountSettings
from portico.channels.admission import Policy
from portico.channels.model import InboundMessage, Peer, ReplyRoute
from portico.outbox.service import Outbox
from portico.protocol import keys
from portico.tasks import Tasks

if TYPE_CHECKING:
    from portico.agents.service import Agents
    from portico.config.channels import AccountEntry
    from portico.config.model import PorticoConfig

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


class AccountRules:
    """The rules of every account: who may write, and which agent answers."""

    def __init__(
        self,
        entries: Iterable[AccountEntry],
        *,
        agents: Agents,
        doors: Callable[[str], Policy | None],
        pairing: Pairing | None = None,
    ) -> None:
        """Read the rules.

        Args:
            doors: the policy of channels that have no accounts (`webchat`, `http` …).
        """
        self._agents = agents
        self._doors = doors
        self._pairing = pairing or NoPairing()
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

    def agent_of(self, message: InboundMessage) -> str | None:
        """Return the agent that a group or an account is set to; `None`: the bindings decide."""
        key = (message.channel, message.account)
        entry, policy = self._entries.get(key), self._policies.get(key)
        wanted = None if entry is None or entry.config is None else entry.config.agent
        if policy is not None and message.peer.kind != "direct":
            rules = policy.group_rules(message.peer.id)
            wanted = (rules.agent if rules else None) or wanted
        if wanted is None:
            return None
        known = self._agents.find(keys.normalize_agent_id(wanted))
        if known is None:
            log.warning("channel.unknown_agent", channel=key[0], account=key[1], agent=wanted)
            return None
        return known.agent_id
