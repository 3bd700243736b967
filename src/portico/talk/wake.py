"""The words that wake an agent, and where what is said after them goes.

Source: OpenClaw gateway protocol, "voicewake.*"; its apps know the same words by default.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from portico.protocol.keys import normalize_agent_id

DEFAULT_WORDS = ("openclaw", "claude", "computer")
MAX_WORDS = 32
MAX_WORD_CHARS = 64
MAX_ROUTES = 64
CURRENT = {"mode": "current"}


class NoRoute(ValueError):
    """A route that cannot be taken; the text says why."""


def words_of(given: Iterable[str]) -> list[str]:
    """Return wake words without empty ones and repeats; none: the usual ones."""
    words = dict.fromkeys(word.strip()[:MAX_WORD_CHARS] for word in given)
    kept = [word for word in words if word]
    return kept[:MAX_WORDS] or list(DEFAULT_WORDS)


def phrase(word: str) -> str:
    """Return a wake word as it is compared: small letters, no marks around words."""
    tokens = (_bare(token) for token in word.lower().split())
    return " ".join(token for token in tokens if token)


def routing_of(given: Mapping[str, Any], *, now_ms: int) -> dict[str, Any]:
    """Return a routing as it is kept.

    Raises:
        NoRoute: something in it is no route.
    """
    routes = given.get("routes", [])
    if not isinstance(routes, list) or len(routes) > MAX_ROUTES:
        raise NoRoute(f"routes: a list of at most {MAX_ROUTES} is needed")
    kept: dict[str, dict[str, Any]] = {}
    for place, route in enumerate(routes):
        trigger = route.get("trigger") if isinstance(route, Mapping) else None
        said = phrase(trigger) if isinstance(trigger, str) else ""
        if not said or len(said) > MAX_WORD_CHARS:
            raise NoRoute(f"routes[{place}].trigger: a word is needed")
        kept[said] = {
            "trigger": said,
            "target": _target(route.get("target"), f"routes[{place}].target"),
        }
    target = given.get("defaultTarget")
    return {
        "version": 1,
        "defaultTarget": CURRENT if target is None else _target(target, "defaultTarget"),
        "routes": list(kept.values()),
        "updatedAtMs": now_ms,
    }


def _target(given: Any, where: str) -> dict[str, str]:
    if isinstance(given, Mapping):
        if given.get("mode") == "current":
            return dict(CURRENT)
        agent, session = given.get("agentId"), given.get("sessionKey")
        if isinstance(agent, str) and agent.strip() and not session:
            return {"agentId": normalize_agent_id(agent)}
        if isinstance(session, str) and session.strip() and not agent:
            return {"sessionKey": session.strip()}
    raise NoRoute(f'{where}: {{mode: "current"}}, {{agentId}} or {{sessionKey}} is needed')


def _bare(token: str) -> str:
    """Without marks and signs at both ends."""
    letters = [not unicodedata.category(one).startswith(("P", "S")) for one in token]
    if not any(letters):
        return ""
    first, last = letters.index(True), len(letters) - letters[::-1].index(True)
    return token[first:last]
