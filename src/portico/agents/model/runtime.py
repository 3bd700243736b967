"""The `model` runtime: an agent that thinks with a language model.

Guarantees: pydantic-ai is imported in a thread, when the agent is warmed up or first answers; where
it is not installed, the turn fails with a sentence that says what to install.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import structlog

from portico.agents.importing import import_off_loop
from portico.agents.model.catalog import Catalog, UnknownModel
from portico.agents.model.cooldown import Cooldowns
from portico.agents.model.settings import AgentModel
from portico.agents.model.tools import GuidanceFor, ToolsFor, no_guidance, no_tools
from portico.agents.runtime import (
    Abilities,
    AgentEvent,
    Embedded,
    EmbeddingRefused,
    Failed,
    Turn,
)

if TYPE_CHECKING:
    from portico.agents.model.asking import Asking
    from portico.agents.model.clients import Clients
    from portico.agents.model.embedding import Embedder
    from portico.agents.model.engine import Engine

log = structlog.get_logger()

NOT_INSTALLED = (
    "This agent needs a part of Portico that is not installed. "
    "The operator can add it: pip install 'portico[agent]'"
)


NO_EMBEDDINGS = "no embedding model is configured for this agent, or it is not known"


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
        self._embedder: Embedder | None = None
        self._clients: Clients | None = None

    async def asking(self, user: object) -> Asking:
        """Return what asks models, importing it the first time.

        Args:
            user: who asks, until it is `released`.

        Raises:
            ImportError: the extra is not installed.
        """
        self._users.add(id(user))
        if self._asking is None:
            asking: Any = await _load("asking")
            clients = await self._connections()
            self._asking = asking.Asking(clients, self.cooldowns, first_wait_s=self._first_wait_s)
        made: Asking = self._asking
        return made

    async def embedder(self, user: object) -> Embedder:
        """Return what asks embedding models, importing it the first time.

        Args:
            user: who asks, until it is `released`.

        Raises:
            ImportError: the extra is not installed.
        """
        self._users.add(id(user))
        if self._embedder is None:
            embedding: Any = await _load("embedding")
            clients = await self._connections()
            self._embedder = embedding.Embedder(clients, first_wait_s=self._first_wait_s)
        made: Embedder = self._embedder
        return made

    async def _connections(self) -> Clients:
        if self._clients is None:
            module: Any = await _load("clients")
            if self._clients is None:  # somebody else was quicker meanwhile
                self._clients = module.Clients()
        made: Clients = self._clients
        return made

    async def release(self, user: object) -> None:
        """Close every connection, if this was the last user."""
        self._users.discard(id(user))
        if not self._users and self._clients is not None:
            await self._clients.close()


class ModelRuntime:
    """Answers with a model."""

    name = "model"
    abilities = Abilities(resumable=True, steerable=True)

    def __init__(
        self,
        settings: AgentModel,
        models: Models,
        *,
        tools: ToolsFor = no_tools,
        guidance: GuidanceFor = no_guidance,
    ) -> None:
        self._settings = settings
        self._models = models
        self._tools = tools
        self._guidance = guidance
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

    async def embed(
        self, texts: Sequence[str], dimensions: int | None, *, model: str | None = None
    ) -> Embedded:
        """Return the vectors of texts, by the wanted or the configured embedding model.

        Raises:
            EmbeddingRefused: there is none, or it could not.
        """
        name = model or self._settings.embedding
        if name is None:
            raise EmbeddingRefused(NO_EMBEDDINGS, kind="not_available")
        try:
            choice = self._models.catalog.resolve(name)
            embedder = await self._models.embedder(self)
        except (UnknownModel, ImportError) as error:
            log.error("model.no_embeddings", model=name, error=str(error))
            raise EmbeddingRefused(NO_EMBEDDINGS, kind="not_available") from error
        return await embedder.embed(texts, dimensions, choice)

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
            module: Any = await _load("engine")
            asking = await self._models.asking(self)
            if self._is_closed:  # while it was being warmed up
                await self._models.release(self)
            self._engine = module.Engine(
                settings=self._settings,
                catalog=self._models.catalog,
                asking=asking,
                tools=self._tools,
                guidance=self._guidance,
            )
        made: Engine = self._engine
        return made


async def _load(module: str) -> object:
    return await import_off_loop(f"portico.agents.model.{module}")
