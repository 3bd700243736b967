"""Commands about models: which one, how long it thinks, what was used."""

from __future__ import annotations

from datetime import UTC

from portico.agents.model.catalog import UnknownModel
from portico.agents.rpc_models import models_of, thinking_levels
from portico.agents.service import Agent, Agents
from portico.budgets.service import Balances, Budgets
from portico.chat.commands.book import command
from portico.chat.commands.model import Arg, Asked, Refused
from portico.chat.commands.words import count, money
from portico.chat.usage.days import days_of
from portico.chat.usage.sums import gather
from portico.clock import Clock
from portico.protocol.scopes import Scope
from portico.sessions import shapes
from portico.sessions.mutations import Expected, Patch
from portico.sessions.service import Sessions
from portico.store import Store

MAX_MODELS = 40
DEFAULT = "default"


class ThinkingCommands:
    """`/model`, `/models`, `/think`, `/usage`."""

    def __init__(
        self, *, sessions: Sessions, agents: Agents, budgets: Budgets, store: Store, clock: Clock
    ) -> None:
        self._sessions = sessions
        self._agents = agents
        self._budgets = budgets
        self._store = store
        self._clock = clock

    @command(
        "model",
        "Show or choose this session's model.",
        category="options",
        args=(Arg("model", "provider/model, an alias, `list`, or `default`"),),
        scope=Scope.WRITE,
        holds=True,
    )
    async def model(self, asked: Asked) -> str:
        """Show the session's model, or set or clear it."""
        agent = self._agent(asked)
        wanted = asked.text.lower()
        if wanted in {"", "status"}:
            session = await self._sessions.find(asked.key)
            chosen = None if session is None else session.model
            model = shapes.model_of(agent, chosen)
            origin = "chosen for this session" if chosen else "the agent's own"
            return f"Model: `{model.model_provider}/{model.model}`, {origin}. /models lists others."
        self._check_is_owner(asked)
        if wanted == "list":
            return self._listed(agent)
        if agent.runtime.name != "model":
            raise Refused(f"The agent `{agent.agent_id}` ({agent.runtime.name}) has no models.")
        name = None if wanted == DEFAULT else self._known(asked.text)
        await self._sessions.patch(
            asked.key, Patch(columns={"model": name}, settings={}), Expected()
        )
        model = shapes.model_of(agent, name)
        which = f"`{model.model_provider}/{model.model}`"
        return f"This session uses {which}" + (", the agent's own." if name is None else ".")

    @staticmethod
    def _check_is_owner(asked: Asked) -> None:
        if asked.giver.is_sender and not asked.is_owner:
            raise Refused(
                "Only an owner of this gateway may choose the model: "
                f"`commands.ownerAllowFrom` does not name {asked.giver.subject}."
            )

    def _known(self, name: str) -> str:
        try:
            return self._agents.catalog.resolve(name).name
        except UnknownModel:
            raise Refused(f"There is no model `{name}`. /models lists those there are.") from None

    @command("models", "List the models.", category="options", audience="owner")
    async def models(self, asked: Asked) -> str:
        """List what can be chosen."""
        return self._listed(self._agent(asked))

    def _listed(self, agent: Agent) -> str:
        found = models_of(self._agents, agent)
        lines = [f"- `{one.provider}/{one.id}`" for one in found[:MAX_MODELS]]
        if len(found) > MAX_MODELS:
            lines.append(f"- and {len(found) - MAX_MODELS} more")
        return "\n".join(lines)

    @command(
        "think",
        "Show or set how long the model thinks.",
        category="options",
        aliases=("thinking", "t"),
        args=(Arg("level", "off, minimal, low, medium, high, xhigh, or `default`"),),
        scope=Scope.WRITE,
        audience="direct",
        holds=True,
    )
    async def think(self, asked: Asked) -> str:
        """Show the session's thinking level, or set or clear it."""
        agent, wanted = self._agent(asked), asked.text.lower()
        levels = thinking_levels(agent, self._agents.catalog)
        if not wanted:
            session = await self._sessions.find(asked.key)
            chosen = None if session is None else session.settings.get("thinkingLevel")
            shown = chosen or agent.thinking or "as the model does by itself"
            return f"Thinking: {shown}. It can be {', '.join(levels)}."
        if wanted != DEFAULT and wanted not in levels:
            raise Refused(f"Thinking can be {', '.join(levels)}, or {DEFAULT}.")
        level = None if wanted == DEFAULT else wanted
        change = Patch(columns={}, settings={"thinkingLevel": level})
        await self._sessions.patch(asked.key, change, Expected())
        return f"Thinking: {level or agent.thinking or 'as the model does by itself'}."

    @command("usage", "Show what was used, and what is left.", category="status")
    async def usage(self, asked: Asked) -> str:
        """Tell of this session, and an owner also of the gateway and its budgets."""
        session = await self._sessions.find(asked.key)
        tokens = 0 if session is None else session.input_tokens + session.output_tokens
        cost = 0.0 if session is None else session.cost_usd
        lines = [f"This session: {count(tokens, 'token')}, {money(cost)}"]
        if asked.is_owner:
            today = days_of(
                now_ms=self._clock.now_ms(), zone=UTC, start=None, end=None, span=None, count=1
            )
            totals = (await self._store.scan(gather, today)).total.totals()
            spent = f"{count(totals.total_tokens, 'token')}, {money(totals.total_cost)}"
            lines.append(f"The gateway today (UTC): {spent}")
            lines += [_limit(one) for one in await self._budgets.balances(most=1)]
        return "\n".join(lines)

    def _agent(self, asked: Asked) -> Agent:
        return self._agents.get(self._sessions.agent_of(asked.key))


def _limit(one: Balances) -> str:
    limit = one.limit
    who = limit.scope if limit.id is None else f"{limit.scope} {limit.id}"
    share = max((limit.share(standing.spent) for standing in one.standings), default=0.0)
    return f"Budget of {who} per {limit.period}: {share:.0%} used"
