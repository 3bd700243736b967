"""Which agent, which session, and where the answer goes: what a posted body may decide of it.

Guarantees: a body cannot choose the session of another agent, one outside the allowed prefixes, or
any at all unless that is configured.
"""

from __future__ import annotations

import hashlib

from portico.agents.service import Agents
from portico.automation.cron.routing import last_route
from portico.automation.hooks.model import AgentBody, HookSettings
from portico.channels.model import Peer, ReplyRoute
from portico.channels.registry import ChannelRegistry
from portico.channels.webchat import CHANNEL as CHAT
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest
from portico.store import Store


class Places:
    """Where hooks may go."""

    def __init__(
        self,
        *,
        store: Store,
        agents: Agents,
        senders: ChannelRegistry,
        main_key: str,
        settings: HookSettings,
    ) -> None:
        self._store = store
        self._agents = agents
        self._senders = senders
        self._main_key = main_key
        self.settings = settings

    def main_session(self, agent_id: str) -> str:
        """Return an agent's main session."""
        return f"agent:{agent_id}:{self._main_key}"

    def agent_id(self, given: str | None) -> str:
        """Return which agent is meant.

        Raises:
            InvalidRequest: there is no such agent, or hooks may not ask it.
        """
        agent_id = self._agents.default_id if given is None else keys.normalize_agent_id(given)
        if self._agents.find(agent_id) is None:
            raise InvalidRequest(f"unknown agent: {agent_id}")
        allowed = self.settings.agent_ids
        if allowed is not None and agent_id not in allowed:
            raise InvalidRequest(f"agent {agent_id} is not allowed (hooks.allowedAgentIds)")
        return agent_id

    def named_session(self, given: str | None, agent_id: str) -> str | None:
        """Return the session a body names.

        Raises:
            InvalidRequest: it may not.
        """
        if given is None:
            return None
        if not self.settings.may_name_session:
            raise InvalidRequest("sessionKey is not allowed here (hooks.allowRequestSessionKey)")
        return self.session(given, agent_id)

    def session(self, given: str, agent_id: str) -> str:
        """Return a session's canonical key.

        Raises:
            InvalidRequest: hooks may not go there.
        """
        key = keys.canonical(given, default_agent=agent_id, main_key=self._main_key)
        if keys.agent_of(key, default_agent=agent_id) != agent_id:
            raise InvalidRequest(f"session {given} is another agent's")
        self.check_prefix(key)
        return key

    def check_prefix(self, key: str) -> None:
        """Refuse sessions hooks may not go to.

        Raises:
            InvalidRequest: this is one.
        """
        prefixes = self.settings.session_prefixes
        rest = keys.parse(key).rest
        if prefixes and not rest.startswith(prefixes) and not key.startswith(prefixes):
            raise InvalidRequest("this session is not allowed (hooks.allowedSessionKeyPrefixes)")

    def usual_session(self, agent_id: str, event_key: str) -> str:
        """Return where a delivery goes that names no session."""
        usual = self.settings.default_session_key
        if usual is not None:
            return self.session(usual, agent_id)
        own = hashlib.blake2b(event_key.encode(), digest_size=16).hexdigest()
        return f"agent:{agent_id}:hook:{own}"

    async def route(self, body: AgentBody, agent_id: str) -> ReplyRoute | None:
        """Return where the answer is sent; `None`: it is only kept.

        Raises:
            InvalidRequest: there is no such channel, or no chat is named.
        """
        if not body.deliver:
            return None
        main = self.main_session(agent_id)
        if body.channel in {None, "last"}:
            last: ReplyRoute | None = await self._store.read(last_route, main, self._senders)
            if last is None or body.to is None:
                return last
            return ReplyRoute(
                last.channel, body.account_id or last.account, Peer("direct", body.to)
            )
        channel = str(body.channel)
        if not self._senders.is_known(channel):
            raise InvalidRequest(f"unknown channel: {channel}")
        if body.to is None and channel != CHAT:
            raise InvalidRequest(f"to is required for channel {channel}")
        account = body.account_id or self._senders.default_account(channel)
        return ReplyRoute(channel, account, Peer("direct", body.to or main))
