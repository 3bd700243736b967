"""From the content of an MCP result to what our tools return.

Source: Model Context Protocol, "Tool results".
"""

from __future__ import annotations

from typing import Any

from portico.agents.tools.contract import ToolOutput
from portico.channels.model import Attachment

_MEDIA = {"image": "image", "audio": "audio"}


def value_of(result: Any) -> ToolOutput:
    """Return the text and the media; the structured value where there is no text."""
    texts: list[str] = []
    media: list[Attachment] = []
    for part in result.content:
        if part.type in _MEDIA:
            kind = _MEDIA[part.type]
            media.append(Attachment(type=kind, mime_type=part.mime_type, content=part.data))
        else:
            texts.append(_text(part))
    text = "\n\n".join(filter(None, texts))
    structured = result.structured_content
    value = structured if not text and structured is not None else text
    if not value and media:
        value = ", ".join(f"[{item.type} {item.mime_type}]" for item in media)
    return ToolOutput(value, tuple(media))


def _text(part: Any) -> str:
    if part.type == "text":
        return str(part.text)
    if part.type == "resource_link":
        return f"[{part.name}]({part.uri})"
    resource = part.resource
    text = getattr(resource, "text", None)
    return str(text) if text is not None else f"[file {resource.uri}: not shown]"
