"""The way in for channels: every message is stored with what was decided about it.

Guarantees: nothing a sender does makes `take` raise; what cannot be answered is on record with its
reason, and the provider may forget it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from portico.agents.runtime import TurnRequest
from portico.channels.admission import Decision, Verdict
from portico.channels.contract import Received
from portico.channels.model import InboundMessage
from portico.inbox.service import Inbox
from portico.protocol.errors import Overloaded
from portico.store import Work

log = structlog.get_logger()


class Refusal:
    """The policy that refuses, for one reason."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def judge(self, message: InboundMessage, *, searchable: str, now: int) -> Work[Decision]:
        """Refuse."""
        yield from ()
        return Decision(Verdict.REFUSE, self._reason)


class ChannelIntake:
    """Puts messages of channels on the message path."""

    def __init__(self, inbox: Inbox, agent_of: Callable[[InboundMessage], str | None]) -> None:
        """Stand before the inbox.

        Args:
            agent_of: the agent an account or a group is set to; `None`: the bindings decide.
        """
        self._inbox = inbox
        self._agent_of = agent_of

    async def take(self, message: InboundMessage, *, beside: Callable[[], Work[None]]) -> Received:
        """Store a message and what was decided about it, with what is done beside it."""
        message = msgspec.structs.replace(message, agent_id=self._agent_of(message))
        request = TurnRequest(text=message.text)
        try:
            taken = await self._inbox.take(message, request, beside=beside)
        except Overloaded:
            full = Refusal("too many messages wait in this conversation")
            taken = await self._inbox.take(message, request, beside=beside, policy=full)
        if taken.is_retold:
            log.warning("inbox.retold", channel=message.channel, account=message.account)
        return Received(taken.verdict, taken.duplicate, taken.reason, taken.run_id)

    async def is_wanted(self, message: InboundMessage) -> bool:
        """Whether a message would be admitted or kept as context; nothing is stored."""
        return await self._inbox.foresee(message) is not Verdict.REFUSE
