"""Pictures as tools bring them: what their bytes are, whatever somebody calls them."""

from __future__ import annotations

import base64

from portico.agents.tools.contract import ToolError
from portico.channels.model import Attachment
from portico.filetypes import HEAD_BYTES, sniffed

MAX_PICTURE_BYTES = 5_000_000
"""What providers take at most of one picture."""
SEEN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What models take as pictures."""


def picture(content: bytes, name: str) -> Attachment:
    """Return a picture as a model is shown it.

    Raises:
        ToolError: it is none, or too large.
    """
    kind = sniffed(content[:HEAD_BYTES])
    if kind not in SEEN:
        raise ToolError("It is not a picture of a kind that models see: PNG, JPEG, GIF or WebP.")
    if len(content) > MAX_PICTURE_BYTES:
        raise ToolError(f"The picture is larger than {MAX_PICTURE_BYTES / 1e6:g} MB.")
    return Attachment(
        type="image",
        mime_type=kind,
        file_name=name or None,
        content=base64.b64encode(content).decode(),
        size_bytes=len(content),
    )
