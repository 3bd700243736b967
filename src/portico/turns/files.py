"""Files that people attached to their messages: for their turn, and found again by name.

The transcript keeps a file's name, size and hash; its bytes are in the store of media. Those of
messages from before there was one are in the row of the turn they came with.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from portico.agents.runtime import TurnRequest
from portico.channels.model import Attachment
from portico.sessions import transcript
from portico.store import Store, Work
from portico.turns import store as turn_store
from portico.turns.model import TurnRow

NEWEST_ENTRIES = 200
MOST_TURNS = 20


class TurnFiles(Protocol):
    """What is done about the files of a message while it is answered."""

    async def load(self, sha256: str) -> bytes | None:
        """Return the bytes that are kept under a hash; `None`: they are no longer kept."""
        ...

    async def prepared(self, request: TurnRequest, turn: TurnRow) -> TurnRequest:
        """Return a message as its agent is to read it: what was said in its sounds is text.

        Never raises, and ends within a time of its own.

        Args:
            turn: the one that runs, whose transcript the message is in.
        """
        ...


class NoFiles:
    """There is no store; files are in the rows."""

    async def load(self, sha256: str) -> bytes | None:  # there is none
        """Nothing."""
        return None

    async def prepared(self, request: TurnRequest, turn: TurnRow) -> TurnRequest:
        """Return it as it is."""
        return request


class SentFiles:
    """Looks attachments up."""

    def __init__(self, store: Store, files: TurnFiles | None = None) -> None:
        self._store = store
        self._files = files or NoFiles()

    async def find(self, session_id: str, name: str) -> Attachment | None:
        """Return the newest file of that name in a conversation, with its bytes if they are kept.

        A file without a name is called by its kind: `image`, `file` … `None`: there is none.
        """
        found = await self._store.read(_find, session_id, name)
        if found is None or found.sha256 is None or found.has_bytes:
            return found
        return msgspec.structs.replace(found, data=await self._files.load(found.sha256))


def _find(session_id: str, name: str) -> Work[Attachment | None]:
    entries = yield from transcript.history(session_id, limit=NEWEST_ENTRIES)
    looked_at = 0
    for entry in reversed(entries):
        if entry.role != "user" or not isinstance(entry.content, list):
            continue
        inline = next((p for p in entry.content if _is_named(p, name) and _is_kept(p)), None)
        if inline is not None:
            return _as_attachment(inline)
        if entry.run_id is None or not any(_is_named(part, name) for part in entry.content):
            continue
        turn = yield from turn_store.find(entry.run_id)
        for attachment in () if turn is None else turn.request.attachments:
            if name in {attachment.file_name, attachment.type} and attachment.content:
                return attachment
        looked_at += 1
        if looked_at >= MOST_TURNS:
            break
    return None


def _is_named(part: Any, name: str) -> bool:
    if not isinstance(part, dict) or part.get("type") in {None, "text", "toolResult"}:
        return False
    return name in {part.get("fileName"), part.get("filename"), part.get("type")}


def _is_kept(part: dict[str, Any]) -> bool:
    return bool(part.get("data") or part.get("sha256"))


def _as_attachment(part: dict[str, Any]) -> Attachment:
    kind = str(part["type"])
    form = part.get("mimeType") or part.get("mime_type") or part.get("format")
    mime_type = form if form is None or "/" in form else f"{kind}/{form}"
    return Attachment(
        type=kind,
        mime_type=mime_type,
        file_name=part.get("fileName") or part.get("filename"),
        content=part.get("data"),
        sha256=part.get("sha256"),
        size_bytes=part.get("sizeBytes"),
    )
