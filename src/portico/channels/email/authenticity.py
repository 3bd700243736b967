"""Whether the sender in a mail's From is who sent it, as far as the receiving server says.

Anybody can write anything into From. The server that took the mail in checks it (SPF, DKIM, DMARC)
and writes what it found into Authentication-Results; only what is written under its own name counts
as a proof, since everything else in the mail is the sender's. A failure counts under any name: no
forger accuses himself.

Guarantees: no I/O; no header raises; a proof is for the domain in From or its parent, nothing else.

Source: RFC 8601 (the header, and section 5: servers remove what pretends to be theirs), RFC 7489.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

MAX_HEADERS = 20
MAX_CHARS = 8_000
_METHOD = re.compile(r"^\s*([a-z][a-z0-9-]*)(?:/\d+)?\s*=\s*([a-z]+)", re.IGNORECASE)
_PROPERTY = re.compile(r"([a-z]+\.[a-z0-9_-]+)\s*=\s*(\"[^\"]*\"|[^\s;]+)", re.IGNORECASE)
_FAILED = frozenset({"fail", "hardfail"})


class Verdict(StrEnum):
    """What is known of a sender."""

    PROVEN = "proven"
    UNPROVEN = "unproven"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Proof:
    """A verdict and why."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a server found with one method."""

    method: str
    result: str
    properties: dict[str, str] = field(default_factory=dict)


def judge(headers: Sequence[str], domain: str, authserv_id: str | None) -> Proof:
    """Judge a sender of a domain.

    Args:
        headers: every Authentication-Results, the topmost first.
        authserv_id: the name of the server that is trusted; `None`: nothing proves a sender.
    """
    parsed = [_parse(header) for header in headers[:MAX_HEADERS]]
    name = (authserv_id or (parsed[0][0] if parsed else "")).lower()
    results = [result for server, found in parsed if server == name for result in found]
    passed = [result for result in results if _proves(result, domain)]
    failed = [result for result in results if result.result in _FAILED]
    dmarc = next((result for result in failed if result.method == "dmarc"), None)
    if dmarc is not None or (failed and not passed):
        method = (dmarc or failed[0]).method
        return Proof(Verdict.FAILED, f"{name} says that {method} failed for {domain}")
    if passed and authserv_id is not None:
        return Proof(Verdict.PROVEN, f"{passed[0].method}, says {name}")
    if authserv_id is None:
        return Proof(Verdict.UNPROVEN, "authservId is not set: nobody proves senders")
    return Proof(Verdict.UNPROVEN, f"{name} does not prove that it comes from {domain}")


def _proves(result: Result, domain: str) -> bool:
    if result.result != "pass":
        return False
    said = result.properties
    match result.method:
        case "dmarc":
            return said.get("header.from", domain) == domain
        case "dkim":
            return _covers(said.get("header.d") or said.get("header.i", ""), domain)
        case "spf":
            return _covers(said.get("smtp.mailfrom", ""), domain)
        case _:
            return False


def _covers(who: str, domain: str) -> bool:
    """Whether who speaks for a domain: itself, or one above it that is no top level."""
    parent = who.rpartition("@")[2]
    return parent == domain or ("." in parent and domain.endswith(f".{parent}"))


def _parse(header: str) -> tuple[str, list[Result]]:
    """Return the server's name and its results; what is not understood is left out."""
    parts = _split(_without_comments(header[:MAX_CHARS]))
    words = parts[0].split()
    server = words[0].strip('"').lower() if words else ""
    results: list[Result] = []
    for part in parts[1:]:
        if (method := _METHOD.match(part)) is not None:
            found = _PROPERTY.findall(part[method.end() :])
            properties = {key.lower(): value.strip('"').lower() for key, value in found}
            results.append(Result(method[1].lower(), method[2].lower(), properties))
    return server, results


def _without_comments(text: str) -> str:
    """Return a header without what stands in parentheses, which may be nested and quoted."""
    kept: list[str] = []
    depth, is_quoted, is_escaped = 0, False, False
    for character in text:
        if is_escaped:
            is_escaped = False
        elif character == "\\":
            is_escaped = True
            continue
        elif character == '"' and depth == 0:
            is_quoted = not is_quoted
        elif not is_quoted and character in "()":
            depth = max(0, depth + (1 if character == "(" else -1))
            continue
        if depth == 0:
            kept.append(character)
    return "".join(kept)


def _split(text: str) -> list[str]:
    """Split at semicolons outside quotes."""
    parts, is_quoted = [""], False
    for character in text:
        if character == '"':
            is_quoted = not is_quoted
        if character == ";" and not is_quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts
