"""From the configuration to the agents, and to what each of them may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from portico.agents.acp.settings import AcpSettings
from portico.agents.configured import ConfiguredAgents
from portico.agents.mcp.model import McpServer
from portico.agents.model.tools import GuidanceFor
from portico.agents.runtime import AgentRuntime
from portico.agents.service import Agents
from portico.agents.tools.policy import Rules
from portico.agents.tools.registry import ToolRegistry
from portico.agents.tools.toolbox import Layers, LayersFor, Toolbox, ToolLimits
from portico.approvals.service import Approvals
from portico.clock import Clock
from portico.store import Store
from portico.tasks import Tasks

if TYPE_CHECKING:
    from portico.config.live import LiveConfig
    from portico.config.model import PorticoConfig
    from portico.config.sections.tools import ExecRules, ToolRules

NOT_OVER_HTTP = (
    "exec",
    "spawn",
    "shell",
    "fs_write",
    "fs_delete",
    "fs_move",
    "write",
    "edit",
    "apply_patch",
    "sessions_spawn",
    "sessions_send",
    "cron",
    "gateway",
    "nodes",
)
"""What `POST /tools/invoke` refuses unless it is allowed.

Source: OpenClaw, "/tools/invoke"; `write` and `edit` are what its `fs_write` is here.
"""


def build_toolbox(config: PorticoConfig) -> Toolbox:
    """Construct the agents' tools, under the configured policy; features add theirs later."""
    tools = config.tools
    limits = ToolLimits(tools.timeout_seconds, tools.max_result_chars)
    return Toolbox(ToolRegistry(), tool_layers(config), limits)


def tool_layers(config: PorticoConfig) -> LayersFor:
    """Return the policy: the gateway's layer, the agent's, the channel's; and untrusted text's."""
    tools, agents = config.tools, config.agents
    everybody = _rules("tools", tools)
    channels = {
        name: _rules(f"tools.byChannel.{name}", it) for name, it in tools.by_channel.items()
    }
    strangers = _rules("tools.untrusted", tools.untrusted)
    by_agent = {
        entry.id: (
            _switched_off(config, entry.id),
            _rules(f"agents.{entry.id}.tools", entry.tools),
            strangers
            if entry.tools.untrusted is None
            else _rules(f"agents.{entry.id}.tools.untrusted", entry.tools.untrusted),
        )
        for entry in agents.roster()
    }

    def layers(agent_id: str, channel: str | None) -> Layers:
        off, own, untrusted = by_agent.get(agent_id) or by_agent[agents.default_id()]
        through = channels.get(channel or "")
        return Layers((off, everybody, own, *((through,) if through else ())), untrusted)

    return layers


def _switched_off(config: PorticoConfig, agent_id: str) -> Rules:
    """Return the layer that hides tools which are configured away, whoever asks."""
    is_on = {
        "exec": exec_rules(config, agent_id).security != "deny",
        "web_fetch": config.tools.web.fetch.enabled,
    }
    return Rules("off", deny=tuple(name for name, on in is_on.items() if not on))


def exec_rules(config: PorticoConfig, agent_id: str) -> ExecRules:
    """Return how an agent runs programs."""
    entry = config.agents.resolve(agent_id)
    own = None if entry is None else entry.tools.exec
    return config.tools.exec if own is None else own


def _rules(name: str, given: ToolRules) -> Rules:
    return Rules(name, given.profile, given.allow, given.also_allow, given.deny)


def mcp_servers(config: PorticoConfig) -> list[McpServer]:
    """Return the MCP servers agents may use."""
    return [
        McpServer(
            name=name,
            command=(given.command, *given.args) if given.command else (),
            env=given.env,
            cwd=given.cwd,
            url=given.url,
            transport="sse" if given.transport == "sse" else "streamable-http",
            headers=given.headers,
            is_trusted=given.trusted,
            allow=given.tools.allow,
            deny=given.tools.deny,
            connect_timeout_s=given.connect_timeout_seconds,
            call_timeout_s=given.timeout_seconds,
        )
        for name, given in config.mcp.servers.items()
        if given.enabled
    ]


def http_tools(config: PorticoConfig) -> Rules:
    """Return which tools may be called over HTTP."""
    given = config.gateway.tools
    usually = (name for name in NOT_OVER_HTTP if name not in given.allow)
    return Rules("gateway.tools", deny=(*usually, *given.deny))


def build_agents(
    live: LiveConfig,
    *,
    clock: Clock,
    toolbox: Toolbox,
    guidance: GuidanceFor,
    env: Mapping[str, str],
    tasks: Tasks,
    acp: Callable[[AcpSettings], AgentRuntime],
) -> Agents:
    """Construct the configured agents, and let them and their policy follow the configuration."""
    made = ConfiguredAgents(
        clock=clock,
        toolbox=toolbox,
        guidance=guidance,
        env=env,
        state_dir=live.loaded.paths.state_dir,
        acp=acp,
    )
    agents = Agents.of(made.roster(live.loaded.require()), tasks=tasks)

    made.follow(live, agents)
    return agents


def acp_runtimes(
    *, approvals: Approvals, store: Store, tasks: Tasks, clock: Clock
) -> Callable[[AcpSettings], AgentRuntime]:
    """Return what makes the runtimes of agents that are programs."""

    def make(settings: AcpSettings) -> AgentRuntime:
        from portico.agents.acp.runtime import AcpRuntime

        return AcpRuntime(settings, approvals=approvals, store=store, tasks=tasks, clock=clock)

    return make
