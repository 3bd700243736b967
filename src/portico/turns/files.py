"""Files that people attached to their messages, found again by name while the turns are kept.

The transcript keeps a file's name and size; its content is in the row of the turn it came with.
"""

from __future__ import annotations

from typing import Any

from portico.channels.model import Attachment
from portico.sessions import transcript
from portico.store import Store, Work
from portico.turns import store as turn_store

NEWEST_ENTRIES = 200
MOST_TURNS = 20


class SentFiles:
    """Looks attachments up."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, session_id: str, name: str) -> Attachment | None:
        """Return the newest file of that name in a conversation; `None`: there is none.

        A file without a name is called by its kind: `image`, `file` …
        """
        return await self._store.read(_find, session_id, name)


def _find(session_id: str, name: str) -> Work[Attachment | None]:
    entries = yield from transcript.history(session_id, limit=NEWEST_ENTRIES)
    looked_at = 0
    for entry in reversed(entries):
        if entry.role != "user" or not isinstance(entry.content, list):
            continue
        inline = next((p for p in entry.content if _is_named(p, name) and p.get("data")), None)
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


def _as_attachment(part: dict[str, Any]) -> Attachment:
    kind = str(part["type"])
    form = part.get("mimeType") or part.get("mime_type") or part.get("format")
    mime_type = form if form is None or "/" in form else f"{kind}/{form}"
    return Attachment(
        type=kind,
        mime_type=mime_type,
        file_name=part.get("fileName") or part.get("filename"),
        content=str(part["data"]),
    )
