"""`tools`: what agents may have done, and who they believe.

Source: OpenClaw configuration reference, section `tools`; the untrusted profile and `trusted` are
ours.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

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


class ExecSandbox(Section):
    """What programs in the sandbox have."""

    network: bool = setting(
        False, "They reach the network, and this machine over it.", reload="hot"
    )
    workspace_access: Literal["ro", "rw"] = setting(
        "rw", "Whether they can change the workspace (rw) or only read it (ro).", reload="hot"
    )
    paths: tuple[str, ...] = setting((), "What else of this machine they can read.", reload="hot")
    engine: Literal["bubblewrap", "podman", "docker"] = setting(
        "bubblewrap",
        "What makes the sandbox: bubblewrap, with the programs of this machine; podman or docker, "
        "with those of an image.",
        reload="hot",
    )
    image: str | None = setting(
        None,
        "The image of podman and docker; it is never pulled.",
        pattern=r"^[\w][\w./:@-]*$",
        reload="hot",
    )
    memory_mb: int = setting(1_024, "Memory of a container, in MiB.", ge=16, reload="hot")
    max_processes: int = setting(256, "Processes of a container at a time.", ge=1, reload="hot")

    @model_validator(mode="after")
    def _has_its_image(self) -> ExecSandbox:
        if self.engine != "bubblewrap" and self.image is None:
            raise ValueError(f'{self.engine} needs an image, such as "debian:stable-slim"')
        return self


class ExecRules(Section):
    """Running programs."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        backgroundMs cleanupMs notifyOnExit notifyOnExitEmptySuccess applyPatch node pathPrepend
        safeBins safeBinProfiles safeBinTrustedDirs strictInlineEval approvalRunningNoticeMs remote
        mode autoReview
        """.split()
    )

    security: Literal["deny", "allowlist", "full"] = setting(
        "deny",
        "deny: there is no tool exec; allowlist: what the policy file lists, and what a person "
        "allows; full: whatever the policy file does not forbid.",
        reload="hot",
    )
    ask: Literal["off", "on-miss", "always"] = setting(
        "on-miss",
        "When a person is asked: never, for what is not listed, always. On this machine itself the "
        "stricter of this and the policy file counts.",
        reload="hot",
    )
    host: Literal["auto", "sandbox", "gateway", "node"] = setting(
        "auto",
        "Where programs run. auto and sandbox: in the sandbox, and nowhere without it; gateway: "
        "on this machine, with the rights of this account; node: not offered.",
        reload="hot",
    )
    shell: bool = setting(
        False, "Give commands to /bin/sh, in place of splitting them into words.", reload="hot"
    )
    timeout_sec: float = setting(
        1800.0, "Longest run of a program, in seconds.", gt=0, reload="hot"
    )
    max_output_bytes: int = setting(
        20_000,
        "What is kept of each output: its beginning and its end.",
        ge=1_000,
        le=1_000_000,
        reload="hot",
    )
    sandbox: ExecSandbox = group(ExecSandbox, "What programs in the sandbox have.")


class AgentTools(ToolRules):
    """One agent's tools: it may have less than all agents, not more."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        "byProvider elevated sandbox codeMode toolsBySender message loopDetection".split()
    )

    untrusted: UntrustedRules | None = setting(
        None, "Instead of tools.untrusted, for this agent.", reload="hot"
    )
    exec: ExecRules | None = setting(None, "Instead of tools.exec, for this agent.", reload="hot")


class SessionTools(Section):
    """Tools that look at other conversations, and write into them."""

    visibility: Literal["self", "tree", "agent", "all"] = setting(
        "agent",
        "Which sessions an agent reaches: only the one it is in, those begun from it, its own, "
        "or (with agentToAgent) all. A turn that has read untrusted text reaches only its own.",
        reload="hot",
    )


class AgentToAgent(Section):
    """Agents that reach each other's sessions."""

    enabled: bool = setting(False, "With tools.sessions.visibility all.", reload="hot")
    allow: tuple[str, ...] = setting(
        (),
        "Ids of agents, or patterns with *; both sides must be among them. Empty: all.",
        reload="hot",
    )


class WebFetch(Section):
    """Reading web addresses."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        provider maxCharsCap cacheTtlMinutes readability useTrustedEnvProxy ssrfPolicy firecrawl
        """.split()
    )

    enabled: bool = setting(True, "Whether there is the tool web_fetch.", reload="hot")
    max_chars: int = setting(40_000, "How much text of a page is shown.", ge=100, reload="hot")
    max_response_bytes: int = setting(
        5_000_000, "How much is downloaded; longer pages are cut there.", ge=1_000, reload="hot"
    )
    timeout_seconds: float = setting(30.0, "Longest download.", gt=0, reload="hot")
    max_redirects: int = setting(3, "How many redirects are followed.", ge=0, le=20, reload="hot")
    user_agent: str | None = setting(None, "Sent as User-Agent instead of our own.", reload="hot")
    allow_private: bool | tuple[str, ...] = setting(
        False,
        "Whether addresses inside your network may be read; a list: only those of these hosts and "
        "their sub-domains.",
        reload="hot",
    )


class Web(Section):
    """The web."""

    not_used: ClassVar[frozenset[str]] = frozenset({"search"})

    fetch: WebFetch = group(WebFetch, "Reading web addresses.")


class AudioModel(Section):
    """Who listens: a provider of models, or a program."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        "capabilities profile preferredProfile maxChars baseUrl headers providerOptions".split()
    )

    type: Literal["provider", "cli"] | None = setting(
        None, "provider, or cli; unset: cli when it has a command.", reload="hot"
    )
    provider: str | None = setting(
        None,
        "One of models.providers, or openai, groq … ; its address and key count.",
        reload="hot",
    )
    model: str | None = setting(None, "Its model.", reload="hot")
    command: str | None = setting(None, "The program.", reload="hot")
    args: tuple[str, ...] = setting(
        (),
        "Its arguments. {{MediaPath}}, {{MediaDir}}, {{OutputDir}}, {{OutputBase}}, {{Language}} "
        "and {{Prompt}} are filled in; without {{MediaPath}} the sound is its input. What counts "
        "is the .txt file it leaves in {{OutputDir}}, else what it writes.",
        reload="hot",
    )
    language: str | None = setting(None, "Language, such as en.", reload="hot")
    prompt: str | None = setting(None, "Names and words to expect.", reload="hot")
    max_bytes: int | None = setting(None, "Largest sound it is given.", reload="hot", gt=0)
    timeout_seconds: float | None = setting(None, "How long it may take.", reload="hot", gt=0)


class AudioUnderstanding(Section):
    """What is said in sounds that people attach."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        attachments scope echoTranscript echoFormat baseUrl headers providerOptions preferredProfile
        """.split()
    )

    enabled: bool = setting(True, "false: nothing is transcribed.", reload="hot")
    models: tuple[AudioModel, ...] = setting(
        (),
        "Who listens, in the order in which they are asked; none: nothing is transcribed.",
        reload="hot",
    )
    language: str | None = setting(None, "Language, where an entry names none.", reload="hot")
    prompt: str | None = setting(
        None, "Names and words to expect, where an entry names none.", reload="hot"
    )
    max_bytes: int = setting(20_000_000, "Largest sound that is listened to.", reload="hot", gt=0)
    max_chars: int | None = setting(None, "What was said is cut there.", reload="hot", gt=0)
    timeout_seconds: float = setting(60.0, "How long an engine may take.", reload="hot", gt=0)


class MediaUnderstanding(Section):
    """What is made of files that people attach, before an agent reads."""

    not_used: ClassVar[frozenset[str]] = frozenset({"models", "image", "video"})

    concurrency: int = setting(2, "How many sounds are listened to at once.", reload="hot", ge=1)
    audio: AudioUnderstanding = group(AudioUnderstanding, "Speech to text.")


class Tools(ToolRules):
    """The tools of every agent."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        byProvider elevated sandbox codeMode toolsBySender message loopDetection
        fs subagents links toolSearch experimental sessions_spawn updatePlan
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
    exec: ExecRules = group(ExecRules, "Running programs.")
    web: Web = group(Web, "The web.")
    media: MediaUnderstanding = group(
        MediaUnderstanding, "What is made of attached files before an agent reads."
    )
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
