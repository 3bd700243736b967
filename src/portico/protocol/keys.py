"""Session keys: `agent:<agentId>:<rest>`, and the one function that canonicalises them.

    key  := "agent:" agentId ":" rest
    rest := "main" | channel ":group:" id | channel ":direct:" peer | … ":thread:" id | other

Guarantees: `canonical` is idempotent; a key made by `derive` parses back; parts that come from
outside are escaped, so a peer cannot forge another session's key.

Source: OpenClaw gateway protocol, "Session keys"; gateway message API, "Session IDs".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from portico.protocol.errors import InvalidRequest

MAX_KEY_LENGTH = 512
DmScope = Literal["main", "per-peer", "per-channel-peer", "per-account-channel-peer"]
PeerKind = Literal["direct", "group", "channel"]

_AGENT_ID = re.compile(r"^[a-z0-9][a-z0-9_-]{0,63}$")
_SENTINELS = frozenset({"global", "unknown"})
# What follows these markers is somebody else's id and keeps its case: `Ann` is not `ann`.
_PEER_MARKER = re.compile(r"(?:^|:)(?:direct|dm|group|channel|thread):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A canonical key in its two parts."""

    agent_id: str
    rest: str

    @property
    def key(self) -> str:
        """The whole key again."""
        return f"agent:{self.agent_id}:{self.rest}"


def normalize_agent_id(name: str) -> str:
    """Turn a free name into an agent id: lowercase, other characters to `-`, at most 64."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.strip().lower()).strip("-_")[:64]


def parse(key: str) -> ParsedKey:
    """Split a canonical key.

    Raises:
        InvalidRequest: it does not have the form `agent:<agentId>:<rest>`.
    """
    prefix, _, tail = key.partition(":")
    agent_id, _, rest = tail.partition(":")
    if prefix.lower() != "agent" or not _AGENT_ID.match(agent_id.lower()) or not rest:
        raise InvalidRequest(
            f'malformed session key "{key[:80]}"; expected agent:<agentId>:<name> or a short name',
            details={"code": "MALFORMED_SESSION_KEY"},
        )
    return ParsedKey(agent_id.lower(), _fold(rest))


def canonical(key: str, *, default_agent: str, main_key: str = "main") -> str:
    """Return the canonical form of a key a client gave.

    `main` and other short names belong to `default_agent`; sentinels stay as they are.

    Raises:
        InvalidRequest: empty, too long, or `agent:` followed by something malformed.
    """
    text = key.strip()
    if not text or len(text) > MAX_KEY_LENGTH:
        raise InvalidRequest(f"session key must have 1 to {MAX_KEY_LENGTH} characters")
    if text.lower() in _SENTINELS:
        return text.lower()
    if text.lower().startswith("agent:"):
        return parse(text).key
    rest = main_key if text.lower() == "main" else _fold(text)
    return f"agent:{default_agent}:{rest}"


def agent_of(key: str, *, default_agent: str) -> str:
    """Return the agent a canonical key belongs to."""
    return default_agent if key in _SENTINELS else parse(key).agent_id


def escape_part(text: str) -> str:
    """Make an outside id safe as one part of a key: `%` and `:` become percent codes."""
    return text.replace("%", "%25").replace(":", "%3A")


def _escape_case(text: str) -> str:
    """Escape what folding would change, where an id stands before the markers that protect it."""
    return "".join(
        char if char == char.lower() else "".join(f"%{byte:02x}" for byte in char.encode())
        for char in text.replace("%3A", "%3a")
    )


def derive(
    *,
    agent_id: str,
    channel: str,
    account: str,
    peer_kind: PeerKind,
    peer_id: str,
    thread_id: str | None = None,
    dm_scope: DmScope = "main",
    main_key: str = "main",
) -> str:
    """Derive the session key of an inbound message from where it came from."""
    peer = escape_part(peer_id)
    if peer_kind != "direct":
        rest = f"{channel}:{peer_kind}:{peer}"
    elif dm_scope == "main":
        rest = main_key
    elif dm_scope == "per-peer":
        rest = f"direct:{peer}"
    elif dm_scope == "per-channel-peer":
        rest = f"{channel}:direct:{peer}"
    else:
        rest = f"{channel}:{_escape_case(escape_part(account))}:direct:{peer}"
    if thread_id:
        rest = f"{rest}:thread:{escape_part(thread_id)}"
    return f"agent:{agent_id}:{_fold(rest)}"


def message_api_id(*, channel: str, sender: str, thread: str) -> str:
    """Return the gateway message API's session id: `<channel>:thread:<t>` or `<channel>:dm:<from>`.

    Raises:
        InvalidRequest: neither a thread nor a sender is given, or the channel's name has a colon
            (two different conversations could then share one id).
    """
    if ":" in channel:
        raise InvalidRequest("channel must not contain ':'")
    if thread:
        return f"{channel}:thread:{thread}"
    if not sender:
        raise InvalidRequest("missing from for dm session id")
    return f"{channel}:dm:{sender}"


def keep_case(rest: str) -> str:
    """Spell a foreign id so that canonicalising keeps it apart from every other one.

    Capitals and `%` before the peer become percent codes; what follows the peer marker stays.
    """
    marker = _PEER_MARKER.search(rest)
    end = marker.end() if marker and marker.group() == marker.group().lower() else len(rest)
    return "".join(map(_spell, rest[:end])) + rest[end:]


def _spell(char: str) -> str:
    if char == char.lower() and char != "%":
        return char
    return "".join(f"%{byte:02x}" for byte in char.encode())


def _fold(rest: str) -> str:
    marker = _PEER_MARKER.search(rest)
    if marker is None:
        return rest.lower()
    return rest[: marker.end()].lower() + rest[marker.end() :]
