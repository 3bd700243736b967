"""The floor of conversations: agents and what they may do, sessions, and where answers go."""

from __future__ import annotations

from portico.agents.mcp.servers import McpServers
from portico.agents.skills.configured import build_skills
from portico.approvals.questions.service import Questions
from portico.approvals.service import Approvals
from portico.channels.registry import ChannelRegistry
from portico.channels.webchat import WebchatChannel
from portico.sessions.changes import SessionChanges
from portico.sessions.service import Sessions
from portico.wiring.agents import acp_runtimes, build_agents, build_toolbox, mcp_servers
from portico.wiring.canvas import CanvasParts
from portico.wiring.ground import Ground
from portico.wiring.settings import approval_settings, exec_policy, shown_store


class Conversation:
    """Who talks, about what, and who is asked before something is done."""

    def __init__(self, ground: Ground) -> None:
        self.main_key = ground.config.session.main_key
        self._build_approvals(ground)
        self._build_agents(ground)
        self._build_sessions(ground)

    def _build_approvals(self, ground: Ground) -> None:
        self.approvals = Approvals(
            store=ground.store,
            clock=ground.clock,
            hub=ground.hub,
            policy=exec_policy(ground.loaded, ground.env, ground.clock),
            tasks=ground.tasks,
            owner=ground.boot_id,
            alone=ground.alone,
            settings=approval_settings(ground.config),
        )
        self.questions = Questions(
            store=ground.store, clock=ground.clock, hub=ground.hub, tasks=ground.tasks
        )

    def _build_agents(self, ground: Ground) -> None:
        config, clock, hub, tasks = ground.config, ground.clock, ground.hub, ground.tasks
        self.toolbox = build_toolbox(config)
        self.mcp_servers = McpServers(mcp_servers(config), tasks=tasks)
        self.toolbox.registry.add_source(self.mcp_servers)
        self.skills = build_skills(
            ground.live,
            env=ground.env,
            clock=clock,
            toolbox=self.toolbox,
            workspace_of=lambda agent_id: self.agents.get(agent_id).workspace,
            changed=lambda reason: hub.publish("skills.changed", {"reason": reason}),
        )
        self.agents = build_agents(
            ground.live,
            clock=clock,
            toolbox=self.toolbox,
            guidance=self.skills.instructions,
            env=ground.env,
            tasks=tasks,
            acp=acp_runtimes(
                approvals=self.approvals, store=ground.store, tasks=tasks, clock=clock
            ),
        )
        self.canvas = CanvasParts(
            config, agents=self.agents, certificate=ground.certificate, clock=clock, tasks=tasks
        )

    def _build_sessions(self, ground: Ground) -> None:
        store, clock, agents = ground.store, ground.clock, self.agents
        self.changes = SessionChanges(
            store=store,
            hub=ground.hub,
            clock=clock,
            agents=agents,
            tasks=ground.tasks,
            main_key=self.main_key,
        )
        self.sessions = Sessions(
            store=store,
            clock=clock,
            changes=self.changes,
            agents=agents,
            main_key=self.main_key,
            store_path=shown_store(ground.store_url),
        )
        webchat = WebchatChannel(
            store=store,
            clock=clock,
            hub=ground.hub,
            changes=self.changes,
            default_agent=lambda: agents.default_id,
            main_key=self.main_key,
        )
        self.senders = ChannelRegistry()
        self.senders.register("webchat", "default", webchat)
