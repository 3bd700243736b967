"""Commands that tell: what there is, who asks, how things stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from portico import __version__
from portico.agents.service import Agents
from portico.chat.commands.book import command
from portico.chat.commands.model import Asked, Command
from portico.chat.commands.words import count, money, span
from portico.clock import Clock
from portico.sessions import shapes
from portico.sessions.model import Session
from portico.sessions.service import Sessions
from portico.turns.life import TurnState
from portico.turns.model import TurnRow
from portico.turns.service import Turns

if TYPE_CHECKING:
    from portico.config.sections.conversation import QueueSettings

USUAL = ("status", "model", "new", "stop", "usage")
SHOWN_WAITING = 10
SHOWN_CHARS = 80


class AboutCommands:
    """`/help`, `/commands`, `/whoami`, `/status`, `/queue`."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        turns: Turns,
        agents: Agents,
        clock: Clock,
        started_ms: int,
        queue: Callable[[], QueueSettings],
    ) -> None:
        self._sessions = sessions
        self._turns = turns
        self._agents = agents
        self._clock = clock
        self._started_ms = started_ms
        self._queue = queue

    @command("help", "Show the usual commands.", category="status")
    async def help(self, asked: Asked) -> str:
        """Name the commands people use most, of those that are open to the person."""
        mine = {one.name: one for one in asked.book.open_to(asked.giver)}
        usual = [mine[name] for name in USUAL if name in mine]
        rest = "/commands lists all. What begins with // is for the agent, without one of the two."
        return "\n".join([*map(_line, usual), "", rest])

    @command("commands", "List all commands.", category="status")
    async def commands(self, asked: Asked) -> str:
        """List what is open to the person."""
        return "\n".join(map(_line, asked.book.open_to(asked.giver)))

    @command("whoami", "Show who you are to the gateway.", category="status", aliases=("id",))
    async def whoami(self, asked: Asked) -> str:
        """Tell a person how the gateway knows him."""
        giver, order = asked.giver, asked.order
        lines = [f"You: `{giver.subject}`" + (f" ({giver.name})" if giver.name else "")]
        if giver.is_sender:
            lines.append("Owner: yes" if asked.is_owner else "Owner: no")
        else:
            lines.append(f"Scopes: {', '.join(sorted(giver.scopes))}")
        peer = order.reply_route.peer
        if giver.is_sender:
            lines.append(f"Here: {order.channel} {peer.kind} `{peer.id}`")
        return "\n".join([*lines, f"Session: `{order.session_key}`"])

    @command("status", "Show how this conversation stands.", category="status")
    async def status(self, asked: Asked) -> str:
        """Tell of the session, who answers in it, and what it does now."""
        session = await self._sessions.find(asked.key)
        lane = await self._turns.open_in_lane(asked.key)
        lines = [
            self._conversation(asked.key, session),
            self._who_answers(asked.key, session),
            self._doing(lane, asked.order.channel),
            _used(session),
        ]
        if asked.is_owner:
            up = span(self._clock.now_ms() - self._started_ms)
            running = count(self._turns.running, "turn")
            lines.append(f"Gateway: Portico {__version__}, up {up}, {running} running")
        return "\n".join(lines)

    def _conversation(self, key: str, session: Session | None) -> str:
        if session is None:
            return f"Session: `{key}`, new"
        age = span(self._clock.now_ms() - session.session_started_at)
        name = f" “{session.label}”" if session.label else ""
        return f"Session: `{key}`{name}, begun {age} ago, {count(session.message_count, 'message')}"

    def _who_answers(self, key: str, session: Session | None) -> str:
        agent = self._agents.get(self._sessions.agent_of(key))
        named = f"{agent.name} (`{agent.agent_id}`)" if agent.name else f"`{agent.agent_id}`"
        chosen = None if session is None else session.model
        model = shapes.model_of(agent, chosen)
        origin = ", chosen for this session" if chosen else ""
        level = (session.settings.get("thinkingLevel") if session else None) or agent.thinking
        thinking = f", thinking {level}" if level else ""
        return f"Agent: {named}, model `{model.model_provider}/{model.model}`{origin}{thinking}"

    def _doing(self, lane: list[TurnRow], channel: str) -> str:
        running = next((row for row in lane if row.state is TurnState.RUNNING), None)
        waiting = sum(row.state is TurnState.QUEUED for row in lane)
        now = "idle"
        if running is not None:
            now = f"answering for {span(self._clock.now_ms() - (running.started_at or 0))}"
        return f"Now: {now}, {waiting} waiting (queue mode {self._mode(channel)})"

    def _mode(self, channel: str) -> str:
        settings = self._queue()
        return settings.by_channel.get(channel, settings.mode)

    @command("queue", "Show what waits for an answer here, and how.", category="status")
    async def queue(self, asked: Asked) -> str:
        """List what runs and waits in the session."""
        lane, now = await self._turns.open_in_lane(asked.key), self._clock.now_ms()
        settings = self._queue()
        lines = [f"Queue mode {self._mode(asked.order.channel)}, at most {settings.cap} waiting."]
        for row in lane[: SHOWN_WAITING + 1]:
            since = row.started_at if row.state is TurnState.RUNNING else row.queued_at
            said = shapes.one_line(row.request.text, SHOWN_CHARS) if _may_see(asked, row) else "…"
            lines.append(f"- {row.state.value} for {span(now - (since or now))}: {said}")
        if not lane:
            lines.append("Nothing runs or waits.")
        elif len(lane) > SHOWN_WAITING + 1:
            lines.append(f"- and {len(lane) - SHOWN_WAITING - 1} more")
        return "\n".join(lines)

    @command("agents", "List the agents.", category="management", audience="owner")
    async def agents(self, asked: Asked) -> str:
        """List who can answer; the one of this session is marked."""
        mine = self._sessions.agent_of(asked.key)
        lines: list[str] = []
        for agent in self._agents.list():
            name = f" {agent.name}" if agent.name else ""
            here = ", answers here" if agent.agent_id == mine else ""
            lines.append(f"- `{agent.agent_id}`{name} ({agent.runtime.name}{here})")
        return "\n".join(lines)


def _may_see(asked: Asked, row: TurnRow) -> bool:
    """Whether somebody is shown what was said: several people may share a session."""
    giver = asked.giver
    is_own = giver.subject == f"{row.reply_route.channel}:{row.request.sender}"
    return is_own or asked.is_owner or not giver.is_sender


def _used(session: Session | None) -> str:
    if session is None:
        return "Used: nothing yet"
    tokens = f"{session.input_tokens:,} tokens in, {session.output_tokens:,} out"
    context = f", {session.context_tokens:,} in context" if session.context_tokens else ""
    return f"Used: {tokens}{context}, {money(session.cost_usd)}"


def _line(one: Command) -> str:
    args = "".join(f" <{arg.name}>" if arg.is_required else f" [{arg.name}]" for arg in one.args)
    return f"/{one.name}{args}: {one.description}"
