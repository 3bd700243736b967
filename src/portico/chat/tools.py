"""The tool with which an agent says something in another conversation.

Theory of operation: the message goes through the inbox like every other, on the channel `agent`,
whose answers nobody sends: they stay in the transcript, and whoever waits gets them. It carries the
sessions it came through. One that waits for the answer is never written to (both would wait until
their time is up), and a message is not passed on more often than configured, so that agents who
answer each other come to an end.

Guarantees: what a turn that has read untrusted text sends is untrusted where it arrives, and so is
an answer made from such text. The same call never sends twice.

Source: OpenClaw, session tools (`sessions_send`); `session.agentToAgent.maxPingPongTurns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from portico.agents.runtime import TurnRequest
from portico.agents.service import Agents
from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, ToolOutput, tool
from portico.channels.model import InboundMessage, Peer
from portico.channels.registry import DEFAULT_ACCOUNT
from portico.inbox.model import Accepted, Routing
from portico.inbox.policy import OPEN_DOOR
from portico.inbox.service import Inbox
from portico.protocol import keys
from portico.protocol.errors import GatewayError
from portico.sessions.mutations import chat_type_of
from portico.sessions.reach import Reach, out_of_reach
from portico.sessions.service import Sessions
from portico.turns.life import TurnState
from portico.turns.model import TurnRow
from portico.turns.service import Turns

CHANNEL = "agent"
THROUGH = "portico.through"  # in a request's extensions: the sessions a message came through
MAX_WAIT_S = 600
MAX_MESSAGE_CHARS = 100_000
MAX_SENDS = 20  # of one turn

FROM_AN_AGENT = (
    'This message was written by the agent "{agent}", not by a person. '
    "Only that agent reads your answer."
)


class SessionsSend(ToolArgs, frozen=True, kw_only=True):
    """What `sessions_send` takes."""

    message: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MESSAGE_CHARS)]
    session_key: Annotated[
        str | None, msgspec.Meta(description="Key or session id, from sessions_list.")
    ] = None
    agent_id: Annotated[
        str | None,
        msgspec.Meta(description="In place of a session: another agent, in its main session."),
    ] = None
    timeout_seconds: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=MAX_WAIT_S, description="How long to wait for the answer; 0: do not wait."
        ),
    ] = 30


class SentOn(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What became of it."""

    run_id: str
    status: Literal["accepted", "ok", "timeout", "error"]
    session_key: str
    reply: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Target:
    key: str
    agent_id: str


class AgentTalk:
    """`sessions_send`.

    Args:
        max_hops: how often a message may be passed on from session to session.
    """

    def __init__(
        self,
        *,
        inbox: Inbox,
        turns: Turns,
        sessions: Sessions,
        agents: Agents,
        reach: Reach,
        max_hops: int = 5,
    ) -> None:
        self._inbox = inbox
        self._turns = turns
        self._sessions = sessions
        self._agents = agents
        self._reach = reach
        self._max_hops = max_hops

    @tool("sessions_send", group="sessions", is_untrusted=True, timeout_s=MAX_WAIT_S + 30.0)
    async def send(self, call: ToolCall, args: SessionsSend) -> ToolOutput:
        """Say something in another conversation of this gateway, and wait for its agent's answer.

        It is for the agent there; to write to a person, use `message`.
        """
        target = await self._target(call, args)
        through = await self._through(call)
        self._check(call, target, through)
        accepted = await self._accept(call, args, target, (*through, call.session_key))
        run_id = accepted.run_id or ""
        if not args.timeout_seconds:
            sent = SentOn(run_id=run_id, status="accepted", session_key=target.key)
            return ToolOutput(sent, is_untrusted=False)
        row = await self._turns.wait(run_id, args.timeout_seconds)
        answer = _answer(row, run_id, target.key)
        return ToolOutput(answer, is_untrusted=await self._is_untrusted(row))

    async def _target(self, call: ToolCall, args: SessionsSend) -> _Target:
        if (args.session_key is None) == (args.agent_id is None):
            raise ToolError("Say either sessionKey or agentId.")
        if args.agent_id is not None:
            agent = self._agents.find(keys.normalize_agent_id(args.agent_id))
            key = None if agent is None else self._sessions.main_session_key(agent.agent_id)
            if key is None or agent is None or not await self._may_begin(call, agent.agent_id, key):
                raise out_of_reach(args.agent_id)
            return _Target(key, agent.agent_id)
        session = await self._reach.find(call, args.session_key)
        return _Target(session.key, session.agent_id)

    async def _may_begin(self, call: ToolCall, agent_id: str, key: str) -> bool:
        session = await self._sessions.find(key)
        if session is not None:
            return await self._reach.includes(call, session)
        return self._reach.rules.reaches_agent(call, agent_id)

    async def _through(self, call: ToolCall) -> tuple[str, ...]:
        row = None if call.run_id is None else await self._turns.find(call.run_id)
        known = None if row is None else row.request.extensions.get(THROUGH)
        return tuple(str(key) for key in known) if isinstance(known, list | tuple) else ()

    def _check(self, call: ToolCall, target: _Target, through: tuple[str, ...]) -> None:
        if target.key == call.session_key:
            raise ToolError("That is this conversation: just answer.")
        if target.key in through:
            raise ToolError("That conversation waits for this one: just answer.")
        if len(through) >= self._max_hops:
            raise ToolError(f"A message is not passed on more than {self._max_hops} times.")
        if call.earlier >= MAX_SENDS:
            raise ToolError(f"A turn sends at most {MAX_SENDS} messages to other conversations.")

    async def _accept(
        self, call: ToolCall, args: SessionsSend, target: _Target, through: tuple[str, ...]
    ) -> Accepted:
        message = InboundMessage(
            channel=CHANNEL,
            account=DEFAULT_ACCOUNT,
            event_key=f"{call.run_id or call.session_key}:{call.call_id}",
            peer=Peer(chat_type_of(target.key), call.session_key),
            sender=f"{CHANNEL}:{call.agent_id}",
            text=args.message,
            session_key=target.key,
            agent_id=target.agent_id,
            is_untrusted=call.is_untrusted,
        )
        request = TurnRequest(
            text=args.message,
            system_prompt=FROM_AN_AGENT.format(agent=call.agent_id),
            extensions={THROUGH: through},
        )
        routing = Routing(
            target.key,
            target.agent_id,
            queue_mode="followup",
            created_via="internal",
            keeps_route=True,
        )
        try:
            return await self._inbox.take(message, request, routing, policy=OPEN_DOOR)
        except GatewayError as error:
            raise ToolError(f"It was not taken: {error.message}") from None

    async def _is_untrusted(self, row: TurnRow | None) -> bool:
        """Whether text from outside went into an answer; one without an answer says nothing."""
        result = None if row is None else row.result
        if result is None or result.entry_id is None:
            return False
        entry = await self._sessions.find_entry(result.entry_id)
        return entry is None or bool(entry.meta.get("untrusted"))


def _answer(row: TurnRow | None, run_id: str, key: str) -> SentOn:
    if row is None or row.is_open:
        error = "No answer yet; the conversation goes on. Read it later with sessions_history."
        return SentOn(run_id=run_id, status="timeout", session_key=key, error=error)
    result = row.result
    reply = None if result is None else result.text
    if row.state is TurnState.SUCCEEDED:
        return SentOn(run_id=run_id, status="ok", session_key=key, reply=reply)
    why = (None if result is None else result.error) or f"the run was {row.state.value}"
    return SentOn(run_id=run_id, status="error", session_key=key, error=why)
