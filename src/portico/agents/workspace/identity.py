"""Who an agent says it is: from its configuration, else from IDENTITY.md.

Guarantees: `parse` is pure and takes any text; what is empty, or still a hint of a template, does
not count.

Source: OpenClaw, "agent.identity.get"; its IDENTITY.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from portico.agents.service import Agent
from portico.agents.workspace.tree import TooLarge, Tree, UnsafePath

FILE = "IDENTITY.md"
MAX_BYTES = 64 * 1024
MAX_VALUE_CHARS = 65_536
Source = Literal["config", "workspace", "default"]
AvatarStatus = Literal["none", "local", "remote", "data"]

# `- **Name:** Ada`, `* Name: Ada`, `Name: Ada`
_LINE = re.compile(r"^\s*(?:[-*+]\s+)?[*_]*([A-Za-z]+)[*_]*\s*:[*_]*\s*(.*)$")
_HINT = re.compile(r"^[*_]*[(\[<].*[)\]>][*_]*$")
_FIELDS = frozenset({"name", "emoji", "avatar", "theme"})


@dataclass(frozen=True, slots=True)
class Identity:
    """What is known of an agent's looks; `None`: nothing.

    Attributes:
        avatar_reason: why there is no avatar to show although one is named.
    """

    name: str | None = None
    name_source: Source = "default"
    emoji: str | None = None
    theme: str | None = None
    avatar: str | None = None
    avatar_source: Source | None = None
    avatar_status: AvatarStatus = "none"
    avatar_reason: str | None = None


def parse(text: str) -> dict[str, str]:
    """Return what an IDENTITY.md says of `name`, `emoji`, `avatar` and `theme`."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or (field := match[1].lower()) not in _FIELDS:
            continue
        value = match[2].strip().strip("*_").strip()
        if value and not _HINT.match(value) and len(value) <= MAX_VALUE_CHARS:
            found.setdefault(field, value)
    return found


def identity_of(agent: Agent) -> Identity:
    """Return how an agent shows itself. Reads a file: call it in a thread."""
    tree = Tree(Path(agent.workspace)) if agent.workspace else None
    said = _said(tree)
    avatar = agent.avatar or said.get("avatar")
    status, reason = _avatar(tree, avatar)
    return Identity(
        name=agent.name or said.get("name"),
        name_source="config" if agent.name else "workspace" if "name" in said else "default",
        emoji=agent.emoji or said.get("emoji"),
        theme=agent.theme or said.get("theme"),
        avatar=avatar,
        avatar_source=None if not avatar else "config" if agent.avatar else "workspace",
        avatar_status=status,
        avatar_reason=reason,
    )


def _said(tree: Tree | None) -> dict[str, str]:
    if tree is None:
        return {}
    try:
        found = tree.read(FILE, limit=MAX_BYTES)
    except (UnsafePath, TooLarge, OSError):
        return {}
    return {} if found is None else parse(found.data.decode("utf-8", "replace"))


def _avatar(tree: Tree | None, avatar: str | None) -> tuple[AvatarStatus, str | None]:
    if not avatar:
        return "none", None
    if avatar.startswith("data:image/"):
        return "data", None
    if avatar.startswith(("http://", "https://")):
        return "remote", None
    if tree is None or "://" in avatar or avatar.startswith("data:"):
        return "none", "unsupported"
    try:
        entry = tree.stat(avatar.removeprefix("./"))
    except (UnsafePath, OSError):
        return "none", "outside the workspace"
    return ("local", None) if entry is not None and entry.kind == "file" else ("none", "missing")
