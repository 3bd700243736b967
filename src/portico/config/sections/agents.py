"""`agents`: who answers, with which model and which runtime.

Source: OpenClaw configuration reference, section `agents` (both the list and the map of entries).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from portico.config.sections.automation import Heartbeat
from portico.config.sections.base import Section, expand_home, group, setting
from portico.config.sections.tools import AgentTools

DEFAULT_AGENT_ID = "main"
_AGENT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def normal_agent_id(value: str) -> str:
    """An agent id as it is compared: lower case, other characters as -, at most 64."""
    return re.sub(r"[^a-z0-9_-]+", "-", value.strip().lower()).strip("-")[:64]


class ModelChoice(Section):
    """A model; a plain string is the primary."""

    primary: str | None = setting(
        None,
        "Model as provider/name or an alias. With it and no runtime set, the runtime is model.",
        reload="hot",
    )
    fallbacks: tuple[str, ...] = setting(
        (), "Models that are asked when the primary cannot answer, in order.", reload="hot"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"primary": value} if isinstance(value, str) else value


class RuntimeConfig(Section):
    """What runs a turn; a plain string is the type. Other keys are the runtime's options."""

    type: Literal["echo", "model", "python", "http", "acp"] = setting(
        "echo",
        "echo answers with the text it got; model asks a language model; python calls your code; "
        "http posts to your service; acp starts a program that speaks the Agent Client Protocol.",
        reload="hot",
    )
    import_path: str | None = setting(
        None,
        "package.module:callable of type python.",
        reload="hot",
        alias="import",
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$",
    )
    url: str | None = setting(
        None, "Where type http posts turns to.", reload="hot", pattern=r"^https?://"
    )
    token: str | None = setting(None, "Bearer token of type http.", reload="hot", secret=True)
    command: str | None = setting(None, "The program of type acp.", reload="hot")
    args: tuple[str, ...] = setting((), "Its arguments.", reload="hot")
    env: dict[str, str] = setting(
        doc="Variables of the program, besides PATH, HOME and the like.",
        reload="hot",
        secret=True,
        default_factory=dict,
    )
    cwd: str | None = setting(
        None, "The directory the program works in; unset: the agent's workspace.", reload="hot"
    )
    permission: Literal["ask", "allow", "deny"] = setting(
        "ask",
        "What the program's requests for permission get: ask asks a person, allow allows what the "
        "operator vouches for and asks about the rest, deny denies.",
        reload="hot",
    )
    auth_method: str | None = setting(
        None, "The id of the way the program shall log in by; unset: it is logged in.", reload="hot"
    )
    startup_seconds: float = setting(
        60.0, "For the program's start, the handshake and a session.", reload="hot", gt=0
    )
    silence_seconds: float = setting(
        300.0, "The longest the program may say nothing while it answers.", reload="hot", gt=0
    )
    idle_seconds: float = setting(
        600.0, "How long a program with nothing to do is kept.", reload="hot", ge=0
    )
    cancel_seconds: float = setting(
        5.0, "How long a cancelled program may take before it is killed.", reload="hot", ge=0
    )
    max_processes: int = setting(
        4, "Programs of the agent that run at the same time.", reload="hot", ge=1, le=1_000
    )
    options: dict[str, Any] = setting(
        doc="Options of the runtime. python and http: resumable, true when running a turn again "
        "after a crash does no harm.",
        reload="hot",
        default_factory=dict,
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"type": value}
        if not isinstance(value, Mapping):
            return value
        fields = {name for key, info in cls.model_fields.items() for name in (key, info.alias)}
        known = {key: item for key, item in value.items() if key in fields}
        loose = {key: item for key, item in value.items() if key not in fields}
        if loose and isinstance(known.get("options", {}), Mapping):
            known["options"] = {**loose, **known.get("options", {})}
        return known

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> RuntimeConfig:
        if self.type == "python" and self.import_path is None:
            raise ValueError('runtime "python" needs "import", such as "package.module:callable"')
        if self.type == "http" and self.url is None:
            raise ValueError('runtime "http" needs "url", such as "https://service.example/turns"')
        if self.type == "acp" and not self.command:
            raise ValueError('runtime "acp" needs "command", such as "gemini"')
        return self

    _at_home = field_validator("command", "cwd")(expand_home)


class Identity(Section):
    """How an agent shows itself."""

    not_used: ClassVar[frozenset[str]] = frozenset({"creature", "vibe"})

    name: str | None = setting(None, "Display name.", reload="hot")
    emoji: str | None = setting(None, "One emoji.", reload="hot")
    avatar: str | None = setting(
        None, "Image: URL, data URL, or path in the workspace.", reload="hot"
    )
    theme: str | None = setting(None, "What it is like, in a few words.", reload="hot")


class ModelUse(Section):
    """How agents use one model."""

    not_used: ClassVar[frozenset[str]] = frozenset({"streaming", "agentRuntime", "contextWindow"})

    alias: str | None = setting(None, "Another name for it.", reload="hot")
    params: dict[str, Any] = setting(
        doc="Settings of every call, such as temperature.", reload="hot", default_factory=dict
    )


class Compaction(Section):
    """When a conversation has outgrown its model."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        mode provider maxHistoryShare reserveTokensFloor identifierPolicy identifierInstructions
        qualityGuard postCompactionSections postIndexSync model memoryFlush notifyUser
        timeoutSeconds truncateAfterCompaction maxActiveTranscriptBytes customInstructions
        recentTurnsPreserve midTurnPrecheck
        """.split()
    )

    reserve_tokens: int = setting(
        16_384, "Tokens of the context left for the answer.", reload="hot", ge=0
    )
    keep_recent_tokens: int = setting(
        20_000, "Tokens of the newest messages that are not summarised.", reload="hot", ge=0
    )


class AgentDefaults(Section):
    """What every agent has unless it says otherwise."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        bootstrapMaxChars blockStreamingBreak blockStreamingChunk blockStreamingCoalesce
        blockStreamingDefault cliBackends contextPruning decisionModel
        elevatedDefault envelopeElapsed envelopeTimestamp envelopeTimezone humanDelay
        imageGenerationModel imageModel mediaMaxMb memorySearch modelPolicy
        pdfModel repoRoot sandbox skipBootstrap subagents timeFormat tools
        typingIntervalSeconds typingMode userTimezone verboseDefault
        """.split()
    )

    model: ModelChoice = group(ModelChoice, "Model.")
    models: dict[str, ModelUse] = setting(
        doc="Aliases and settings of models, by provider/name.",
        reload="hot",
        default_factory=dict,
    )
    embedding_model: str | None = setting(
        None,
        "Model of /v1/embeddings, as provider/name or an alias; unset: there are no embeddings.",
        reload="hot",
    )
    runtime: RuntimeConfig | None = setting(
        None, "Runtime; unset: model when a model is set, else echo.", reload="hot"
    )
    workspace: str | None = setting(
        None,
        "Directory of the default agent; the others have one below it. AGENTS.md, SOUL.md, "
        "IDENTITY.md, USER.md and MEMORY.md in it instruct a model. Unset: in the state directory.",
        reload="hot",
    )
    skills: tuple[str, ...] | None = setting(
        None, "The only skills agents have; unset: all there are.", reload="hot"
    )
    thinking_default: str | None = setting(
        None, "How long models think: off, minimal, low, medium, high, xhigh.", reload="hot"
    )
    context_tokens: int | None = setting(
        None, "A smaller context than the models have.", reload="hot", ge=512
    )
    compaction: Compaction = group(Compaction, "Summaries of long conversations.")
    timeout_seconds: float = setting(600.0, "Longest run of one turn.", reload="hot", gt=0)
    heartbeat: Heartbeat | None = setting(
        None, "A look around now and then; unset: none.", reload="hot"
    )
    max_concurrent: int = setting(
        64, "Turns that run at the same time, in all.", ge=1, le=10_000, reload="hot"
    )


class AgentEntry(Section):
    """One agent."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        agentDir description groupChat humanDelay memorySearch params sandbox
        subagents thinkingDefault reasoningDefault verboseDefault
        """.split()
    )

    id: str = setting(
        ..., "Lower-case letters, digits, - and _; at most 64 characters.", reload="hot"
    )
    name: str | None = setting(None, "Name in lists.", reload="hot")
    default: bool = setting(False, "The agent that answers when none is named.", reload="hot")
    identity: Identity = group(Identity, "How it shows itself.")
    model: ModelChoice | None = setting(None, "Model instead of the default.", reload="hot")
    embedding_model: str | None = setting(
        None, "Embedding model instead of the default.", reload="hot"
    )
    workspace: str | None = setting(None, "Directory instead of the default.", reload="hot")
    runtime: RuntimeConfig | None = setting(None, "Runtime instead of the default.", reload="hot")
    timeout_seconds: float | None = setting(
        None, "Longest run of one turn instead of the default.", reload="hot", gt=0
    )
    skills: tuple[str, ...] | None = setting(
        None, "The only skills it has, instead of the default.", reload="hot"
    )
    tools: AgentTools = group(AgentTools, "What this agent may have done.")
    heartbeat: Heartbeat | None = setting(
        None,
        "A look around now and then, beside what the default says; once one agent has this, only "
        "agents that have it look around.",
        reload="hot",
    )

    @field_validator("id")
    @classmethod
    def _normalise_id(cls, value: str) -> str:
        normal = normal_agent_id(value)
        if not _AGENT_ID.fullmatch(normal):
            raise ValueError("an agent id needs at least one letter or digit")
        return normal


class Agents(Section):
    """The agents."""

    defaults: AgentDefaults = group(AgentDefaults, "Defaults of every agent.")
    list_: tuple[AgentEntry, ...] = Field(
        default=(),
        alias="list",
        description="The agents, in order.",
        json_schema_extra={"reload": "hot"},
    )
    entries: dict[str, AgentEntry] = setting(
        doc="The agents by id; another way to write the list.",
        reload="hot",
        default_factory=dict,
    )

    @field_validator("entries", mode="before")
    @classmethod
    def _ids_from_keys(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            key: {"id": key, **entry} if isinstance(entry, Mapping) else entry
            for key, entry in value.items()
        }

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Agents:
        ids = [entry.id for entry in (*self.list_, *self.entries.values())]
        doubled = sorted({name for name in ids if ids.count(name) > 1})
        if doubled:
            raise ValueError(f"agent ids must be unique; repeated: {', '.join(doubled)}")
        return self

    def roster(self) -> tuple[AgentEntry, ...]:
        """Every agent; never empty, since without any there is `main`."""
        configured = (*self.list_, *self.entries.values())
        return configured or (AgentEntry(id=DEFAULT_AGENT_ID, default=True),)

    def default_id(self) -> str:
        """The agent that answers when none is named: the marked one, else the first."""
        roster = self.roster()
        return next((entry.id for entry in roster if entry.default), roster[0].id)

    def resolve(self, agent_id: str) -> AgentEntry | None:
        """The entry of an id, or None."""
        return next((entry for entry in self.roster() if entry.id == agent_id), None)

    def runtime_for(self, agent_id: str) -> RuntimeConfig:
        """The runtime that is set for the agent or for all; else what its model suggests."""
        entry = self.resolve(agent_id)
        explicit = (entry and entry.runtime) or self.defaults.runtime
        if explicit is not None:
            return explicit
        return RuntimeConfig(type="model" if self.model_for(agent_id).primary else "echo")

    def model_for(self, agent_id: str) -> ModelChoice:
        """The agent's model or the default one."""
        entry = self.resolve(agent_id)
        return (entry and entry.model) or self.defaults.model

    def workspace_for(self, agent_id: str, state_dir: Path) -> Path:
        """The agent's directory: its own, one below the common one, or one in the state directory.

        The default agent has the common directory itself, and `main` the plain name.
        """
        entry = self.resolve(agent_id)
        if entry is not None and entry.workspace:
            return Path(entry.workspace).expanduser()
        if common := self.defaults.workspace:
            root = Path(common).expanduser()
            return root if agent_id == self.default_id() else root / agent_id
        name = "workspace" if agent_id == DEFAULT_AGENT_ID else f"workspace-{agent_id}"
        return state_dir / name

    def heartbeat_for(self, agent_id: str) -> Heartbeat | None:
        """How an agent looks around; `None`: it does not."""
        entry, common = self.resolve(agent_id), self.defaults.heartbeat
        own = entry.heartbeat if entry is not None else None
        if own is None:
            return None if any(one.heartbeat for one in self.roster()) else common
        given = {name: getattr(own, name) for name in own.model_fields_set}
        return (common or Heartbeat()).model_copy(update=given)

    def timeout_s_for(self, agent_id: str) -> float:
        """The longest run of one turn of this agent."""
        entry = self.resolve(agent_id)
        return (entry and entry.timeout_seconds) or self.defaults.timeout_seconds
