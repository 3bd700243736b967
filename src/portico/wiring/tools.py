"""From the configuration to the built-in tools of agents, when tools are first asked for.

Not here: what the tools do, who may use them (`agents/tools/policy.py`), tools of MCP servers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from portico.agents.model.catalog import UnknownModel
from portico.agents.tools.contract import ToolCall
from portico.agents.tools.documents.reader import Reader
from portico.agents.tools.exec.container import VARIABLES as ENGINE_VARIABLES
from portico.agents.tools.exec.judge import Judge
from portico.agents.tools.exec.model import ExecSettings, SandboxSettings
from portico.agents.tools.exec.tools import ExecTools
from portico.agents.tools.files.tools import FileTools
from portico.agents.tools.files.workspaces import Workspaces
from portico.agents.tools.media import MediaTools
from portico.agents.tools.memory.tools import MemoryTools
from portico.agents.tools.roster import RosterTools
from portico.agents.tools.web import WebLimits, WebTools
from portico.approvals.questions.tools import QuestionTools
from portico.channels.tools import AccountShown, ChannelTools
from portico.channels.webchat import CHANNEL as WEBCHAT
from portico.chat.tools import AgentTalk
from portico.nodes.tools import NodeTools
from portico.outbox.actions import MessageActions
from portico.outbox.tools import MessageTools
from portico.sessions.reach import Reach, ReachRules
from portico.sessions.tools import SessionTools
from portico.turns.files import SentFiles
from portico.wiring.agents import exec_rules

if TYPE_CHECKING:
    from portico.agents.service import Agents
    from portico.channels.accounts.service import Accounts
    from portico.config.live import Commit
    from portico.config.model import PorticoConfig
    from portico.config.service import LoadedConfig
    from portico.wiring.conversation import Conversation
    from portico.wiring.features import Features
    from portico.wiring.ground import Ground
    from portico.wiring.path import MessagePath


def built_in_tools(
    ground: Ground, conversation: Conversation, path: MessagePath, features: Features
) -> list[object]:
    """Construct the features with built-in tools."""
    live, clock, env, turns = ground.live, ground.clock, ground.env, path.turns
    agents, approvals = conversation.agents, conversation.approvals
    sessions, senders = conversation.sessions, conversation.senders
    nodes = features.node_parts.nodes
    config = live.loaded.require()
    reach, reader = Reach(sessions, reach_rules(config)), Reader()

    def workspace_of(agent_id: str) -> Path | None:
        agent = agents.find(agent_id)
        return Path(agent.workspace) if agent is not None and agent.workspace else None

    workspaces = Workspaces(workspace_of)

    def reaches(call: ToolCall, agent_id: str) -> bool:
        return reach.rules.reaches_agent(call, agent_id)

    web = WebTools(fetcher=features.web_fetcher, reader=reader, limits=web_limits(config))

    programs = programs_of(config)
    media = MediaTools(
        web=web,
        attached=SentFiles(ground.store, path.attached.turns),
        workspaces=workspaces,
        reader=reader,
        max_chars=config.tools.web.fetch.max_chars,
    )

    def stage(new: LoadedConfig) -> Commit:
        rules, limits = reach_rules(new.require()), web_limits(new.require())
        settings = programs_of(new.require())

        def commit() -> None:
            nonlocal programs
            reach.rules, web.limits = rules, limits
            media.max_chars = limits.max_chars
            programs = settings

        return commit

    live.follow("tools", "agents", stage=stage)
    return [
        SessionTools(
            sessions=sessions,
            reach=reach,
            queue=turns,
            clock=clock,
            context_window=lambda model: context_window(agents, model),
        ),
        AgentTalk(
            inbox=path.inbox,
            turns=turns,
            sessions=sessions,
            agents=agents,
            reach=reach,
            max_hops=config.session.agent_to_agent.max_ping_pong_turns,
        ),
        RosterTools(agents, reaches=reaches),
        ChannelTools(lambda: channel_accounts(path.accounts)),
        MessageTools(
            outbox=path.outbox, senders=senders, reach=reach, actions=MessageActions(senders)
        ),
        web,
        QuestionTools(conversation.questions),
        NodeTools(nodes, approvals, patience_s=config.approvals.timeout_seconds),
        conversation.canvas.tools(nodes),
        *features.browser.tools(),
        FileTools(workspaces),
        MemoryTools(workspaces, clock),
        media,
        ExecTools(
            settings_for=lambda agent_id: programs.get(agent_id, programs[""]),
            workspace_of=workspace_of,
            judge=Judge(
                policy=approvals.policy,
                approvals=approvals,
                patience_s=config.approvals.timeout_seconds,
            ),
            clock=clock,
            search_path=env.get("PATH", os.defpath),
            engine_env={name: env[name] for name in ENGINE_VARIABLES if name in env},
            variables_for=conversation.skills.variables,
        ),
    ]


def programs_of(config: PorticoConfig) -> dict[str, ExecSettings]:
    """Return how each agent runs programs; under "" how all others do."""
    ids = ("", *(entry.id for entry in config.agents.roster()))
    return {agent_id: exec_settings(config, agent_id) for agent_id in ids}


def exec_settings(config: PorticoConfig, agent_id: str) -> ExecSettings:
    """Return how an agent runs programs."""
    rules = exec_rules(config, agent_id)
    box = rules.sandbox
    return ExecSettings(
        host="sandbox" if rules.host == "auto" else rules.host,
        security=rules.security,
        ask=rules.ask,
        shell=rules.shell,
        longest_s=rules.timeout_sec,
        max_output_bytes=rules.max_output_bytes,
        sandbox=SandboxSettings(
            has_network=box.network,
            is_read_only=box.workspace_access == "ro",
            paths=box.paths,
            engine=box.engine,
            image=box.image,
            memory_mb=box.memory_mb,
            most_processes=box.max_processes,
        ),
    )


def reach_rules(config: PorticoConfig) -> ReachRules:
    """Return which sessions agents' tools reach."""
    tools = config.tools
    return ReachRules(
        visibility=tools.sessions.visibility,
        agent_to_agent=tools.agent_to_agent.enabled,
        agents=tools.agent_to_agent.allow,
    )


def web_limits(config: PorticoConfig) -> WebLimits:
    """Return how much of it they are shown."""
    fetch = config.tools.web.fetch
    return WebLimits(max_chars=fetch.max_chars, max_bytes=fetch.max_response_bytes)


def context_window(agents: Agents, model: str) -> int | None:
    """Return how many tokens a model takes; `None`: nobody knows."""
    try:
        return agents.catalog.resolve(model).model.context_window
    except UnknownModel:
        return None


def channel_accounts(accounts: Accounts) -> Iterable[AccountShown]:
    """Return every account messages can be sent through."""
    yield AccountShown(channel=WEBCHAT, account_id="default", label="WebChat", state="connected")
    for one in accounts.all():
        yield AccountShown(
            channel=one.channel,
            account_id=one.account,
            label=one.manifest.label,
            name=one.entry.config.name if one.entry.config else None,
            state=one.state.value,
        )
