"""Whose secret it is: what is switched off when a reference cannot be resolved.

A model provider, a speech provider, an MCP server, a skill: the gateway does without it. Accounts
of channels are looked after where they are read (channels.py).
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from portico.config.issues import Issue, Severity
from portico.config.keypath import KeyPath, parse_path

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

OWNERS: Final[dict[KeyPath, str]] = {
    ("models", "providers"): "model-provider",
    ("tts", "providers"): "speech-provider",
    ("mcp", "servers"): "mcp-server",
    ("skills", "entries"): "skill",
}
_WITH_SWITCH: Final = frozenset({"tts", "mcp", "skills"})
_HOLDERS: Final = frozenset({"env", "headers"})


def owner_of(path: str) -> tuple[str, str] | None:
    """Return the kind and the id of who needs a secret; `None`: the gateway itself."""
    steps = parse_path(path) if path else ()
    kind = OWNERS.get(steps[:2]) if len(steps) > 3 else None
    return None if kind is None else (kind, str(steps[2]))


def split_degraded(
    issues: Sequence[Issue], secret_paths: Collection[KeyPath]
) -> tuple[list[Issue], list[Issue]]:
    """Apart: what stops the gateway, and what only stops somebody it can do without."""
    fatal: list[Issue] = []
    degraded: list[Issue] = []
    for issue in issues:
        if owner_of(issue.path) is not None and _is_secret(parse_path(issue.path), secret_paths):
            degraded.append(replace(issue, severity=Severity.WARNING))
        else:
            fatal.append(issue)
    return fatal, degraded


def without_owners(tree: dict[str, Any], degraded: Sequence[Issue]) -> dict[str, Any]:
    """Return a tree in which those whose secrets are missing are switched off."""
    if not degraded:
        return tree
    tree = copy.deepcopy(tree)
    for issue in degraded:
        steps = parse_path(issue.path)
        node: Any = tree
        for step in steps[:-1]:
            node = node[step] if isinstance(step, int) else node.get(str(step))
        if isinstance(node, dict):
            node.pop(str(steps[-1]), None)
        if steps[0] in _WITH_SWITCH:
            tree[str(steps[0])][str(steps[1])][str(steps[2])]["enabled"] = False
    return tree


def _is_secret(path: KeyPath, secret_paths: Collection[KeyPath]) -> bool:
    from portico.config.redaction import is_secret_path

    is_held = len(path) > 1 and path[-2] in _HOLDERS
    return path in secret_paths or is_held or is_secret_path(path)
