"""The webhooks agents may call: named in the configuration, and nowhere else.

skills: { entries: { "dispatch-webhook": { config: { targets: {
  deploys: { url: "https://ci.example/hooks/deploy", secret: "${DEPLOY_SECRET}" },
} } } } }
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from portico.channels.webhook.signature import signing_key
from portico.fetch import FetchRefused, check_url

MIN_SECRET_BYTES = 16
MAX_TARGETS = 100
_RESERVED = frozenset({"host", "content-length", "content-type", "transfer-encoding"})


class Target(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """One webhook.

    Attributes:
        secret: what calls are signed with (`whsec_…` or any text); without it they are not.
        headers: sent with every call, besides ours.
        description: for the agent, when to call it.
        allow_private: it may be inside our network.
    """

    url: str
    secret: str | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    description: str | None = None
    allow_private: bool = False
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 15.0
    attempts: Annotated[int, msgspec.Meta(ge=1, le=5)] = 3


@dataclass(frozen=True, slots=True)
class Targets:
    """What is configured: the webhooks, and what is wrong with the others."""

    usable: Mapping[str, Target] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def targets_of(config: Mapping[str, Any]) -> Targets:
    """Return the webhooks of a skill's `config`."""
    given = config.get("targets")
    if not isinstance(given, Mapping):
        return Targets()
    usable: dict[str, Target] = {}
    problems: dict[str, str] = {}
    for name, value in [*given.items()][:MAX_TARGETS]:
        try:
            usable[str(name)] = _checked(msgspec.convert(value, Target))
        except (msgspec.ValidationError, FetchRefused, ValueError) as error:
            problems[str(name)] = str(error)
    return Targets(usable, problems)


def _checked(target: Target) -> Target:
    check_url(target.url)
    if target.secret is not None and len(signing_key(target.secret)) < MIN_SECRET_BYTES:
        raise ValueError(f"its secret has fewer than {MIN_SECRET_BYTES} bytes")
    for name, value in target.headers.items():
        is_ours = name.lower() in _RESERVED or name.lower().startswith("webhook-")
        if is_ours or not name.isascii() or not name.isprintable() or not value.isprintable():
            raise ValueError(f"header {name[:40]!r} cannot be set")
    return target
