"""From the configuration to the agents: their runtimes, models and bindings.

Guarantees: pure but for constructing; nothing is opened before it is used. What has not changed is
kept as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import structlog

from portico.agents.acp.settings import AcpSettings, program_env
from portico.agents.bindings import Binding
from portico.agents.echo import EchoRuntime
from portico.agents.http import HttpRuntime
from portico.agents.model.catalog import BUILT_IN, Api, Catalog, ModelSpec, Price, ProviderSpec
from portico.agents.model.cooldown import Cooldowns
from portico.agents.model.runtime import ModelRuntime, Models
from portico.agents.model.settings import AgentModel
from portico.agents.model.tools import GuidanceFor, no_guidance
from portico.agents.python import PythonRuntime
from portico.agents.runtime import Abilities, AgentEvent, AgentRuntime, Failed, Turn
from portico.agents.service import Agent, Agents, Roster, RuntimeSource
from portico.agents.tools.toolbox import Toolbox
from portico.channels.model import Peer
from portico.clock import Clock
from portico.config.channels import default_account_of

if TYPE_CHECKING:
    from portico.config import LoadedConfig
    from portico.config.live import Commit, LiveConfig
    from portico.config.model import AgentEntry, ModelEntry, PorticoConfig, RuntimeConfig
    from portico.config.model import Binding as ConfiguredBinding

log = structlog.get_logger()


class ConfiguredAgents:
    """Makes the roster a configuration asks for; runtimes that need no change are kept.

    Args:
        env: where keys of the known providers are looked for; some of it is what programs get.
        acp: makes the runtime of an agent that is a program; by default one that starts none.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        toolbox: Toolbox,
        guidance: GuidanceFor = no_guidance,
        env: Mapping[str, str],
        state_dir: Path,
        acp: Callable[[AcpSettings], AgentRuntime] | None = None,
    ) -> None:
        self._acp = acp
        self._cooldowns = Cooldowns(clock)
        self._toolbox = toolbox
        self._guidance = guidance
        self._env = env
        self._state_dir = state_dir

    def roster(self, config: PorticoConfig, before: Roster | None = None) -> Roster:
        """Return the agents of a configuration.

        Args:
            before: who answers now.
        """
        models = self._models(build_catalog(config, self._env), before)
        made = {agent.agent_id: agent for agent in before.agents} if before is not None else {}
        return Roster(
            agents=tuple(
                self._agent(config, entry, models, made.get(entry.id))
                for entry in config.agents.roster()
            ),
            default_id=config.agents.default_id(),
            bindings=build_bindings(config),
            models=models,
        )

    def follow(self, live: LiveConfig, agents: Agents) -> None:
        """Let the agents be those of the configuration, whenever it changes."""

        def stage(new: LoadedConfig) -> Commit:
            return partial(agents.replace, self.roster(new.require(), agents.roster))

        live.follow("agents", "bindings", "channels", "models", stage=stage)

    def _models(self, catalog: Catalog, before: Roster | None) -> Models:
        if before is None or before.models is None:
            return Models(catalog, self._cooldowns)
        same = before.models.catalog.says_the_same_as(catalog)
        return before.models if same else Models(catalog, self._cooldowns)

    def _agent(
        self, config: PorticoConfig, entry: AgentEntry, models: Models, before: Agent | None
    ) -> Agent:
        agents = config.agents
        settings = _agent_model(config, entry, self._state_dir)
        wanted = agents.runtime_for(entry.id)
        made_from: tuple[object, ...] = (wanted,)
        if wanted.type == "model":
            made_from = (wanted, settings, models)
        elif wanted.type == "acp":
            made_from = (wanted, settings.workspace, config.approvals.timeout_seconds)
        if before is not None and before.made_from == made_from:
            runtime = before.runtime
        else:
            runtime = self._runtime(config, wanted, settings, models)
        return Agent(
            agent_id=entry.id,
            runtime=runtime,
            name=settings.name,
            emoji=entry.identity.emoji,
            avatar=entry.identity.avatar,
            theme=entry.identity.theme,
            workspace=settings.workspace,
            model=settings.primary,
            fallbacks=settings.fallbacks,
            thinking=settings.thinking,
            runtime_source=_runtime_source(config, entry),
            timeout_s=agents.timeout_s_for(entry.id),
            made_from=made_from,
        )

    def _runtime(
        self, config: PorticoConfig, wanted: RuntimeConfig, settings: AgentModel, models: Models
    ) -> AgentRuntime:
        resumable = bool(wanted.options.get("resumable", False))
        if wanted.type == "python" and wanted.import_path is not None:
            return PythonRuntime(wanted.import_path, resumable=resumable)
        if wanted.type == "http" and wanted.url is not None:
            return HttpRuntime(wanted.url, token=wanted.token, resumable=resumable)
        if wanted.type == "model":
            return ModelRuntime(settings, models, tools=self._toolbox.open, guidance=self._guidance)
        if wanted.type == "acp" and wanted.command is not None:
            program = self._program(config, wanted, settings)
            return NoProgram() if self._acp is None else self._acp(program)
        return EchoRuntime()

    def _program(
        self, config: PorticoConfig, wanted: RuntimeConfig, settings: AgentModel
    ) -> AcpSettings:
        return AcpSettings(
            command=(wanted.command or "", *wanted.args),
            cwd=wanted.cwd or settings.workspace or str(self._state_dir),
            makes_cwd=wanted.cwd is None,
            env=program_env(self._env, wanted.env),
            permission=wanted.permission,
            auth_method=wanted.auth_method,
            startup_s=wanted.startup_seconds,
            silence_s=wanted.silence_seconds,
            idle_s=wanted.idle_seconds,
            cancel_s=wanted.cancel_seconds,
            max_processes=wanted.max_processes,
            approval_s=config.approvals.timeout_seconds,
        )


class NoProgram:
    """Stands for an agent that is a program, where none may be started."""

    name = "acp"
    abilities = Abilities()

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Fail, and say why."""
        yield Failed("This process starts no programs.")


def _runtime_source(config: PorticoConfig, entry: AgentEntry) -> RuntimeSource:
    if entry.runtime is not None:
        return "agent"
    if config.agents.defaults.runtime is not None:
        return "defaults"
    return "model" if config.agents.model_for(entry.id).primary else "implicit"


def _agent_model(config: PorticoConfig, entry: AgentEntry, state_dir: Path) -> AgentModel:
    defaults, choice = config.agents.defaults, config.agents.model_for(entry.id)
    return AgentModel(
        primary=choice.primary,
        fallbacks=choice.fallbacks,
        embedding=entry.embedding_model or defaults.embedding_model,
        name=entry.identity.name or entry.name,
        workspace=str(config.agents.workspace_for(entry.id, state_dir)),
        thinking=defaults.thinking_default,
        context_tokens=defaults.context_tokens,
        reserve_tokens=defaults.compaction.reserve_tokens,
        keep_recent_tokens=defaults.compaction.keep_recent_tokens,
    )


def build_bindings(config: PorticoConfig) -> tuple[Binding, ...]:
    """Return which agent answers what comes in through channels."""
    default = partial(default_account_of, config.channels)
    return tuple(_binding(one, default) for one in config.bindings if one.type == "route")


def _binding(configured: ConfiguredBinding, default_account: Callable[[str], str]) -> Binding:
    match = configured.match
    return Binding(
        agent_id=configured.agent_id,
        channel=match.channel,
        account=match.account_id or default_account(match.channel),
        peer=None if match.peer is None else Peer(match.peer.kind, match.peer.id),
        guild_id=match.guild_id,
        team_id=match.team_id,
        roles=frozenset(match.roles),
        comment=configured.comment,
    )


def build_catalog(config: PorticoConfig, env: Mapping[str, str]) -> Catalog:
    """Return the models agents may use: the configured providers', and those everybody knows."""
    providers = {
        name: ProviderSpec(
            name, base_url, api, env.get(variable), is_configured=False, key_variable=variable
        )
        for name, (base_url, api, variable) in BUILT_IN.items()
    }
    for name, given in config.models.providers.items():
        known = providers.get(name.lower())
        api = given.api or (known.api if known else "openai-completions")
        base_url = given.base_url or (known.base_url if known else None)
        if api not in get_args(Api) or base_url is None:
            log.warning("models.provider_skipped", provider=name, api=api, base_url=base_url)
            continue
        providers[name.lower()] = ProviderSpec(
            name=name,
            base_url=_with_v1(base_url) if api == "ollama" else base_url,
            api=cast("Api", api),
            api_key=given.api_key or (known.api_key if known else None),
            headers=given.headers,
            timeout_s=given.timeout_seconds,
            models=tuple(_model_spec(model) for model in given.models),
            key_variable=known.key_variable if known and not given.api_key else None,
        )
    used = config.agents.defaults.models
    return Catalog(
        [*providers.values()],
        aliases={use.alias: name for name, use in used.items() if use.alias},
        params={name: use.params for name, use in used.items()},
    )


def _model_spec(model: ModelEntry) -> ModelSpec:
    cost = model.cost
    return ModelSpec(
        id=model.id,
        name=model.name,
        context_window=model.context_window,
        max_tokens=model.max_tokens,
        reasoning=model.reasoning,
        inputs=None if model.input is None else frozenset(model.input),
        price=None
        if cost is None
        else Price(cost.input, cost.output, cost.cache_read, cost.cache_write),
        params=model.params,
    )


def _with_v1(base_url: str) -> str:
    base = base_url.rstrip("/")
    return base if base.endswith("/v1") else f"{base}/v1"
