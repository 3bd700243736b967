"""Every RPC method on real parts, called through the dispatcher as a door would call it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from portico.agents.echo import EchoRuntime
from portico.agents.rpc import AgentMethods
from portico.agents.rpc_models import ModelMethods
from portico.agents.service import Agent, Agents
from portico.approvals.policy import ExecPolicy
from portico.approvals.rpc import ApprovalMethods
from portico.approvals.rpc_policy import PolicyMethods
from portico.approvals.service import Approvals, ApprovalSettings
from portico.audit.service import Audit
from portico.auth.model import Principal
from portico.automation.assembly import Automation, AutomationSettings
from portico.automation.cron.assembly import CronSettings
from portico.automation.heartbeat.model import HeartbeatSettings
from portico.budgets.model import Plan
from portico.budgets.rpc import BudgetMethods
from portico.budgets.service import Budgets
from portico.channels.registry import ChannelRegistry
from portico.channels.webchat import WebchatChannel
from portico.chat.commands.about import AboutCommands
from portico.chat.commands.book import CommandBook
from portico.chat.commands.conversation import ConversationCommands
from portico.chat.commands.operating import OperatingCommands
from portico.chat.commands.orders import Orders
from portico.chat.commands.rules import CommandRules, CommandSettings
from portico.chat.commands.thinking import ThinkingCommands
from portico.chat.resetting import Resets
from portico.chat.rpc import ChatMethods
from portico.chat.runs import AgentRunMethods
from portico.chat.service import ChatService, ChatSettings
from portico.chat.usage.rpc import UsageMethods
from portico.clock import SystemClock
from portico.config.sections.conversation import QueueSettings
from portico.events.hub import Hub, Subscription
from portico.events.presence import Presence, PresenceEntry, StateVersion
from portico.ids import ConnId
from portico.inbox.model import Admitted
from portico.inbox.service import Inbox
from portico.outbox.life import RetryPolicy
from portico.outbox.rpc import SendMethods
from portico.outbox.service import Outbox
from portico.protocol.errors import GatewayError
from portico.protocol.scopes import Role, expand
from portico.rpc.call import Call
from portico.rpc.dispatch import Dispatcher
from portico.rpc.idempotency import StoredIdempotency
from portico.rpc.method import Registry
from portico.sessions.changes import SessionChanges
from portico.sessions.rpc import SessionMethods
from portico.sessions.rpc_read import SessionReadMethods
from portico.sessions.service import Sessions
from portico.store import Store, Work, open_store
from portico.system.health import HealthService
from portico.system.restarts import Restarts
from portico.system.rpc import SystemMethods, SystemSettings
from portico.tasks import Tasks
from portico.turns import background
from portico.turns.model import Enqueued, NewTurn, TurnLimits
from portico.turns.rpc_tasks import TaskMethods
from portico.turns.service import Turns
from tests.support.databases import sqlite_url

PATH = "/usr/local/bin:/usr/bin:/bin"
ALL_SCOPES = ("operator.admin", "operator.read", "operator.write")


class Lanes:
    """Puts admitted messages into lanes, in order unless they say otherwise."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def enqueue(self, message: Admitted) -> Work[Enqueued]:
        routing = message.routing
        return self._turns.enqueue(
            NewTurn(
                run_id=message.run_id,
                session_key=routing.session_key,
                agent_id=routing.agent_id,
                request=message.request,
                reply_route=message.reply_route,
                fingerprint=message.fingerprint,
                queue_mode=routing.queue_mode or "followup",
                cap=20,
                drop=routing.drop or "new",
                task=background.kind_of(
                    message.channel, message.request, created_via=routing.created_via
                ),
                asked_by=background.asked_by(message.channel, message.reply_route),
            )
        )

    def begin(self, enqueued: Enqueued) -> None:
        self._turns.begin(enqueued)


@dataclass
class Follower:
    """A connection that keeps every event it is sent."""

    subscription: Subscription
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def conn_id(self) -> ConnId:
        return self.subscription.conn_id

    def send_event(self, frame: bytes, *, droppable: bool) -> bool:
        self.events.append(msgspec.json.decode(frame))
        return True

    def follow_session_list(self, following: bool) -> None:
        self.subscription.session_list = following

    def follow_session(self, session_key: str, following: bool) -> None:
        self.subscription.follow(session_key, following=following)

    def named(self, name: str) -> list[Any]:
        """The payloads of one event, in order."""
        return [event["payload"] for event in self.events if event["event"] == name]


def principal(*scopes: str, subject: str = "tester", device_id: str | None = None) -> Principal:
    return Principal(
        role=Role.OPERATOR,
        granted=scopes,
        scopes=expand(frozenset(scopes)),
        method="token",
        subject=subject,
        client_id="test",
        device_id=device_id,
        local=True,
    )


class House:
    """The conversation side of a gateway, without its doors."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        *,
        agents: list[Agent] | None = None,
        budgets: Plan | None = None,
        commands: CommandSettings | None = None,
        heartbeats: dict[str, HeartbeatSettings] | None = None,
    ) -> None:
        self.failures: list[BaseException] = []
        self.clock = clock = SystemClock()
        self.store = store
        self.log_file = folder / "portico.log"
        self.tasks = tasks = Tasks(lambda _name, error: self.failures.append(error))
        self.hub = hub = Hub(epoch="boot_test", window=100, window_bytes=1 << 20)
        version = StateVersion()
        self.presence = Presence(
            hub_publish=hub.publish,
            clock=clock,
            state_version=version,
            self_entry=PresenceEntry(ts=0, host="here", mode="gateway", reason="self"),
            later=lambda delay_s, call: asyncio.get_running_loop().call_later(delay_s, call),
        )
        self.agents = Agents(agents or [Agent("main", EchoRuntime())], "main")
        self.changes = SessionChanges(
            store=store, hub=hub, clock=clock, agents=self.agents, tasks=tasks
        )
        self.sessions = Sessions(
            store=store,
            clock=clock,
            changes=self.changes,
            agents=self.agents,
            store_path="/somewhere/portico.sqlite",
        )
        self.approvals = Approvals(
            store=store,
            clock=clock,
            hub=hub,
            policy=ExecPolicy(folder / "exec-approvals.json", search_path=PATH, clock=clock),
            tasks=tasks,
            owner="test",
            alone=True,
            settings=ApprovalSettings(),
        )
        self.senders = ChannelRegistry()
        self.webchat = WebchatChannel(
            store=store, clock=clock, hub=hub, changes=self.changes, default_agent=lambda: "main"
        )
        self.senders.register("webchat", "default", self.webchat)
        self.outbox = Outbox(
            store=store,
            clock=clock,
            senders=self.senders,
            tasks=tasks,
            owner="test",
            alone=True,
            policy=RetryPolicy(),
        )
        self.budgets = Budgets(store=store, clock=clock, plan=budgets or Plan())
        self.turns = Turns(
            store=store,
            clock=clock,
            hub=hub,
            runtimes=self.agents,
            outbox=self.outbox,
            changes=self.changes,
            tasks=tasks,
            owner="test",
            alone=True,
            limits=TurnLimits(live_text_ms=1),
            budgets=self.budgets,
        )
        self.idempotency = StoredIdempotency(store, clock)
        self.resets = Resets(sessions=self.sessions, turns=self.turns, once=self.idempotency)
        self.audit = Audit(store, clock=clock)
        self.orders = self._orders(commands or CommandSettings())
        self.inbox = Inbox(store=store, clock=clock, lanes=Lanes(self.turns), orders=self.orders)
        self.chat = ChatService(
            inbox=self.inbox,
            turns=self.turns,
            sessions=self.sessions,
            agents=self.agents,
            hub=hub,
            clock=clock,
            resets=self.resets,
            orders=self.orders,
            settings=ChatSettings(),
            is_channel=self.senders.is_known,
        )
        self.automation = Automation(
            store=store,
            clock=clock,
            hub=hub,
            tasks=tasks,
            agents=self.agents,
            senders=self.senders,
            sessions=self.sessions,
            inbox=self.inbox,
            turns=self.turns,
            outbox=self.outbox,
            once=self.idempotency,
            boot_id="boot_test",
            alone=True,
            settings=AutomationSettings(
                CronSettings(max_jobs=5, min_interval_ms=100), heartbeats or {}
            ),
        )
        self.health = HealthService(
            store=store,
            clock=clock,
            hub=hub,
            agents=self.agents,
            state_version=version,
            tasks=tasks,
            heartbeat_of=self.automation.heartbeats.shown,
            store_path="/somewhere/portico.sqlite",
        )
        self.registry = Registry()
        for feature in self._features():
            self.registry.add(feature)
        self.dispatcher = Dispatcher(self.registry, self.idempotency, clock)
        self.operator = principal(*ALL_SCOPES)

    def _orders(self, settings: CommandSettings) -> Orders:
        sessions, turns = self.sessions, self.turns
        self.restarts = Restarts(self.clock)
        rules = CommandRules(settings, is_channel=lambda channel: channel == "fake")
        features = (
            AboutCommands(
                sessions=sessions,
                turns=turns,
                agents=self.agents,
                clock=self.clock,
                started_ms=self.clock.now_ms(),
                queue=QueueSettings,
            ),
            ConversationCommands(sessions=sessions, turns=turns, resets=self.resets),
            ThinkingCommands(
                sessions=sessions,
                agents=self.agents,
                budgets=self.budgets,
                store=self.store,
                clock=self.clock,
            ),
            OperatingCommands(approvals=self.approvals, restarts=self.restarts, rules=rules),
        )
        return Orders(
            CommandBook(features),
            rules,
            store=self.store,
            clock=self.clock,
            hub=self.hub,
            tasks=self.tasks,
            lanes=Lanes(turns),
            outbox=self.outbox,
            changes=self.changes,
            audit=self.audit,
            owner="test",
            alone=True,
        )

    def _features(self) -> list[object]:
        chat, sessions, turns, agents = self.chat, self.sessions, self.turns, self.agents
        return [
            ChatMethods(
                chat=chat,
                sessions=sessions,
                turns=turns,
                agents=agents,
                hub=self.hub,
                book=self.orders.book,
            ),
            AgentRunMethods(
                chat=chat,
                orders=self.orders,
                turns=turns,
                sessions=sessions,
                agents=agents,
                clock=self.clock,
            ),
            TaskMethods(turns=turns, sessions=sessions, store=self.store),
            UsageMethods(
                store=self.store,
                clock=self.clock,
                sessions=sessions,
                agents=agents,
                budgets=self.budgets,
            ),
            BudgetMethods(budgets=self.budgets, clock=self.clock),
            SessionReadMethods(sessions=sessions, clock=self.clock),
            SessionMethods(
                sessions=sessions, agents=agents, lanes=turns, talk=chat, clock=self.clock
            ),
            AgentMethods(agents=agents),
            ApprovalMethods(approvals=self.approvals, clock=self.clock),
            PolicyMethods(self.approvals.policy),
            ModelMethods(agents=agents, clock=self.clock),
            SendMethods(outbox=self.outbox, store=self.store, senders=self.senders),
            *self.automation.methods,
            SystemMethods(
                health=self.health,
                presence=self.presence,
                sessions=sessions,
                agents=agents,
                store=self.store,
                clock=self.clock,
                config_snapshot=lambda: {"valid": True, "hash": "h"},
                heartbeat_of=self.automation.heartbeats.shown,
                wake=self.automation.waker.wake,
                settings=SystemSettings(version="1.2.3", log_file=self.log_file),
            ),
        ]

    async def start(self) -> None:
        await self.outbox.start()
        await self.approvals.start()
        await self.turns.start()
        await self.orders.start()
        await self.automation.start()

    async def stop(self) -> None:
        self.automation.drain()
        await self.turns.drain(5)
        await self.outbox.drain(5)
        await self.tasks.stop()

    def connect(
        self,
        name: str = "conn",
        *scopes: str,
        scoped: bool = False,
        device_id: str | None = None,
    ) -> Follower:
        """Connect somebody who keeps what it is sent."""
        granted = expand(frozenset(scopes or ALL_SCOPES))
        held = Subscription(ConnId(name), None, "operator", granted, device_id, scoped=scoped)  # type: ignore[arg-type]  # set below
        follower = Follower(held)
        held.sink = follower
        self.hub.subscribe(held)
        return follower

    async def call(
        self,
        name: str,
        params: dict[str, Any] | None = None,
        *,
        over: Follower | None = None,
        by: Principal | None = None,
        early: list[Any] | None = None,
    ) -> Any:
        """Call a method; return its result as JSON shows it."""
        accept = (early if early is not None else []).append
        call = Call(by or self.operator, over, accept)
        raw = msgspec.json.encode(params or {})
        result = await self.dispatcher.request(name, raw, call)
        return msgspec.json.decode(msgspec.json.encode(result))

    async def refusal(self, name: str, params: dict[str, Any] | None = None, **how: Any) -> Any:
        """Call a method that must refuse; return the error as JSON shows it."""
        try:
            result = await self.call(name, params, **how)
        except GatewayError as error:
            return {**msgspec.to_builtins(error.shape()), "payload": error.payload}
        raise AssertionError(f"{name} answered {result}")

    async def say(self, key: str, text: str, run_id: str) -> dict[str, Any]:
        """Send a message and wait until it is answered."""
        early: list[Any] = []
        params = {"sessionKey": key, "message": text, "idempotencyKey": run_id}
        answer: dict[str, Any] = await self.call("agent", params, early=early)
        return answer


@asynccontextmanager
async def open_house(folder: Path, *, url: str | None = None, **parts: Any) -> AsyncIterator[House]:
    """A started house on a database of its own, or the one at a URL."""
    store = open_store(url or sqlite_url(folder))
    await store.start()
    house = House(folder, store, **parts)
    await house.start()
    try:
        yield house
    finally:
        await house.stop()
        await store.stop()
        assert house.failures == []
