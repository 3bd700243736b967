"""From the configuration to what services are built with: settings, rules, agents, lanes.

Each function reads one part of the configuration and returns one constructor argument. `app.py`
does the constructing.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from portico import __version__
from portico.agents.acp.settings import AcpSettings
from portico.agents.configured import ConfiguredAgents
from portico.agents.mcp.model import McpServer
from portico.agents.model.tools import GuidanceFor
from portico.agents.runtime import AgentRuntime
from portico.agents.service import Agents
from portico.agents.tools.policy import Rules
from portico.agents.tools.registry import ToolRegistry
from portico.agents.tools.toolbox import Layers, LayersFor, Toolbox, ToolLimits
from portico.approvals.policy import ExecPolicy
from portico.approvals.service import Approvals, ApprovalSettings
from portico.auth.rate_limit import RateLimitSettings
from portico.auth.service import AuthSettings
from portico.automation.cron.assembly import CronSettings
from portico.automation.cron.life import Rules as CronRules
from portico.channels.model import InboundMessage
from portico.clock import Clock
from portico.config.checks import auth_mode
from portico.events.presence import PresenceEntry
from portico.ids import new_secret
from portico.inbox.policy import DoorPolicy
from portico.inbox.service import Admitted
from portico.store import Store, Work
from portico.tasks import Tasks
from portico.turns.model import Enqueued, NewTurn
from portico.turns.service import Turns
from portico.web.control_plane import SocketLimits

if TYPE_CHECKING:
    from portico.config import LoadedConfig
    from portico.config.live import Commit, LiveConfig
    from portico.config.model import PorticoConfig
    from portico.config.sections.conversation import QueueSettings
    from portico.config.sections.tools import ExecRules, ToolRules
    from portico.web.openai.http import OpenAISettings

log = structlog.get_logger()


class ConfiguredLanes:
    """Lets the inbox put turns into lanes, with the queue settings of the configuration."""

    def __init__(self, turns: Turns, queue: QueueSettings) -> None:
        self._turns = turns
        self._queue = queue

    def enqueue(self, message: Admitted) -> Work[Enqueued]:
        """The work that puts an admitted message's turn into its lane."""
        routing = message.routing
        configured = self._queue.by_channel.get(message.channel, self._queue.mode)
        return self._turns.enqueue(
            NewTurn(
                run_id=message.run_id,
                session_key=routing.session_key,
                agent_id=routing.agent_id,
                request=message.request,
                reply_route=message.reply_route,
                fingerprint=message.fingerprint,
                queue_mode=routing.queue_mode or configured,
                cap=self._queue.cap,
                drop=routing.drop or self._queue.drop,
                expires_at=routing.expires_at,
            )
        )

    def begin(self, enqueued: Enqueued) -> None:
        """Act on what was committed."""
        self._turns.begin(enqueued)


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

    def stage_policy(new: LoadedConfig) -> Commit:
        return partial(toolbox.obey, tool_layers(new.require()))

    live.follow("agents", stage=stage_policy)
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


def vouched_for(config: PorticoConfig) -> Callable[[InboundMessage], bool]:
    """Return whose messages the operator vouches for."""
    trusted = frozenset(config.tools.trusted)

    def vouches(message: InboundMessage) -> bool:
        return not trusted.isdisjoint((message.channel, f"{message.channel}:{message.sender}"))

    return vouches


def exec_policy(loaded: LoadedConfig, env: Mapping[str, str], clock: Clock) -> ExecPolicy:
    """Return what agents may run on this machine without asking."""
    given = loaded.require().approvals.policy_file
    path = Path(given) if given else loaded.paths.exec_approvals
    return ExecPolicy(path, search_path=env.get("PATH", os.defpath), clock=clock)


def approval_settings(config: PorticoConfig) -> ApprovalSettings:
    """Return how approvals are asked for."""
    given = config.approvals
    return ApprovalSettings(given.timeout_seconds, given.wait_for_client, given.max_pending)


def auth_settings(config: PorticoConfig) -> AuthSettings:
    """Return how clients prove themselves; a missing token is made up for this run."""
    auth, mode = config.gateway.auth, auth_mode(config)
    limit = auth.rate_limit
    token = auth.token
    if mode == "token" and not token:
        token = new_secret()
        log.warning("auth.runtime_token", note="no token configured; clients need one of their own")
    return AuthSettings(
        mode=mode,
        token=token,
        password=auth.password,
        allowed_origins=config.gateway.control_ui.allowed_origins,
        trusted_proxies=config.gateway.trusted_proxies,
        auto_approve_local=config.gateway.nodes.pairing.auto_approve_local,
        rate_limit=RateLimitSettings(
            limit.max_attempts, limit.window_ms, limit.lockout_ms, limit.exempt_loopback
        ),
    )


def message_api_policy(config: PorticoConfig) -> DoorPolicy:
    """Return the rules of the gateway message API."""
    rules = config.gateway.messages
    return DoorPolicy(
        allow_senders=None if rules.allow_users is None else frozenset(rules.allow_users),
        require_mention=rules.require_mention,
        mention_patterns=rules.mention_patterns,
    )


def cron_settings(config: PorticoConfig) -> CronSettings:
    """Return what is configured of scheduled jobs."""
    cron = config.cron
    return CronSettings(
        rules=CronRules(
            zone=cron.timezone,
            policy="skip" if cron.skip_missed_jobs else "run_once",
            grace_ms=cron.misfire_grace_ms,
            max_catch_up=cron.max_catch_up,
            max_errors=cron.max_consecutive_errors,
        ),
        is_enabled=cron.enabled,
        max_jobs=cron.max_jobs,
        min_interval_ms=cron.min_interval_ms,
        max_runs=cron.max_concurrent_runs,
        keep_runs=cron.run_log.keep_lines,
        keep_sessions_ms=cron.session_retention_ms,
    )


def openai_settings(config: PorticoConfig) -> OpenAISettings | None:
    """Return which parts of the OpenAI-compatible API are there; `None`: it costs nothing."""
    doors = config.gateway.http.endpoints
    chat, responses = doors.chat_completions, doors.responses
    if not (chat.enabled or responses.enabled):
        return None
    from portico.web.openai.http import OpenAISettings

    return OpenAISettings(
        chat_body_bytes=chat.max_body_bytes if chat.enabled else None,
        responses_body_bytes=responses.max_body_bytes if responses.enabled else None,
        max_images=chat.max_image_parts,
        max_urls=responses.max_url_parts,
    )


def socket_limits(config: PorticoConfig) -> SocketLimits:
    """Return the limits of the WebSocket door."""
    limits = config.gateway.limits
    return SocketLimits(**{name: getattr(limits, name) for name in SocketLimits.__annotations__})


def self_presence(boot_id: str, now_ms: int) -> PresenceEntry:
    """Return the gateway's own entry in the presence list."""
    host = socket.gethostname()
    return PresenceEntry(
        host=host,
        version=__version__,
        platform=f"{platform.system().lower()} {platform.release()}",
        device_family=platform.system(),
        mode="gateway",
        reason="self",
        instance_id=boot_id,
        text=f"Gateway: {host} · app {__version__} · mode gateway · reason self",
        ts=now_ms,
    )


def shown_store(url: str) -> str:
    """Return where the database is, without credentials, as administrators see it."""
    if url.startswith("sqlite:///"):
        return url.removeprefix("sqlite:///")
    return "postgresql://" + url.rpartition("@")[2].partition("?")[0].removeprefix("postgresql://")
