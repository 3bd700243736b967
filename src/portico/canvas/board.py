"""What an agent draws with A2UI: its messages, in the file `a2ui.jsonl` of its canvas.

The file is the whole state: the page that draws it reads it from the beginning, and again when it
has changed. So what was drawn is there after a restart, and an agent may write the file by hand.

Guarantees: only messages of A2UI 0.8 and 0.9 are kept, all of one version, each with the surface it
is about; a deleted surface leaves nothing behind; the file is bounded, and whole at every moment.

Source: A2UI 0.8 and 0.9, "Message types".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from portico.agents.workspace.tree import Tree

FILE = "a2ui.jsonl"
MAX_MESSAGES = 200
MAX_LINES = 5_000
MAX_BYTES = 1_000_000
MAX_ID = 128

_V08 = frozenset({"beginRendering", "surfaceUpdate", "dataModelUpdate", "deleteSurface"})
_V09 = frozenset({"createSurface", "updateComponents", "updateDataModel", "deleteSurface"})
_VERSIONS = frozenset({"v0.9", "v0.9.1"})


class NotA2ui(ValueError):
    """A message cannot be drawn; the text says which and why."""


class Board:
    """One agent's surfaces.

    Args:
        root, folder: where its canvas is, as `Documents.folder` says.
    """

    def __init__(self, root: Path, folder: str) -> None:
        self._tree = Tree(root)
        self._folder = folder

    async def push(self, messages: Sequence[Mapping[str, Any]]) -> list[str]:
        """Draw, and return the surfaces there are now.

        Raises:
            NotA2ui: a message is not one, or there would be too many. Nothing was drawn.
            UnsafePath, OSError: the file cannot be written.
        """
        if len(messages) > MAX_MESSAGES:
            raise NotA2ui(f"more than {MAX_MESSAGES} messages at once")
        for number, message in enumerate(messages, 1):
            surface_of(message, number)
        return await asyncio.to_thread(self._push, messages)

    async def reset(self) -> None:
        """Draw nothing any more."""
        await asyncio.to_thread(self._write, [])

    def _push(self, messages: Sequence[Mapping[str, Any]]) -> list[str]:
        kept = self._read()
        for message in messages:
            surface = surface_of(message)
            if "deleteSurface" in message or "createSurface" in message:
                kept = [one for one in kept if surface_of(one) != surface]
            if "deleteSurface" not in message:
                kept.append(message)
        if len({"version" in one for one in kept}) > 1:
            raise NotA2ui("there are surfaces of the other version; reset the canvas first")
        self._write(kept)
        return list(dict.fromkeys(surface_of(one) for one in kept))

    def _read(self) -> list[Mapping[str, Any]]:
        found = self._tree.read(f"{self._folder}{FILE}", limit=MAX_BYTES)
        return [] if found is None else parsed(found.data.decode("utf-8", "replace"))

    def _write(self, messages: Sequence[Mapping[str, Any]]) -> None:
        data = b"".join(msgspec.json.encode(one) + b"\n" for one in messages)
        if len(messages) > MAX_LINES or len(data) > MAX_BYTES:
            raise NotA2ui("there is too much on the canvas; delete surfaces or reset it first")
        self._tree.create()
        if self._folder:
            self._tree.make(self._folder.rstrip("/"))
        self._tree.write(f"{self._folder}{FILE}", data)


def parsed(text: str) -> list[Mapping[str, Any]]:
    """Return the messages in JSON Lines; empty lines do not count.

    Raises:
        NotA2ui: a line is not a message.
    """
    messages: list[Mapping[str, Any]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            message = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise NotA2ui(f"line {number}: {error}") from None
        surface_of(message, number)
        messages.append(message)
    return messages


def surface_of(message: Any, number: int = 1) -> str:
    """Return the id of the surface a message is about.

    Raises:
        NotA2ui: it is no message.
    """
    if not isinstance(message, Mapping):
        raise NotA2ui(f"message {number}: must be an object")
    version = message.get("version")
    known = _V08 if version is None else _V09
    if version is not None and version not in _VERSIONS:
        raise NotA2ui(f"message {number}: the version must be v0.9, or none for 0.8")
    kinds = [name for name in message if name != "version"]
    if len(kinds) != 1 or kinds[0] not in known:
        raise NotA2ui(f"message {number}: must have exactly one of {', '.join(sorted(known))}")
    body = message[kinds[0]]
    surface = body.get("surfaceId") if isinstance(body, Mapping) else None
    if not isinstance(surface, str) or not 0 < len(surface) <= MAX_ID:
        raise NotA2ui(f"message {number}: {kinds[0]}.surfaceId must be a text")
    return surface
