"""The settings tree: one frozen value that every service takes its part of.

Guarantees: immutable; every field says what it means, how a change takes effect and whether it is
secret, and the schema, the reference page and the web form are made from that.
Not here: reading the file (file.py), judging a combination of settings (checks.py).
Importing this module imports pydantic: do it where a config is loaded, not at the top of a client.
"""

from __future__ import annotations

from typing import ClassVar

from portico.config.sections.agents import (
    AgentDefaults,
    AgentEntry,
    Agents,
    Identity,
    ModelChoice,
    RuntimeConfig,
)
from portico.config.sections.base import Section, group, setting
from portico.config.sections.conversation import Messages, QueueSettings, SessionSettings
from portico.config.sections.gateway import (
    Auth,
    ControlUi,
    Gateway,
    GatewayMessages,
    Http,
    Limits,
    RateLimit,
    Tls,
)
from portico.config.sections.ground import Logging, Store
from portico.config.sections.mcp import Mcp
from portico.config.sections.models import ModelEntry, ModelProvider, Models
from portico.config.sections.tools import Tools

OPENCLAW_SECTIONS: frozenset[str] = frozenset(
    """
    meta env wizard diagnostics update telemetry browser ui secrets auth accessGroups acp nodeHost
    worktreeRoot worktreeAcceleration security bindings broadcast attachments tts commands
    approvals cron transcripts hooks channels discovery talk cloudWorkers desktop memory
    skills plugins surfaces proxy
    """.split()
)
"""Top-level sections OpenClaw has and Portico does not use yet: accepted, kept, and noted."""


class PorticoConfig(Section):
    """Everything that can be set."""

    not_used: ClassVar[frozenset[str]] = OPENCLAW_SECTIONS | {"bus"}

    schema_url: str | None = setting(
        None, "Where an editor finds the schema of this file.", reload="none", alias="$schema"
    )
    gateway: Gateway = group(Gateway, "The port and everything behind its door.")
    agents: Agents = group(Agents, "Who answers.")
    models: Models = group(Models, "The language models agents think with.")
    tools: Tools = group(Tools, "What agents may have done, and whom they believe.")
    mcp: Mcp = group(Mcp, "Programs and services whose tools agents may use.")
    session: SessionSettings = group(SessionSettings, "How conversations are kept apart.")
    messages: Messages = group(Messages, "How messages are handled.")
    store: Store = group(Store, "Where the rows live.")
    logging: Logging = group(Logging, "The log.")


__all__ = [
    "OPENCLAW_SECTIONS",
    "AgentDefaults",
    "AgentEntry",
    "Agents",
    "Auth",
    "ControlUi",
    "Gateway",
    "GatewayMessages",
    "Http",
    "Identity",
    "Limits",
    "Logging",
    "Mcp",
    "Messages",
    "ModelChoice",
    "ModelEntry",
    "ModelProvider",
    "Models",
    "PorticoConfig",
    "QueueSettings",
    "RateLimit",
    "RuntimeConfig",
    "SessionSettings",
    "Store",
    "Tls",
    "Tools",
]
