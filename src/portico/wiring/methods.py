"""Every feature with RPC methods, constructed and registered: what the control plane can do."""

from __future__ import annotations

from portico import __version__
from portico.agents.mcp.rpc import McpMethods
from portico.agents.methods import agent_methods
from portico.agents.skills.configured import build_skill_methods
from portico.agents.tools.rpc import ToolMethods
from portico.approvals.rpc import ApprovalMethods
from portico.approvals.rpc_policy import PolicyMethods
from portico.budgets.rpc import BudgetMethods
from portico.chat.rpc import ChatMethods
from portico.chat.runs import AgentRunMethods
from portico.chat.usage.rpc import UsageMethods
from portico.config.secret_store import SecretStore
from portico.inbox.rpc import InboxMethods
from portico.media.speech.rpc import SpeechMethods
from portico.outbox.actions import MessageActions
from portico.outbox.direct import DirectSends
from portico.outbox.rpc import SendMethods
from portico.outbox.rpc_actions import ActionMethods
from portico.rpc.method import Registry
from portico.sessions.rpc import SessionMethods
from portico.sessions.rpc_read import SessionReadMethods
from portico.settings.rpc import ConfigMethods
from portico.settings.rpc_audit import AuditMethods
from portico.settings.rpc_model_keys import ModelKeyMethods
from portico.settings.rpc_secrets import SecretMethods
from portico.system.rpc import SystemMethods, SystemSettings
from portico.system.rpc_gateway import GatewayMethods
from portico.turns.rpc import LaneMethods
from portico.turns.rpc_tasks import TaskMethods
from portico.updates.rpc import UpdateMethods
from portico.wiring.agents import http_tools
from portico.wiring.conversation import Conversation
from portico.wiring.families import family_methods
from portico.wiring.features import Features
from portico.wiring.ground import Ground
from portico.wiring.kernel import Kernel
from portico.wiring.path import MessagePath


def build_methods(
    ground: Ground,
    kernel: Kernel,
    conversation: Conversation,
    path: MessagePath,
    features: Features,
) -> Registry:
    """Construct every feature with RPC methods and register what it declares."""
    gateway, main_key = ground.config.gateway, conversation.main_key
    agents, sessions, senders = conversation.agents, conversation.sessions, conversation.senders
    approvals, turns, outbox = conversation.approvals, path.turns, path.outbox
    audit, clock, store = ground.audit, ground.clock, ground.store
    automation, chat = features.automation, features.chat
    secret_store = SecretStore(ground.loaded.paths.state_dir, env=ground.env)
    registry = Registry()
    for feature in (
        SystemMethods(
            health=features.health,
            presence=kernel.presence,
            sessions=sessions,
            agents=agents,
            store=store,
            clock=clock,
            config_snapshot=ground.config_snapshot,
            heartbeat_of=automation.heartbeats.shown,
            wake=automation.waker.wake,
            config_status=ground.settings.status,
            degraded_owners=ground.settings.degraded_owners,
            settings=SystemSettings(
                version=__version__,
                log_file=ground.loaded.paths.log_file,
                drain_ms=gateway.shutdown.drain_ms,
            ),
        ),
        ChatMethods(
            chat=chat,
            sessions=sessions,
            turns=turns,
            agents=agents,
            hub=ground.hub,
            book=path.orders.book,
            max_history_bytes=gateway.limits.chat_history_max_bytes,
        ),
        AgentRunMethods(
            chat=chat,
            orders=path.orders,
            turns=turns,
            sessions=sessions,
            agents=agents,
            clock=clock,
        ),
        ToolMethods(
            toolbox=conversation.toolbox,
            agents=agents,
            main_key=main_key,
            http_door=http_tools(ground.config),
        ),
        McpMethods(conversation.mcp_servers),
        SpeechMethods(path.media.speech),
        *build_skill_methods(
            ground.live, skills=conversation.skills, agents=agents, clock=clock, main_key=main_key
        ),
        ApprovalMethods(approvals=approvals, clock=clock, base_path=gateway.control_ui.base_path),
        PolicyMethods(approvals.policy),
        *agent_methods(live=ground.live, agents=agents, clock=clock),
        SessionReadMethods(sessions=sessions, clock=clock),
        SessionMethods(sessions=sessions, agents=agents, lanes=turns, talk=chat, clock=clock),
        UsageMethods(
            store=store, clock=clock, sessions=sessions, agents=agents, budgets=path.budgets
        ),
        BudgetMethods(budgets=path.budgets, clock=clock),
        SendMethods(outbox=outbox, store=store, senders=senders),
        ActionMethods(
            direct=DirectSends(outbox=outbox, senders=senders),
            actions=MessageActions(senders),
            senders=senders,
        ),
        *path.channels.methods(),
        conversation.canvas.methods,
        features.browser.methods,
        InboxMethods(inbox=path.inbox, runs=turns, store=store),
        LaneMethods(turns=turns, store=store),
        TaskMethods(turns=turns, sessions=sessions, store=store),
        AuditMethods(audit),
        UpdateMethods(features.updates, audit=audit),
        GatewayMethods(
            restarts=ground.restarts,
            turns=turns,
            cron=automation.cron.scheduler,
            store=store,
            audit=audit,
            identity_file=ground.loaded.paths.gateway_identity,
        ),
        ConfigMethods(ground.settings, audit=audit, clock=clock),
        SecretMethods(ground.settings, store=secret_store, audit=audit, clock=clock),
        ModelKeyMethods(ground.live, agents=agents, store=secret_store, audit=audit, clock=clock),
        *automation.methods,
        *features.device_parts.methods,
        *features.node_parts.methods(
            agents=agents,
            approvals=approvals,
            automation=automation,
            inbox=path.inbox,
            senders=senders,
        ),
        *family_methods(ground, conversation, path, features),
    ):
        registry.add(feature)
    return registry
