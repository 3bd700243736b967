"""The message path: from a door through inbox, lanes and turns to the outbox and a channel."""

from __future__ import annotations

from portico.chat.resetting import Resets
from portico.inbox.policy import OPEN_DOOR, DoorPolicy
from portico.inbox.routing import Router
from portico.inbox.service import Inbox
from portico.media.attached import build_attached
from portico.media.configured import build_media
from portico.outbox.service import Outbox
from portico.turns.model import TurnLimits
from portico.turns.service import Turns
from portico.wiring.budgets import build_budgets
from portico.wiring.channels import ChannelParts, retry_policy
from portico.wiring.commands import build_orders, menu_of
from portico.wiring.conversation import Conversation
from portico.wiring.ground import Ground
from portico.wiring.kernel import Kernel
from portico.wiring.lanes import ConfiguredLanes
from portico.wiring.settings import Vouching, message_api_policy

RESIDENTS = ("webchat", "openai", "cron", "hook", "node")
"""Channels of the house itself: whoever reaches one was let in before."""


class MessagePath:
    """What a message walks through."""

    def __init__(self, ground: Ground, kernel: Kernel, conversation: Conversation) -> None:
        self.attached = build_attached(
            ground.live, env=ground.env, store=ground.store, clock=ground.clock
        )
        self.budgets = build_budgets(
            ground.live, store=ground.store, clock=ground.clock, metrics=ground.metrics
        )
        self._build_outbox(ground, conversation)
        self._build_turns(ground, conversation)
        self.media = build_media(
            ground.live,
            env=ground.env,
            clock=ground.clock,
            registry=conversation.toolbox.registry,
            find_turn=self.turns.find,
        )
        self._build_channels(ground, conversation)
        self._build_orders(ground, kernel, conversation)
        self._build_inbox(ground, conversation)
        self.accounts = self.channels.build_accounts(
            self.inbox, self.turns, menu=lambda: menu_of(self.orders)
        )

    def _build_outbox(self, ground: Ground, conversation: Conversation) -> None:
        self.outbox = Outbox(
            store=ground.store,
            clock=ground.clock,
            senders=conversation.senders,
            tasks=ground.tasks,
            owner=ground.boot_id,
            alone=ground.alone,
            policy=retry_policy(ground.config),
            prepare=lambda m: self.media.outgoing.prepare(m),  # noqa: PLW0108  # it is built later
            metrics=ground.metrics,
        )

    def _build_turns(self, ground: Ground, conversation: Conversation) -> None:
        config = ground.config
        self.turns = Turns(
            store=ground.store,
            clock=ground.clock,
            hub=ground.hub,
            runtimes=conversation.agents,
            outbox=self.outbox,
            changes=conversation.changes,
            tasks=ground.tasks,
            owner=ground.boot_id,
            alone=ground.alone,
            limits=TurnLimits(
                max_concurrent=config.agents.defaults.max_concurrent,
                live_text_ms=config.gateway.limits.live_text_ms,
            ),
            budgets=self.budgets,
            files=self.attached.turns,
            metrics=ground.metrics,
        )
        self.lanes = ConfiguredLanes(self.turns, config.messages.queue)
        ground.metrics.gauge(
            "portico_turns_running", "Turns running here.", lambda: float(self.turns.running)
        )

    def _build_channels(self, ground: Ground, conversation: Conversation) -> None:
        self._residents = dict.fromkeys(RESIDENTS, OPEN_DOOR)
        self.open_message_door(message_api_policy(ground.config))
        self.channels = ChannelParts(
            ground.live,
            store=ground.store,
            clock=ground.clock,
            tasks=ground.tasks,
            outbox=self.outbox,
            registry=conversation.senders,
            agents=conversation.agents,
            residents=self._residents.get,
            owner=ground.boot_id,
            alone=ground.alone,
        )
        conversation.toolbox.narrow(self.channels.rules.tools_of)

    def open_message_door(self, policy: DoorPolicy) -> None:
        """Let others write by HTTP from now on."""
        self.message_door = self._residents["http"] = policy

    def _build_orders(self, ground: Ground, kernel: Kernel, conversation: Conversation) -> None:
        self.resets = Resets(
            sessions=conversation.sessions, turns=self.turns, once=kernel.idempotency
        )
        self.orders = build_orders(
            ground.live,
            agents=conversation.agents,
            approvals=conversation.approvals,
            audit=ground.audit,
            budgets=self.budgets,
            changes=conversation.changes,
            clock=ground.clock,
            hub=ground.hub,
            lanes=self.lanes,
            outbox=self.outbox,
            owner=ground.boot_id,
            alone=ground.alone,
            resets=self.resets,
            restarts=ground.restarts,
            senders=conversation.senders,
            sessions=conversation.sessions,
            started_ms=ground.started_ms,
            store=ground.store,
            tasks=ground.tasks,
            turns=self.turns,
        )

    def _build_inbox(self, ground: Ground, conversation: Conversation) -> None:
        config = ground.config
        self.vouching = Vouching(config.tools.trusted)
        self.router = Router(
            agent_for=conversation.agents.route,
            dm_scope=config.session.dm_scope,
            main_key=conversation.main_key,
        )
        self.inbox = Inbox(
            store=ground.store,
            clock=ground.clock,
            files=self.attached.store,
            lanes=self.lanes,
            orders=self.orders,
            policies=self.channels.rules.policy_of,
            vouched_for=self.vouching,
            route=self.router.route,
            metrics=ground.metrics,
        )
