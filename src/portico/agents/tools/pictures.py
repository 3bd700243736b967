"""Pictures as tools bring them: what their bytes are, whatever somebody calls them."""

from __future__ import annotations

import base64

from portico.agents.tools.contract import ToolError
from portico.channels.model import Attachment

MAX_PICTURE_BYTES = 5_000_000
"""What providers take at most of one picture."""


def kind_of(content: bytes) -> str | None:
    """Return the media type of a picture that models take, by its first bytes."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return None


def picture(content: bytes, name: str) -> Attachment:
    """Return a picture as a model is shown it.

    Raises:
        ToolError: it is none, or too large.
    """
    kind = kind_of(content)
    if kind is None:
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
