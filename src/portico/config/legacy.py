"""Older spellings of settings, read as what they mean today.

Guarantees: a new spelling beside an old one wins; nothing is written back to the file.
Source: OpenClaw configurations before 2026.3 and the shapes its guides of that time show.
"""

from __future__ import annotations

import copy
from typing import Any

from portico.config.issues import Issue, Severity
from portico.config.keypath import KeyPath, format_path, get_at, parse_path, set_at

_MOVES: tuple[tuple[str, str], ...] = (
    ("agent.workspace", "agents.defaults.workspace"),
    ("agent.model", "agents.defaults.model"),
    ("agent.timeoutSeconds", "agents.defaults.timeoutSeconds"),
    ("identity", "agents.list[0].identity"),
    ("gateway.token", "gateway.auth.token"),
    ("gateway.password", "gateway.auth.password"),
    ("gateway.http.chatCompletions", "gateway.http.endpoints.chatCompletions"),
    ("gateway.http.openResponses", "gateway.http.endpoints.responses"),
    ("gateway.http.responses", "gateway.http.endpoints.responses"),
    ("messages.tts", "tts"),
    ("tts.openai", "tts.providers.openai"),
    ("tts.elevenlabs", "tts.providers.elevenlabs"),
    ("gateway.reload.debounce", "gateway.reload.debounceMs"),
)
_ABSENT = object()


def modernise(data: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[KeyPath, Issue]]]:
    """A copy of the tree with today's keys, and a warning for each old one met."""
    tree = copy.deepcopy(data)
    found: list[tuple[KeyPath, Issue]] = []
    for old, new in _MOVES:
        old_path, new_path = parse_path(old), parse_path(new)
        value = _find(tree, old_path)
        if value is _ABSENT or _would_invent_agent(tree, new_path):
            continue
        _remove(tree, old_path)
        if _find(tree, new_path) is _ABSENT:
            switch = isinstance(value, bool) and "endpoints" in new_path
            set_at(tree, new_path, {"enabled": value} if switch else value)
        found.append((old_path, _issue(old, f"now called {new}", f"move it to {new}")))
    found += _address_as_bind(tree)
    return tree, found


def _would_invent_agent(tree: dict[str, Any], path: KeyPath) -> bool:
    # A single identity belongs to the first agent; without a list there is nothing to put it on.
    return "list" in path and _find(tree, ("agents", "list", 0)) is _ABSENT


def _address_as_bind(tree: dict[str, Any]) -> list[tuple[KeyPath, Issue]]:
    import ipaddress

    bind = _find(tree, ("gateway", "bind"))
    if not isinstance(bind, str):
        return []
    try:
        ipaddress.ip_address(bind)
    except ValueError:
        return []
    gateway = tree["gateway"]
    if bind in {"127.0.0.1", "::1"}:
        gateway["bind"] = "loopback"
    elif bind in {"0.0.0.0", "::"}:  # noqa: S104 - recognised, not bound
        gateway["bind"] = "lan"
    else:
        gateway["bind"] = "custom"
        gateway.setdefault("customBindHost", bind)
    now = f'bind: "{gateway["bind"]}"'
    return [
        (
            ("gateway", "bind"),
            _issue("gateway.bind", f"an address here means {now}", f"write {now}"),
        )
    ]


def _issue(path: str, message: str, next_step: str) -> Issue:
    return Issue(Severity.WARNING, format_path(parse_path(path)), message, next_step, "key.legacy")


def _find(tree: dict[str, Any], path: KeyPath) -> Any:
    try:
        return get_at(tree, path)
    except KeyError:
        return _ABSENT


def _remove(tree: dict[str, Any], path: KeyPath) -> None:
    parent = get_at(tree, path[:-1])
    del parent[path[-1]]
    if not parent and len(path) > 1 and path[0] == "agent":
        del tree["agent"]
