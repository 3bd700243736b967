"""`tools`: what agents may have done, and who they believe.

Source: OpenClaw configuration reference, section `tools`; the untrusted profile and `trusted` are
ours.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from portico.config.sections.base import Section, group, setting

Profile = Literal["minimal", "coding", "messaging", "untrusted", "full"]


class ToolRules(Section):
    """Which tools there are. Names are exact, `group:<name>`, or patterns with `*`."""

    profile: Profile | None = setting(
        None, "What there is at all; unset: everything.", reload="hot"
    )
    allow: tuple[str, ...] = setting(
        (), "When there is any, no other tool is allowed.", reload="hot"
    )
    also_allow: tuple[str, ...] = setting((), "Tools besides those of the profile.", reload="hot")
    deny: tuple[str, ...] = setting((), "Tools that are not allowed; always wins.", reload="hot")


class UntrustedRules(ToolRules):
    """What is left once a turn has read text the operator does not vouch for."""

    profile: Profile | None = setting("untrusted", "What there is at all.", reload="hot")


class AgentTools(ToolRules):
    """One agent's tools: it may have less than all agents, not more."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        "byProvider elevated sandbox codeMode toolsBySender message loopDetection".split()
    )

    untrusted: UntrustedRules | None = setting(
        None, "Instead of tools.untrusted, for this agent.", reload="hot"
    )


class SessionTools(Section):
    """Tools that look at other conversations, and write into them."""

    visibility: Literal["self", "tree", "agent", "all"] = setting(
        "agent",
        "Which sessions an agent reaches: only the one it is in, those begun from it, its own, "
        "or (with agentToAgent) all. A turn that has read untrusted text reaches only its own.",
    )


class AgentToAgent(Section):
    """Agents that reach each other's sessions."""

    enabled: bool = setting(False, "With tools.sessions.visibility all.")
    allow: tuple[str, ...] = setting(
        (), "Ids of agents, or patterns with *; both sides must be among them. Empty: all."
    )


class WebFetch(Section):
    """Reading web addresses."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        provider maxCharsCap cacheTtlMinutes readability useTrustedEnvProxy ssrfPolicy firecrawl
        """.split()
    )

    enabled: bool = setting(True, "Whether there is the tool web_fetch.", reload="hot")
    max_chars: int = setting(40_000, "How much text of a page is shown.", ge=100)
    max_response_bytes: int = setting(
        5_000_000, "How much is downloaded; longer pages are cut there.", ge=1_000
    )
    timeout_seconds: float = setting(30.0, "Longest download.", gt=0)
    max_redirects: int = setting(3, "How many redirects are followed.", ge=0, le=20)
    user_agent: str | None = setting(None, "Sent as User-Agent instead of our own.")
    allow_private: bool | tuple[str, ...] = setting(
        False,
        "Whether addresses inside your network may be read; a list: only those of these hosts and "
        "their sub-domains.",
    )


class Web(Section):
    """The web."""

    not_used: ClassVar[frozenset[str]] = frozenset({"search"})

    fetch: WebFetch = group(WebFetch, "Reading web addresses.")


class Tools(ToolRules):
    """The tools of every agent."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        byProvider elevated sandbox codeMode toolsBySender message loopDetection
        media fs subagents links toolSearch experimental sessions_spawn updatePlan
        """.split()
    )

    untrusted: UntrustedRules = group(
        UntrustedRules, "What is left once a turn has read text nobody vouches for."
    )
    by_channel: dict[str, ToolRules] = setting(
        doc="One more layer for turns that come through a channel.",
        reload="hot",
        default_factory=dict,
    )
    trusted: tuple[str, ...] = setting(
        ("webchat", "openai", "cron"),
        "Whose messages the operator vouches for: a channel, or channel:sender. What others "
        "write is untrusted.",
        reload="hot",
    )
    web: Web = group(Web, "The web.")
    sessions: SessionTools = group(SessionTools, "Tools that reach other conversations.")
    agent_to_agent: AgentToAgent = group(
        AgentToAgent, "Agents that reach each other's conversations."
    )
    timeout_seconds: float = setting(
        120.0, "Longest call of a tool that has no limit of its own.", reload="hot", gt=0
    )
    max_result_chars: int = setting(
        50_000, "How much of a result a model is shown.", reload="hot", ge=1_000
    )
