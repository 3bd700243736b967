"""`hooks`: what other programs tell agents over HTTP.

Source: OpenClaw configuration reference, `hooks`; `verify`, `match.has`, `match.headers`,
`idempotencyKey` and the limits are Portico's own.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import field_validator

from portico.config.durations import parse_duration_ms
from portico.config.sections.base import Section, group, setting


class HookMatch(Section):
    """Which bodies a mapping is for."""

    path: str | None = setting(
        None, "The path below hooks.path; unset: any.", reload="hot", min_length=1, max_length=200
    )
    source: str | None = setting(None, "What the body's source must be.", reload="hot")
    headers: dict[str, str] = setting(
        default_factory=dict, doc="What headers must be.", reload="hot"
    )
    has: str | None = setting(
        None, "A path into the body where something must be, as in templates.", reload="hot"
    )


class HookVerify(Section):
    """How a sender signs what it sends, instead of the token."""

    type: Literal["github", "stripe", "hmac"] = setting(
        ...,
        "github: X-Hub-Signature-256; stripe: Stripe-Signature; hmac: the SHA-256 HMAC of the body "
        "in hexadecimal digits in a header.",
        reload="hot",
    )
    secret: str = setting(..., "Shared secret.", reload="hot", secret=True, min_length=8)
    header: str = setting("x-signature-256", "The header, of type hmac.", reload="hot")
    tolerance_seconds: int = setting(
        300, "How old a signed time may be, of type stripe.", reload="hot", ge=1
    )


class HookMapping(Section):
    """What becomes of a body posted to a path of its own."""

    not_used: ClassVar[frozenset[str]] = frozenset({"transform"})

    id: str | None = setting(None, "A name for it, for people.", reload="none")
    match: HookMatch = group(HookMatch, "Which bodies it is for.")
    action: Literal["agent", "wake"] = setting(
        "agent", "agent: ask the agent; wake: tell it an event.", reload="hot"
    )
    wake_mode: Literal["now", "next-heartbeat"] = setting(
        "now", "When an event is told.", reload="hot"
    )
    name: str = setting("Hook", "What the agent is told it comes from.", reload="hot", min_length=1)
    agent_id: str | None = setting(None, "Which agent; unset: the default one.", reload="hot")
    session_key: str | None = setting(
        None, "The session, a template; unset: one for each delivery.", reload="hot"
    )
    message_template: str = setting(
        "", "What the agent is asked, of action agent, with {{path.to.value}}.", reload="hot"
    )
    text_template: str = setting("", "What is told, of action wake.", reload="hot")
    idempotency_key: str | None = setting(
        None, "A template of what makes it the same delivery.", reload="hot"
    )
    deliver: bool = setting(True, "Whether the answer is sent to a channel.", reload="hot")
    channel: str | None = setting(
        None, "Which; unset or last: where the main session's last message came from.", reload="hot"
    )
    to: str | None = setting(None, "The chat's id there.", reload="hot")
    account_id: str | None = setting(None, "Account of the channel.", reload="hot")
    model: str | None = setting(None, "Model as provider/name.", reload="hot")
    thinking: str | None = setting(None, "How much the model thinks.", reload="hot")
    timeout_seconds: float | None = setting(None, "Longest run.", reload="hot", gt=0)
    allow_unsafe_external_content: bool = setting(
        False,
        "Vouch for what is in the body: its turn keeps the agent's tools.",
        reload="hot",
    )
    verify: HookVerify | None = setting(None, "A signature, instead of hooks.token.", reload="hot")


class Hooks(Section):
    """What other programs tell agents over HTTP."""

    not_used: ClassVar[frozenset[str]] = frozenset({"transformsDir", "gmail", "internal"})

    enabled: bool = setting(False, "Whether there are hooks.", reload="hot")
    token: str | None = setting(
        None, "What senders prove themselves with; not the gateway's.", reload="hot", secret=True
    )
    path: str = setting(
        "/hooks", "Where they are.", pattern=r"^/[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$"
    )
    max_body_bytes: int = setting(262_144, "Largest body.", ge=1_024, le=16_777_216, reload="hot")
    max_failures: int = setting(
        20,
        "Wrong tokens of one address in failureWindowMs, then it has to wait as long.",
        ge=1,
        reload="hot",
    )
    failure_window_ms: int = setting(60_000, "How long failures count.", ge=1_000, reload="hot")
    wait_seconds: float = setting(
        30.0, "How long waitForCompletion waits.", reload="hot", gt=0, le=600
    )
    default_session_key: str | None = setting(
        None, "Where hooks go that name no session; unset: each into its own.", reload="hot"
    )
    allow_request_session_key: bool = setting(
        False, "Whether a body may name the session.", reload="hot"
    )
    allowed_session_key_prefixes: tuple[str, ...] = setting(
        (), "What sessions hooks go to begin with; empty: anything.", reload="hot"
    )
    allowed_agent_ids: tuple[str, ...] | None = setting(
        None, "Which agents hooks may ask; unset or *: every one.", reload="hot"
    )
    session_retention: str | Literal[False] = setting(
        "7d",
        "How long the sessions of deliveries that named none are kept after they were last used; "
        "false: for ever.",
        reload="hot",
    )
    presets: tuple[str, ...] = setting((), "Mappings that come with Portico: gmail.", reload="hot")
    mappings: tuple[HookMapping, ...] = setting(
        (), "What becomes of bodies; the first that fits.", reload="hot"
    )

    @field_validator("session_retention")
    @classmethod
    def _readable(cls, value: Any) -> Any:
        if value is not False:
            parse_duration_ms(value, unit="h")
        return value

    @property
    def session_retention_ms(self) -> int | None:
        """How long sessions of deliveries are kept; `None`: for ever."""
        kept = self.session_retention
        return None if kept is False else parse_duration_ms(kept, unit="h") or None

    @field_validator("path")
    @classmethod
    def _not_an_address_of_ours(cls, value: str) -> str:
        if value.split("/")[1] in {"v1", "api", "sessions", "tools", "integrations", "mcp"}:
            raise ValueError(f"{value} belongs to the gateway itself")
        return value

    @field_validator("presets")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name != "gmail":
                raise ValueError(f"unknown preset {name!r}; there is: gmail")
        return value
