"""From the configuration to what services are built with: settings, rules, agents, lanes.

Each function reads one part of the configuration and returns one constructor argument. `app.py`
does the constructing.
"""

from __future__ import annotations

import platform
import socket
from typing import TYPE_CHECKING

import structlog

from portico import __version__
from portico.agents.echo import EchoRuntime
from portico.agents.python import PythonRuntime
from portico.agents.runtime import AgentRuntime
from portico.agents.service import Agent, Agents
from portico.auth.rate_limit import RateLimitSettings
from portico.auth.service import AuthSettings
from portico.config.checks import auth_mode
from portico.events.presence import PresenceEntry
from portico.ids import new_secret
from portico.inbox.policy import DoorPolicy
from portico.inbox.service import Admitted
from portico.store import Work
from portico.turns.model import Enqueued, NewTurn
from portico.turns.service import Turns
from portico.web.control_plane import SocketLimits

if TYPE_CHECKING:
    from portico.config.model import PorticoConfig
    from portico.config.sections.conversation import QueueSettings
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


def build_agents(config: PorticoConfig) -> Agents:
    """Construct the configured agents with their runtimes."""
    roster = [
        Agent(
            agent_id=entry.id,
            runtime=_runtime(config, entry.id),
            name=entry.identity.name or entry.name,
            emoji=entry.identity.emoji,
            avatar=entry.identity.avatar,
            workspace=entry.workspace or config.agents.defaults.workspace,
            model=config.agents.model_for(entry.id).primary,
            timeout_s=config.agents.timeout_s_for(entry.id),
        )
        for entry in config.agents.roster()
    ]
    return Agents(roster, config.agents.default_id())


def _runtime(config: PorticoConfig, agent_id: str) -> AgentRuntime:
    wanted = config.agents.runtime_for(agent_id)
    if wanted.type == "python" and wanted.import_path is not None:
        resumable = bool(wanted.options.get("resumable", False))
        return PythonRuntime(wanted.import_path, resumable=resumable)
    return EchoRuntime()


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
