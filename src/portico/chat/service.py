"""What becomes of something an operator says: a command that is obeyed, or a message on the path.

Guarantees: the run id is the client's idempotency key; saying the same again never starts a second
run, before or after a restart, and `/new` or `/reset` said twice resets once. A message is on disk
when it is acknowledged.

Not here: running (turns), the shapes of answers (rpc.py).

Source: OpenClaw gateway protocol, "chat.send" and "agent".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from portico.agents.runtime import TurnRequest
from portico.agents.service import Agents
from portico.channels.model import InboundMessage, Peer
from portico.channels.registry import DEFAULT_ACCOUNT
from portico.chat.attachments import AttachmentLimits, accept_attachments
from portico.chat.commands.model import Order
from portico.chat.commands.orders import Orders
from portico.chat.resetting import NEW_SESSION_TEXT, Resets
from portico.clock import Clock
from portico.events.hub import Hub
from portico.inbox.model import Accepted, Giver, Routing
from portico.inbox.service import Inbox
from portico.protocol.errors import Forbidden, InvalidRequest
from portico.protocol.keys import DmScope
from portico.protocol.scopes import Scope
from portico.rpc.call import Call
from portico.sessions.mutations import chat_type_of
from portico.sessions.service import Sessions
from portico.sessions.talk import AbortAck, Said, SendAck
from portico.turns.model import Enqueued
from portico.turns.service import Turns

DOOR = "webchat"
BUILT_IN = frozenset({"stop", "new", "reset"})
"""Commands of the protocol itself: they are obeyed before the message is on its path."""


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """What is configured of operators' messages."""

    dm_scope: DmScope = "main"
    attachments: AttachmentLimits = field(default_factory=AttachmentLimits)


class ChatService:
    """Says things in sessions on behalf of operators."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        turns: Turns,
        sessions: Sessions,
        agents: Agents,
        hub: Hub,
        clock: Clock,
        resets: Resets,
        orders: Orders,
        settings: ChatSettings,
        is_channel: Callable[[str], bool] = lambda _channel: False,
    ) -> None:
        self._inbox = inbox
        self._turns = turns
        self._sessions = sessions
        self._agents = agents
        self._hub = hub
        self._clock = clock
        self._resets = resets
        self._orders = orders
        self._is_channel = is_channel
        self.settings = settings

    async def send(self, call: Call, said: Said) -> SendAck | AbortAck:
        """Accept a message, or obey a command.

        Raises:
            Forbidden: the command needs more than the caller holds.
            InvalidRequest: unknown agent, unusable attachments, a reused key.
            Overloaded: the lane is full.
        """
        spoken = self._orders.book.spoken(said.text) if said.commands else None
        if spoken is None:
            return await self._accept(call, said)
        command, rest = spoken
        if command.name == "stop":
            run_ids = await self._turns.cancel_session(said.key, "stop")
            return AbortAck(aborted=bool(run_ids), run_ids=tuple(run_ids))
        if command.name in BUILT_IN:
            await self._begin_anew(call, said, command.name)
            if not rest and not said.attachments:
                self._say_it_is_new(said)
                return SendAck(run_id=said.run_id, status="ok")
            said = replace(said, text=rest, commands=False)
        elif self._are_commands(said) and command.scope not in call.principal.scopes:
            raise Forbidden.missing_scope(command.scope)
        return await self._accept(call, said)

    async def _begin_anew(self, call: Call, said: Said, reason: str) -> None:
        if Scope.ADMIN not in call.principal.scopes:
            raise Forbidden.missing_scope(Scope.ADMIN)
        self._check_agent(said.key)
        await self._resets.begin_anew(
            said.key,
            reason=reason,
            door=f"{said.door}.command",
            subject=call.principal.subject,
            run_id=said.run_id,
            text=said.text,
        )

    def _say_it_is_new(self, said: Said) -> None:
        self._hub.publish(
            "chat",
            {
                "runId": said.run_id,
                "sessionKey": said.key,
                "agentId": self._sessions.agent_of(said.key),
                "seq": 0,
                "state": "final",
                "stopReason": "stop",
                "message": {
                    "role": "assistant",
                    "content": [{"type": "text", "text": NEW_SESSION_TEXT}],
                    "timestamp": self._clock.now_ms(),
                },
            },
            session_key=said.key,
            droppable=False,
        )

    async def _accept(self, call: Call, said: Said) -> SendAck:
        if not said.text.strip() and not said.attachments:
            raise InvalidRequest("message or attachment required")
        agent_id = self._check_agent(said.key)
        session = await self._sessions.find(said.key)
        if session is not None and session.settings.get("sendPolicy") == "deny":
            raise InvalidRequest("send blocked by session policy")
        request = TurnRequest(
            text=said.text,
            system_prompt=said.system_prompt,
            model=said.model,
            thinking=said.thinking,
            timeout_s=said.timeout_s,
        )
        message = InboundMessage(
            channel=DOOR,
            account=DEFAULT_ACCOUNT,
            event_key=said.run_id,
            peer=Peer(chat_type_of(said.key), said.key),
            sender=call.principal.subject,
            text=said.text,
            attachments=accept_attachments(said.attachments, self.settings.attachments),
            session_key=said.key,
            agent_id=agent_id,
            trace_id=call.trace_id,
        )
        routing = Routing(
            session_key=said.key,
            agent_id=agent_id,
            run_id=said.run_id,
            queue_mode=said.queue_mode,
            created_via=said.created_via,
            giver=_giver(call) if self._are_commands(said) else None,
        )
        return await self._acknowledge(said, await self._inbox.accept(message, request, routing))

    def _check_agent(self, key: str) -> str:
        agent_id = self._sessions.agent_of(key)
        self._agents.get(agent_id)
        return agent_id

    def _are_commands(self, said: Said) -> bool:
        """Whether a text is looked at for commands: whoever asks for a run waits for a turn."""
        return said.commands and said.door != "agent" and self._orders.rules.settings.text

    async def _acknowledge(self, said: Said, accepted: Accepted) -> SendAck:
        run_id = accepted.run_id or said.run_id
        if accepted.duplicate:
            row = await self._turns.find(run_id)
            is_open = row is not None and row.is_open
            return SendAck(run_id=run_id, status="in_flight" if is_open else "ok")
        turn = accepted.turn
        if isinstance(accepted.order, Order):
            return SendAck(run_id=run_id, status="started")
        if not isinstance(turn, Enqueued):  # kept as context: there is nothing to wait for
            return SendAck(run_id=run_id, status="ok")
        result = turn.row.result
        interrupts = turn.running is not None and said.queue_mode == "interrupt"
        return SendAck(
            run_id=run_id,
            status="started",
            message_seq=None if result is None else result.message_seq,
            interrupted_active_run=True if interrupts else None,
        )

    def check_channel(self, channel: str | None) -> None:
        """Refuse an answer's way out that is not there.

        Raises:
            InvalidRequest: no such channel.
        """
        if channel and channel not in {DOOR, "last"} and not self._is_channel(channel):
            raise InvalidRequest(f"unsupported channel: {channel}")


def _giver(call: Call) -> Giver:
    who = call.principal
    return Giver(
        subject=who.subject,
        scopes=who.scopes,
        name=who.client_id,
        device_id=who.device_id,
    )
