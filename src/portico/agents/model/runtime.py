"""The `model` runtime: an agent that thinks with a language model.

Guarantees: pydantic-ai is imported in a thread, when the agent is warmed up or first answers; where
it is not installed, the turn fails with a sentence that says what to install.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import structlog

from portico.agents.model.catalog import Catalog
from portico.agents.model.cooldown import Cooldowns
from portico.agents.model.settings import AgentModel
from portico.agents.model.tools import ToolsFor, no_tools
from portico.agents.runtime import Abilities, AgentEvent, Failed, Turn

if TYPE_CHECKING:
    from portico.agents.model.asking import Asking
    from portico.agents.model.engine import Engine

log = structlog.get_logger()

NOT_INSTALLED = (
    "This agent needs a part of Portico that is not installed. "
    "The operator can add it: pip install 'portico[agent]'"
)


class Models:
    """What all model agents of a gateway share: the catalogue, connections, rests.

    Guarantees: the connections are closed when the last runtime that used them is.

    Args:
        first_wait_s: the pause before a failed call is first repeated.
    """

    def __init__(
        self, catalog: Catalog, cooldowns: Cooldowns, *, first_wait_s: float = 0.5
    ) -> None:
        self.catalog = catalog
        self.cooldowns = cooldowns
        self._users: set[int] = set()
        self._first_wait_s = first_wait_s
        self._asking: Asking | None = None
        self._clients: Any = None

    async def asking(self, user: object) -> Asking:
        """Return what asks models, importing it the first time.

        Args:
            user: who asks, until it is `released`.

        Raises:
            ImportError: the extra is not installed.
        """
        self._users.add(id(user))
        if self._asking is None:
            asking: Any = await asyncio.to_thread(_load, "asking")
            clients: Any = await asyncio.to_thread(_load, "clients")
            if self._asking is None:  # somebody else was quicker meanwhile
                self._clients = clients.Clients()
                self._asking = asking.Asking(
                    self._clients, self.cooldowns, first_wait_s=self._first_wait_s
                )
        made: Asking = self._asking
        return made

    async def release(self, user: object) -> None:
        """Close every connection, if this was the last user."""
        self._users.discard(id(user))
        if not self._users and self._clients is not None:
            await self._clients.close()


class ModelRuntime:
    """Answers with a model."""

    name = "model"
    abilities = Abilities(resumable=True)

    def __init__(self, settings: AgentModel, models: Models, *, tools: ToolsFor = no_tools) -> None:
        self._settings = settings
        self._models = models
        self._tools = tools
        self._engine: Engine | None = None
        self._is_closed = False

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Answer one turn."""
        try:
            engine = await self._loaded()
        except ImportError as error:
            log.error("model.not_installed", agent=turn.agent_id, error=str(error))
            yield Failed(NOT_INSTALLED)
            return
        async with aclosing(engine.answer(turn)) as events:
            async for event in events:
                yield event

    async def compact(self, turn: Turn) -> AsyncGenerator[AgentEvent, None]:
        """Yield the events of a compaction; none when there is nothing to summarise.

        Raises:
            Exception: no model could be asked; its text is for the operator.
        """
        engine = await self._loaded()
        async with aclosing(engine.compact(turn)) as events:
            async for event in events:
                yield event

    async def warm_up(self) -> None:
        """Import what the first answer needs."""
        try:
            await self._loaded()
        except ImportError as error:
            log.error("model.not_installed", error=str(error))

    async def close(self) -> None:
        """Close the connections, unless other agents use them."""
        self._is_closed = True
        await self._models.release(self)

    async def _loaded(self) -> Engine:
        if self._engine is None:
            module: Any = await asyncio.to_thread(_load, "engine")
            asking = await self._models.asking(self)
            if self._is_closed:  # while it was being warmed up
                await self._models.release(self)
            self._engine = module.Engine(
                settings=self._settings,
                catalog=self._models.catalog,
                asking=asking,
                tools=self._tools,
            )
        made: Engine = self._engine
        return made


def _load(module: str) -> object:
    return importlib.import_module(f"portico.agents.model.{module}")
