"""From the configuration to the built-in tools of agents: each is constructed here and registered.

Not here: what the tools do, who may use them (`agents/tools/policy.py`), tools of MCP servers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from portico.agents.model.catalog import UnknownModel
from portico.agents.tools.documents.reader import Reader
from portico.agents.tools.roster import RosterTools
from portico.agents.tools.web import WebLimits, WebTools
from portico.channels.tools import AccountShown, ChannelTools
from portico.channels.webchat import CHANNEL as WEBCHAT
from portico.chat.tools import AgentTalk
from portico.fetch import Fetcher, FetchSettings
from portico.outbox.tools import MessageTools
from portico.sessions.reach import Reach, ReachRules
from portico.sessions.tools import SessionTools

if TYPE_CHECKING:
    from portico.agents.service import Agents
    from portico.agents.tools.registry import ToolRegistry
    from portico.channels.accounts.service import Accounts
    from portico.channels.registry import ChannelRegistry
    from portico.clock import Clock
    from portico.config.model import PorticoConfig
    from portico.inbox.service import Inbox
    from portico.outbox.service import Outbox
    from portico.sessions.service import Sessions
    from portico.turns.service import Turns


def add_built_in_tools(
    registry: ToolRegistry,
    config: PorticoConfig,
    *,
    accounts: Accounts,
    agents: Agents,
    clock: Clock,
    fetcher: Fetcher,
    inbox: Inbox,
    outbox: Outbox,
    senders: ChannelRegistry,
    sessions: Sessions,
    turns: Turns,
) -> None:
    """Construct every built-in tool and register it."""
    reach, reader = Reach(sessions, reach_rules(config)), Reader()
    web = WebTools(fetcher=fetcher, reader=reader, limits=web_limits(config))
    for feature in (
        SessionTools(
            sessions=sessions,
            reach=reach,
            queue=turns,
            clock=clock,
            context_window=lambda model: context_window(agents, model),
        ),
        AgentTalk(
            inbox=inbox,
            turns=turns,
            sessions=sessions,
            agents=agents,
            reach=reach,
            max_hops=config.session.agent_to_agent.max_ping_pong_turns,
        ),
        RosterTools(agents, reaches=reach.rules.reaches_agent),
        ChannelTools(lambda: channel_accounts(accounts)),
        MessageTools(outbox=outbox, senders=senders, reach=reach),
        web,
    ):
        registry.add(feature)


def reach_rules(config: PorticoConfig) -> ReachRules:
    """Return which sessions agents' tools reach."""
    tools = config.tools
    return ReachRules(
        visibility=tools.sessions.visibility,
        agent_to_agent=tools.agent_to_agent.enabled,
        agents=tools.agent_to_agent.allow,
    )


def web_settings(config: PorticoConfig) -> FetchSettings:
    """Return what agents may read of the web."""
    fetch = config.tools.web.fetch
    private = fetch.allow_private
    return FetchSettings(
        allow_private=private is True,
        private_hosts=() if isinstance(private, bool) else private,
        timeout_s=fetch.timeout_seconds,
        max_redirects=fetch.max_redirects,
        headers={"user-agent": fetch.user_agent} if fetch.user_agent else {},
    )


def web_limits(config: PorticoConfig) -> WebLimits:
    """Return how much of it they are shown."""
    fetch = config.tools.web.fetch
    return WebLimits(max_chars=fetch.max_chars, max_bytes=fetch.max_response_bytes)


def context_window(agents: Agents, model: str) -> int | None:
    """Return how many tokens a model takes; `None`: nobody knows."""
    try:
        return agents.catalog.resolve(model).model.context_window
    except UnknownModel:
        return None


def channel_accounts(accounts: Accounts) -> Iterable[AccountShown]:
    """Return every account messages can be sent through."""
    yield AccountShown(channel=WEBCHAT, account_id="default", label="WebChat", state="connected")
    for one in accounts.all():
        yield AccountShown(
            channel=one.channel,
            account_id=one.account,
            label=one.manifest.label,
            name=one.entry.config.name if one.entry.config else None,
            state=one.state.value,
        )
