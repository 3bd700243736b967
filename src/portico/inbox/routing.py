"""Where a message from a channel goes: its agent, by the bindings, and its session.

Guarantees: no I/O. What the door has chosen already (a session, an agent) is kept.

Source: OpenClaw, channel routing; architecture, "The message path", step 3.
"""

from __future__ import annotations

from collections.abc import Callable

from portico.channels.model import InboundMessage
from portico.inbox.model import Routing
from portico.protocol import keys
from portico.protocol.keys import DmScope


class Router:
    """Routes by what is configured now.

    Args:
        agent_for: who answers a message; asked for every one, so that bindings may change.
    """

    def __init__(
        self,
        *,
        agent_for: Callable[[InboundMessage], str],
        dm_scope: DmScope = "main",
        main_key: str = "main",
    ) -> None:
        self._agent_for = agent_for
        self._dm_scope: DmScope = dm_scope
        self._main_key = main_key

    def configure(self, dm_scope: DmScope) -> None:
        """Keep direct messages apart in another way from now on."""
        self._dm_scope = dm_scope

    def route(self, message: InboundMessage) -> Routing:
        """Return where a message goes."""
        if message.session_key is not None:
            default = message.agent_id or self._agent_for(message)
            agent_id = keys.agent_of(message.session_key, default_agent=default)
            return Routing(message.session_key, agent_id, created_via="channel")
        agent_id = message.agent_id or self._agent_for(message)
        key = keys.derive(
            agent_id=agent_id,
            channel=message.channel,
            account=message.account,
            peer_kind=message.peer.kind,
            peer_id=message.peer.id,
            thread_id=message.thread_id,
            dm_scope=self._dm_scope,
            main_key=self._main_key,
        )
        asked = f"{message.peer.kind}:{message.peer.id}"
        return Routing(key, agent_id, created_via="channel", asked=asked)
