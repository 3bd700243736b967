"""Who follows which settings while the gateway runs: one line for each part.

What is not here follows where it is built: agents, budgets, channels, media, skills, speech.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from portico.agents.tools.toolbox import ToolLimits
from portico.auth.service import Authenticator, AuthSettings
from portico.config.live import Commit
from portico.observe.logging import set_level
from portico.wiring.agents import mcp_servers, tool_layers
from portico.wiring.automation import automation_settings, heartbeat_settings
from portico.wiring.channels import retry_policy
from portico.wiring.commands import command_settings
from portico.wiring.devices import pending_limits
from portico.wiring.hooks import hook_door_settings, hook_settings
from portico.wiring.settings import (
    approval_settings,
    audit_retention,
    auth_settings,
    message_api_policy,
    socket_limits,
    web_fetch_settings,
)
from portico.wiring.updates import update_settings

if TYPE_CHECKING:
    from portico.config import LoadedConfig
    from portico.config.model import PorticoConfig
    from portico.config.paths import ConfigPaths
    from portico.wiring.conversation import Conversation
    from portico.wiring.features import Features
    from portico.wiring.front import Front
    from portico.wiring.ground import Ground
    from portico.wiring.kernel import Kernel
    from portico.wiring.path import MessagePath

S = TypeVar("S")

WHILE_RUNNING = (
    "max_connections",
    "max_preauth_connections_per_ip",
    "handshake_timeout_ms",
    "ping_interval_ms",
    "pong_timeout_ms",
    "close_grace_ms",
)
"""The limits of sockets that count for those that are open, too."""


def follow_settings(
    ground: Ground,
    kernel: Kernel,
    conversation: Conversation,
    path: MessagePath,
    features: Features,
    *,
    front: Front,
) -> None:
    """Let every part follow its settings."""
    live, chat, plane = ground.live, features.chat, front.plane
    authenticator, automation = kernel.authenticator, features.automation

    def follow(
        *prefixes: str, read: Callable[[PorticoConfig], S], take: Callable[[S], object]
    ) -> None:
        live.follow(*prefixes, stage=partial(_stage, read, take))

    follow("logging.level", read=lambda c: c.logging.level, take=set_level)
    follow("audit", read=audit_retention, take=ground.audit.configure)
    follow("agents", read=heartbeat_settings, take=automation.configure)
    follow("hooks", read=hook_settings, take=automation.configure_hooks)
    follow("cron", read=lambda c: automation_settings(c).cron, take=automation.configure_jobs)
    follow("approvals", read=approval_settings, take=conversation.approvals.configure)
    follow("commands", read=command_settings, take=path.orders.rules.configure)
    follow("messages.queue", read=lambda c: c.messages.queue, take=path.lanes.configure)
    follow("session.dmScope", read=lambda c: c.session.dm_scope, take=path.router.configure)
    follow(
        "session.dmScope",
        read=lambda c: replace(chat.settings, dm_scope=c.session.dm_scope),
        take=partial(setattr, chat, "settings"),
    )
    follow("tools.trusted", read=lambda c: frozenset(c.tools.trusted), take=path.vouching.trust)
    follow("agents", "tools", read=tool_layers, take=conversation.toolbox.obey)
    follow("tools", read=_tool_limits, take=conversation.toolbox.limit)
    follow("tools.web.fetch", read=web_fetch_settings, take=features.web_fetcher.configure)
    follow("mcp.servers", read=mcp_servers, take=conversation.mcp_servers.apply)
    follow("channels.defaults.retry", read=retry_policy, take=path.outbox.configure)
    follow(
        "agents.defaults.maxConcurrent",
        read=lambda c: c.agents.defaults.max_concurrent,
        take=path.turns.run_at_most,
    )
    follow(
        *(f"gateway.limits.{name}" for name in _camel(WHILE_RUNNING)),
        read=lambda c: replace(
            plane.limits, **{n: getattr(socket_limits(c), n) for n in WHILE_RUNNING}
        ),
        take=partial(setattr, plane, "limits"),
    )
    follow(
        "gateway.auth.rateLimit",
        "gateway.auth.trustedProxy",
        "gateway.auth.allowTailscale",
        "gateway.auth.identityScopes",
        "gateway.allowRealIpFallback",
        "gateway.controlUi.allowedOrigins",
        "gateway.publicOrigin",
        "gateway.trustedProxies",
        "gateway.nodes.pairing",
        read=lambda c: _door_rules(authenticator, c, live.loaded.paths),
        take=authenticator.configure,
    )
    pairing = "gateway.nodes.pairing"
    follow(pairing, read=pending_limits, take=kernel.devices.limit)
    follow(
        pairing,
        read=lambda c: c.gateway.nodes.pairing,
        take=lambda now: kernel.devices.bootstrap.limit(
            ttl_ms=now.setup_code_ttl_ms, most=now.max_setup_codes
        ),
    )
    follow("gateway.messages", read=message_api_policy, take=path.open_message_door)
    follow("hooks", read=hook_door_settings, take=front.doors.hook_door.limit)
    follow("update", read=lambda c: update_settings(c.update), take=features.updates.configure)
    live.follow("gateway.restart", stage=lambda _: _nothing)
    live.follow(
        "gateway.http",
        "gateway.messages",
        "gateway.controlUi",
        "gateway.publicOrigin",
        "gateway.tools",
        stage=lambda loaded: front.doors.stage(loaded.require()),
    )


def _stage(
    read: Callable[[PorticoConfig], S], take: Callable[[S], object], loaded: LoadedConfig
) -> Commit:
    settings = read(loaded.require())

    def commit() -> None:
        take(settings)

    return commit


def _nothing() -> None:
    """What is read whenever it is needed follows by itself."""


def _tool_limits(config: PorticoConfig) -> ToolLimits:
    return ToolLimits(config.tools.timeout_seconds, config.tools.max_result_chars)


def _door_rules(
    authenticator: Authenticator, config: PorticoConfig, paths: ConfigPaths
) -> AuthSettings:
    """The rules that can change while the mode and its secrets stay what they are."""
    now = authenticator.settings
    return replace(
        auth_settings(config, paths, quietly=True),
        mode=now.mode,
        token=now.token,
        password=now.password,
        local_secret=now.local_secret,
    )


def _camel(names: Sequence[str]) -> list[str]:
    from pydantic.alias_generators import to_camel

    return [to_camel(name) for name in names]
