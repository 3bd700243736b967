"""Every feature with RPC methods, constructed and registered: what the control plane can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from portico import __version__
from portico.agents.mcp.rpc import McpMethods
from portico.agents.mcp.servers import McpServers
from portico.agents.methods import agent_methods
from portico.agents.service import Agents
from portico.agents.skills.configured import build_skill_methods
from portico.agents.skills.service import Skills
from portico.agents.tools.rpc import ToolMethods
from portico.agents.tools.toolbox import Toolbox
from portico.approvals.questions.service import Questions
from portico.approvals.rpc import ApprovalMethods
from portico.approvals.rpc_policy import PolicyMethods
from portico.approvals.service import Approvals
from portico.audit.service import Audit
from portico.automation.assembly import Automation
from portico.browser.rpc import BrowserMethods
from portico.budgets.rpc import BudgetMethods
from portico.budgets.service import Budgets
from portico.canvas.rpc import CanvasMethods
from portico.channels.registry import ChannelRegistry
from portico.chat.commands.orders import Orders
from portico.chat.rpc import ChatMethods
from portico.chat.runs import AgentRunMethods
from portico.chat.service import ChatService
from portico.chat.usage.rpc import UsageMethods
from portico.clock import Clock
from portico.config.live import LiveConfig
from portico.config.secret_store import SecretStore
from portico.events.hub import Hub
from portico.events.presence import Presence
from portico.inbox.rpc import InboxMethods
from portico.inbox.service import Inbox
from portico.media.speech.rpc import SpeechMethods
from portico.media.speech.service import Speech
from portico.outbox.actions import MessageActions
from portico.outbox.direct import DirectSends
from portico.outbox.rpc import SendMethods
from portico.outbox.rpc_actions import ActionMethods
from portico.outbox.service import Outbox
from portico.push.service import Push
from portico.rpc.method import Registry
from portico.sessions.rpc import SessionMethods
from portico.sessions.rpc_read import SessionReadMethods
from portico.sessions.service import Sessions
from portico.settings.rpc import ConfigMethods
from portico.settings.rpc_audit import AuditMethods
from portico.settings.rpc_model_keys import ModelKeyMethods
from portico.settings.rpc_secrets import SecretMethods
from portico.settings.service import Settings
from portico.store import Store
from portico.system.health import HealthService
from portico.system.restarts import Restarts
from portico.system.rpc import SystemMethods, SystemSettings
from portico.system.rpc_gateway import GatewayMethods
from portico.turns.rpc import LaneMethods
from portico.turns.rpc_tasks import TaskMethods
from portico.turns.service import Turns
from portico.updates.rpc import UpdateMethods
from portico.updates.service import Updates
from portico.wiring.agents import http_tools
from portico.wiring.channels import ChannelParts
from portico.wiring.devices import DeviceParts
from portico.wiring.families import family_methods
from portico.wiring.nodes import NodeParts

if TYPE_CHECKING:
    from portico.config import LoadedConfig


def build_methods(
    loaded: LoadedConfig,
    *,
    agents: Agents,
    approvals: Approvals,
    audit: Audit,
    automation: Automation,
    boot_id: str,
    budgets: Budgets,
    browser: BrowserMethods,
    canvas: CanvasMethods,
    channels: ChannelParts,
    chat: ChatService,
    clock: Clock,
    config_snapshot: Callable[[], dict[str, Any]],
    devices: DeviceParts,
    env: Mapping[str, str],
    health: HealthService,
    hub: Hub,
    inbox: Inbox,
    live: LiveConfig,
    mcp_servers: McpServers,
    nodes: NodeParts,
    orders: Orders,
    outbox: Outbox,
    presence: Presence,
    push: Push,
    restarts: Restarts,
    questions: Questions,
    senders: ChannelRegistry,
    sessions: Sessions,
    secret_store: SecretStore,
    settings: Settings,
    skills: Skills,
    speech: Speech,
    started_ms: int,
    store: Store,
    toolbox: Toolbox,
    turns: Turns,
    updates: Updates,
) -> Registry:
    """Construct every feature with RPC methods and register what it declares."""
    config = loaded.require()
    gateway, main_key = config.gateway, config.session.main_key
    registry = Registry()
    for feature in (
        SystemMethods(
            health=health,
            presence=presence,
            sessions=sessions,
            agents=agents,
            store=store,
            clock=clock,
            config_snapshot=config_snapshot,
            heartbeat_of=automation.heartbeats.shown,
            wake=automation.waker.wake,
            config_status=settings.status,
            degraded_owners=settings.degraded_owners,
            settings=SystemSettings(
                version=__version__,
                log_file=loaded.paths.log_file,
                drain_ms=gateway.shutdown.drain_ms,
            ),
        ),
        ChatMethods(
            chat=chat,
            sessions=sessions,
            turns=turns,
            agents=agents,
            hub=hub,
            book=orders.book,
            max_history_bytes=gateway.limits.chat_history_max_bytes,
        ),
        AgentRunMethods(
            chat=chat, orders=orders, turns=turns, sessions=sessions, agents=agents, clock=clock
        ),
        ToolMethods(
            toolbox=toolbox, agents=agents, main_key=main_key, http_door=http_tools(config)
        ),
        McpMethods(mcp_servers),
        SpeechMethods(speech),
        *build_skill_methods(live, skills=skills, agents=agents, clock=clock, main_key=main_key),
        ApprovalMethods(approvals=approvals, clock=clock, base_path=gateway.control_ui.base_path),
        PolicyMethods(approvals.policy),
        *agent_methods(live=live, agents=agents, clock=clock),
        SessionReadMethods(sessions=sessions, clock=clock),
        SessionMethods(sessions=sessions, agents=agents, lanes=turns, talk=chat, clock=clock),
        UsageMethods(store=store, clock=clock, sessions=sessions, agents=agents, budgets=budgets),
        BudgetMethods(budgets=budgets, clock=clock),
        SendMethods(outbox=outbox, store=store, senders=senders),
        ActionMethods(
            direct=DirectSends(outbox=outbox, senders=senders),
            actions=MessageActions(senders),
            senders=senders,
        ),
        *channels.methods(),
        canvas,
        browser,
        InboxMethods(inbox=inbox, runs=turns, store=store),
        LaneMethods(turns=turns, store=store),
        TaskMethods(turns=turns, sessions=sessions, store=store),
        AuditMethods(audit),
        UpdateMethods(updates, audit=audit),
        GatewayMethods(
            restarts=restarts,
            turns=turns,
            cron=automation.cron.scheduler,
            store=store,
            audit=audit,
            identity_file=loaded.paths.gateway_identity,
        ),
        ConfigMethods(settings, audit=audit, clock=clock),
        SecretMethods(settings, store=secret_store, audit=audit, clock=clock),
        ModelKeyMethods(live, agents=agents, store=secret_store, audit=audit, clock=clock),
        *automation.methods,
        *devices.methods,
        *nodes.methods(
            agents=agents,
            approvals=approvals,
            automation=automation,
            inbox=inbox,
            senders=senders,
        ),
        *family_methods(
            live,
            agents=agents,
            audit=audit,
            boot_id=boot_id,
            clock=clock,
            env=env,
            hub=hub,
            nodes=nodes,
            push=push,
            questions=questions,
            sessions=sessions,
            speech=speech,
            started_ms=started_ms,
            store=store,
        ),
    ):
        registry.add(feature)
    return registry
