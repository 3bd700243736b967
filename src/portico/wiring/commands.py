"""From the configuration to the commands: what there are, and who may give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico.agents.service import Agents
from portico.approvals.service import Approvals
from portico.audit.service import Audit
from portico.budgets.service import Budgets
from portico.channels.registry import ChannelRegistry
from portico.channels.webchat import CHANNEL as WEBCHAT
from portico.chat.commands.about import AboutCommands
from portico.chat.commands.book import CommandBook
from portico.chat.commands.conversation import ConversationCommands
from portico.chat.commands.operating import OperatingCommands
from portico.chat.commands.orders import Orders
from portico.chat.commands.rules import CommandRules, CommandSettings
from portico.chat.commands.thinking import ThinkingCommands
from portico.chat.resetting import Resets
from portico.clock import Clock
from portico.events.hub import Hub
from portico.inbox.model import LanePort
from portico.outbox.service import Outbox
from portico.sessions.changes import SessionChanges
from portico.sessions.service import Sessions
from portico.store import Store
from portico.system.restarts import Restarts
from portico.tasks import Tasks
from portico.turns.service import Turns

if TYPE_CHECKING:
    from portico.config.live import LiveConfig
    from portico.config.model import PorticoConfig


def command_settings(config: PorticoConfig) -> CommandSettings:
    """Return what is configured of commands."""
    given = config.commands
    return CommandSettings(
        text=given.text,
        in_menus=given.native is not False,
        may_restart=given.restart,
        owners=frozenset(given.owner_allow_from),
        allowed={channel: frozenset(senders) for channel, senders in given.allow_from.items()},
    )


def menu_of(orders: Orders) -> list[tuple[str, str]]:
    """Return what channels with a menu show of the commands: not what is for owners alone."""
    given = orders.rules.settings
    if not given.text or not given.in_menus:
        return []
    return [(one.name, one.description) for one in orders.book if one.audience != "owner"]


def build_orders(
    live: LiveConfig,
    *,
    agents: Agents,
    approvals: Approvals,
    audit: Audit,
    budgets: Budgets,
    changes: SessionChanges,
    clock: Clock,
    hub: Hub,
    lanes: LanePort,
    outbox: Outbox,
    owner: str,
    alone: bool,
    resets: Resets,
    restarts: Restarts,
    senders: ChannelRegistry,
    sessions: Sessions,
    started_ms: int,
    store: Store,
    tasks: Tasks,
    turns: Turns,
) -> Orders:
    """Construct every feature with commands, and who carries them out."""
    rules = CommandRules(
        command_settings(live.loaded.require()),
        is_channel=lambda channel: channel != WEBCHAT and senders.is_known(channel),
    )
    book = CommandBook(
        (
            AboutCommands(
                sessions=sessions,
                turns=turns,
                agents=agents,
                clock=clock,
                started_ms=started_ms,
                queue=lambda: live.loaded.require().messages.queue,
            ),
            ConversationCommands(sessions=sessions, turns=turns, resets=resets),
            ThinkingCommands(
                sessions=sessions, agents=agents, budgets=budgets, store=store, clock=clock
            ),
            OperatingCommands(approvals=approvals, restarts=restarts, rules=rules),
        )
    )
    return Orders(
        book,
        rules,
        store=store,
        clock=clock,
        hub=hub,
        tasks=tasks,
        lanes=lanes,
        outbox=outbox,
        changes=changes,
        audit=audit,
        owner=owner,
        alone=alone,
    )
