"""What people and programs say on a node, as messages to an agent.

Guarantees: every message is a committed row before the node is answered; what a node says is text
from outside: the turn it makes has the rights of one that has read such text.

Source: OpenClaw gateway protocol, "node.event": `voice.transcript`, `agent.request`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from portico.agents.runtime import TurnRequest
from portico.channels.model import Attachment, InboundMessage, Peer, ReplyRoute
from portico.inbox.model import Routing
from portico.inbox.service import Inbox
from portico.protocol import keys

CHANNEL = "node"
CHAT = "webchat"
DEFAULT_ACCOUNT = "default"
Wake = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Something said on a node.

    Attributes:
        once: names it; the same is taken once.
        answer_to: where else the answer goes.
    """

    node_id: str
    name: str
    text: str
    session_key: str
    once: str
    files: tuple[Attachment, ...] = ()
    answer_to: ReplyRoute | None = None
    thinking: str | None = None
    timeout_s: float | None = None


class NodeTalk:
    """Brings what nodes say to agents.

    Args:
        default_agent: returns who answers where no agent is named.
        wake: tells the agent of a session something, as events of the system are told.
        is_channel: whether answers can be sent through a channel.
    """

    def __init__(
        self,
        *,
        inbox: Inbox,
        default_agent: Callable[[], str],
        main_key: str,
        wake: Wake,
        is_channel: Callable[[str], bool],
        default_account: Callable[[str], str],
    ) -> None:
        self._inbox = inbox
        self._default_agent = default_agent
        self._main_key = main_key
        self._wake = wake
        self._is_channel = is_channel
        self._default_account = default_account

    def key(self, given: str) -> str:
        """Return the canonical key of a session a node names.

        Raises:
            InvalidRequest: it is malformed.
        """
        return keys.canonical(given, default_agent=self._default_agent(), main_key=self._main_key)

    @property
    def main(self) -> str:
        """The main session."""
        return self.key(self._main_key)

    def route(self, channel: str | None, to: str | None) -> ReplyRoute | None:
        """Return the route to somebody a node names; `None`: there is none."""
        if not channel or not to or not self._is_channel(channel):
            return None
        return ReplyRoute(channel, self._default_account(channel), Peer("direct", to))

    async def say(self, said: Said) -> str | None:
        """Give an agent a message; return its run's id, `None` when it is not answered."""
        agent_id = keys.agent_of(said.session_key, default_agent=self._default_agent())
        here = ReplyRoute(CHAT, DEFAULT_ACCOUNT, Peer("direct", said.session_key))
        message = InboundMessage(
            channel=CHANNEL,
            account=DEFAULT_ACCOUNT,
            event_key=f"{said.node_id}:{said.once}",
            peer=Peer("direct", said.node_id),
            sender=said.node_id,
            sender_name=said.name,
            text=said.text,
            attachments=said.files,
            session_key=said.session_key,
            agent_id=agent_id,
            is_untrusted=True,
            answer_to=said.answer_to or here,
        )
        request = TurnRequest(text="", thinking=said.thinking, timeout_s=said.timeout_s)
        going = Routing(
            session_key=said.session_key,
            agent_id=agent_id,
            queue_mode="followup",
            drop="new",
            created_via="operator",
            keeps_route=True,
        )
        accepted = await self._inbox.take(message, request, going)
        return accepted.run_id

    async def tell(self, session_key: str, text: str) -> None:
        """Tell the agent of a session what happened on a node, now or with its next heartbeat."""
        await self._wake(session_key, text, "now", is_untrusted=True)
