"""Hooks as they are configured, and as they are asked for on the wire.

Source: OpenClaw configuration reference, `hooks`; gateway protocol, "Hooks". Signatures, `has`,
`headers` and `idempotencyKey` of a mapping are Portico's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec

from portico.automation.heartbeat.waking import WakeMode

MAX_TEXT_CHARS = 200_000
MAX_NAME_CHARS = 200
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT_CHARS)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]


@dataclass(frozen=True, slots=True)
class Verification:
    """How a sender signs what it sends.

    Attributes:
        header: where the signature stands, in lower case; of kind `hmac`.
        tolerance_s: how old a signed time may be; of kind `stripe`.
    """

    kind: Literal["github", "stripe", "hmac"]
    secret: str = field(repr=False)
    header: str = "x-signature-256"
    tolerance_s: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class HookMapping:
    """What becomes of a body that was posted to a path.

    Attributes:
        path: below the hooks' path; `None`: any.
        source: what the body's `source` must be.
        headers: what headers must be; names in lower case.
        has: a path into the body where something must be.
        template: of the message, or of the event's text.
        session_key, idempotency: templates, too.
        is_vouched_for: the operator vouches for what is in the body.
        verification: how the sender proves itself; `None`: with the hooks' token.
    """

    path: str | None = None
    source: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    has: str | None = None
    action: Literal["agent", "wake"] = "agent"
    wake_mode: WakeMode = "now"
    name: str = "Hook"
    agent_id: str | None = None
    session_key: str | None = None
    template: str = ""
    idempotency: str | None = None
    deliver: bool = True
    channel: str | None = None
    to: str | None = None
    account_id: str | None = None
    model: str | None = None
    thinking: str | None = None
    timeout_s: float | None = None
    is_vouched_for: bool = False
    verification: Verification | None = None


@dataclass(frozen=True, slots=True)
class HookSettings:
    """What is configured of hooks.

    Attributes:
        is_enabled: whether there are any.
        token: what senders prove themselves with; `None`: only signatures count.
        default_session_key: where hooks go that name no session; `None`: each into its own.
        may_name_session: whether a body may.
        session_prefixes: what the sessions hooks go to begin with; empty: anything.
        agent_ids: whom hooks may ask; `None`: every agent.
        keep_sessions_ms: the sessions of deliveries that named none, after their last use.
        wait_s: how long an answer is waited for, where a sender wants that.
    """

    is_enabled: bool = False
    token: str | None = field(default=None, repr=False)
    mappings: tuple[HookMapping, ...] = ()
    default_session_key: str | None = None
    may_name_session: bool = False
    session_prefixes: tuple[str, ...] = ()
    agent_ids: frozenset[str] | None = None
    keep_sessions_ms: int | None = None
    wait_s: float = 30.0


class WakeBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of `/hooks/wake`."""

    text: Text
    mode: WakeMode = "now"
    agent_id: Name | None = None
    session_key: Name | None = None
    idempotency_key: Name | None = None


class AgentBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of `/hooks/agent`.

    Attributes:
        session_mode: persistent: the default session instead of one of its own.
        wait_for_completion: answer when the run has ended.
    """

    message: Text
    name: Name = "Hook"
    agent_id: Name | None = None
    session_key: Name | None = None
    session_mode: Literal["isolated", "persistent"] | None = None
    idempotency_key: Name | None = None
    wait_for_completion: bool = False
    wake_mode: WakeMode = "now"
    deliver: bool = True
    channel: Name | None = None
    to: Name | None = None
    account_id: Name | None = None
    model: Name | None = None
    thinking: Name | None = None
    timeout_seconds: Seconds | None = None


@dataclass(frozen=True, slots=True)
class HookRequest:
    """What was posted.

    Attributes:
        path: below the hooks' path, without slashes at its ends.
        headers: names in lower case.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What the sender is told."""

    status: int
    body: dict[str, Any] | None = None
