"""The settings tree: one frozen value that every service takes its part of.

Guarantees: immutable; every field says what it means, how a change takes effect and whether it is
secret, and the schema, the reference page and the web form are made from that.
Not here: reading the file (file.py), judging a combination of settings (checks.py).
Importing this module imports pydantic: do it where a config is loaded, not at the top of a client.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from portico.config.sections.agents import (
    AgentDefaults,
    AgentEntry,
    Agents,
    Identity,
    ModelChoice,
    RuntimeConfig,
)
from portico.config.sections.approvals import Approvals
from portico.config.sections.audit import Audit
from portico.config.sections.automation import ActiveHours, Cron, Heartbeat, RunLog
from portico.config.sections.base import Section, group, setting
from portico.config.sections.bindings import Binding, BindingMatch, BindingPeer
from portico.config.sections.browser import Browser
from portico.config.sections.budgets import Budgets
from portico.config.sections.canvas import CanvasHost
from portico.config.sections.channels import AccountConfig, ChannelDefaults, Channels
from portico.config.sections.commands import Commands
from portico.config.sections.conversation import Messages, QueueSettings, SessionSettings
from portico.config.sections.discovery import DiscoverySettings
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
from portico.config.sections.hooks import Hooks
from portico.config.sections.mcp import Mcp
from portico.config.sections.media import Media
from portico.config.sections.models import ModelEntry, ModelProvider, Models
from portico.config.sections.node_host import NodeCommand, NodeExec, NodeHost
from portico.config.sections.secrets import Secrets
from portico.config.sections.skills import SkillEntry, Skills
from portico.config.sections.tools import Tools
from portico.config.sections.tts import Tts
from portico.config.sections.update import Update

OPENCLAW_SECTIONS: frozenset[str] = frozenset(
    """
    meta env wizard diagnostics telemetry ui auth accessGroups acp
    worktreeRoot worktreeAcceleration security broadcast attachments
    transcripts talk cloudWorkers desktop memory
    plugins surfaces proxy
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
    discovery: DiscoverySettings = group(DiscoverySettings, "How others find the gateway.")
    agents: Agents = group(Agents, "Who answers.")
    bindings: tuple[Binding, ...] = setting(
        (), "Which agent answers what, by channel, account, conversation.", reload="hot"
    )
    models: Models = group(Models, "The language models agents think with.")
    tools: Tools = group(Tools, "What agents may have done, and whom they believe.")
    mcp: Mcp = group(Mcp, "Programs and services whose tools agents may use.")
    skills: Skills = group(Skills, "Folders of instructions for agents.")
    media: Media = group(Media, "The files that people attach.")
    tts: Tts = group(Tts, "Text to speech.")
    canvas_host: CanvasHost = group(CanvasHost, "The pages that agents write.")
    browser: Browser = group(Browser, "The browser that operators and agents drive.")
    session: SessionSettings = group(SessionSettings, "How conversations are kept apart.")
    messages: Messages = group(Messages, "How messages are handled.")
    commands: Commands = group(Commands, "Messages that the gateway answers itself.")
    channels: Channels = group(Channels, "The doors people write through.")
    approvals: Approvals = group(Approvals, "When a person decides whether an agent may act.")
    cron: Cron = group(Cron, "Jobs that run on a schedule.")
    hooks: Hooks = group(Hooks, "What other programs tell agents over HTTP.")
    budgets: Budgets = group(Budgets, "How much may be spent.")
    node_host: NodeHost = group(NodeHost, "What this machine does as a node of a gateway.")
    secrets: Secrets = group(Secrets, "Where secrets come from.")
    audit: Audit = group(Audit, "The record of who changed what.")
    update: Update = group(Update, "Newer versions of the gateway.")
    store: Store = group(Store, "Where the rows live.")
    logging: Logging = group(Logging, "The log.")

    @model_validator(mode="after")
    def _bindings_name_agents(self) -> PorticoConfig:
        known = {entry.id for entry in self.agents.roster()}
        unknown = [
            InitErrorDetails(
                type=PydanticCustomError("value_error", 'there is no agent "{id}"', {"id": one}),
                loc=("bindings", place, "agentId"),
                input=one,
            )
            for place, one in enumerate(binding.agent_id for binding in self.bindings)
            if one not in known
        ]
        if unknown:
            raise ValidationError.from_exception_data("bindings", unknown)
        return self


__all__ = [
    "OPENCLAW_SECTIONS",
    "AccountConfig",
    "ActiveHours",
    "AgentDefaults",
    "AgentEntry",
    "Agents",
    "Approvals",
    "Audit",
    "Auth",
    "Binding",
    "BindingMatch",
    "BindingPeer",
    "Browser",
    "ChannelDefaults",
    "Channels",
    "Commands",
    "ControlUi",
    "Cron",
    "DiscoverySettings",
    "Gateway",
    "GatewayMessages",
    "Heartbeat",
    "Hooks",
    "Http",
    "Identity",
    "Limits",
    "Logging",
    "Mcp",
    "Media",
    "Messages",
    "ModelChoice",
    "ModelEntry",
    "ModelProvider",
    "Models",
    "NodeCommand",
    "NodeExec",
    "NodeHost",
    "PorticoConfig",
    "QueueSettings",
    "RateLimit",
    "RunLog",
    "RuntimeConfig",
    "SessionSettings",
    "SkillEntry",
    "Skills",
    "Store",
    "Tls",
    "Tools",
    "Tts",
]
