"""Calling methods on agents: at the gateway, or in this process where none runs.

Guarantees: a gateway that runs is always asked, so what it does and what its file says stay the
same; only where none holds the state directory is the file changed from here. The answers and the
refusals are the same either way.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from portico.cli.command import Remote
from portico.cli.target import connected, resolve_target, running_url

if TYPE_CHECKING:
    from portico.config.paths import ConfigPaths
    from portico.rpc.method import Registry

Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Calls a method with params and returns its result."""


@asynccontextmanager
async def agent_calls(to: Remote) -> AsyncIterator[Ask]:
    """Yield what calls methods on agents and models."""
    target = resolve_target(to)
    if target.is_own and running_url(target.paths) is None:
        async with _here(target.paths) as ask:
            yield ask
        return
    async with connected(to, target=target) as client:

        async def at_the_gateway(method: str, params: dict[str, Any]) -> Any:
            return await client.request(method, params, timeout_s=to.timeout_s)

        yield at_the_gateway


@asynccontextmanager
async def _here(paths: ConfigPaths) -> AsyncIterator[Ask]:
    from portico.client.errors import Refused
    from portico.config import ensure_first_run
    from portico.protocol.errors import GatewayError
    from portico.protocol.scopes import Scope
    from portico.tasks import Tasks

    _log_to_nobody()
    tasks = Tasks(lambda _name, _error: None)
    registry = _registry(paths, tasks)

    async def in_this_process(name: str, params: dict[str, Any]) -> Any:
        nonlocal registry
        method = registry.find(name)
        if method is not None and method.scope is Scope.ADMIN and not paths.config_file.exists():
            ensure_first_run(paths)  # the file gets its token before anything else
            registry = _registry(paths, tasks)
        try:
            return await _call(registry, name, params)
        except GatewayError as error:
            raise Refused(error.shape(), method=name) from None

    try:
        yield in_this_process
    finally:
        await tasks.stop()


async def _call(registry: Registry, name: str, params: dict[str, Any]) -> Any:
    import msgspec

    from portico.auth.model import Principal
    from portico.clock import SystemClock
    from portico.protocol.scopes import Role, Scope, expand
    from portico.rpc.call import Call
    from portico.rpc.dispatch import Dispatcher

    owner = Principal(
        role=Role.OPERATOR,
        granted=(Scope.ADMIN,),
        scopes=expand(frozenset({Scope.ADMIN})),
        method="internal",
        subject="command line",
        local=True,
    )
    dispatcher = Dispatcher(registry, _NoKeys(), SystemClock())
    result = await dispatcher.request(name, msgspec.json.encode(params), Call(owner))
    return msgspec.json.decode(msgspec.json.encode(result))


class _NoKeys:
    """Idempotency for a process that makes one call."""

    async def run(self, key: Any, params: bytes, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do it."""
        return await work()


def _registry(paths: ConfigPaths, tasks: Any) -> Registry:
    from portico.agents.configured import ConfiguredAgents
    from portico.agents.methods import agent_methods
    from portico.agents.service import Agents
    from portico.agents.tools.registry import ToolRegistry
    from portico.agents.tools.toolbox import Layers, Toolbox
    from portico.clock import SystemClock
    from portico.config import load
    from portico.config.live import LiveConfig
    from portico.rpc.method import Registry

    clock = SystemClock()
    live = LiveConfig(load(paths, env=os.environ), env=os.environ)
    made = ConfiguredAgents(
        clock=clock,
        toolbox=Toolbox(ToolRegistry(), lambda _agent, _channel: Layers()),
        env=os.environ,
        state_dir=paths.state_dir,
    )
    agents = Agents.of(made.roster(live.loaded.require()), tasks=tasks)
    made.follow(live, agents)
    registry = Registry()
    for feature in agent_methods(live=live, agents=agents, clock=clock):
        registry.add(feature)
    return registry


def _log_to_nobody() -> None:
    import structlog

    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
