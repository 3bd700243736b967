"""The text of a transcript message, whatever its shape.

Source: OpenClaw gateway protocol, `chat.history` message items.
"""

from __future__ import annotations

from typing import Any


def text_of(message: Any) -> str:
    """Return a message's text; parts that are not text are named in brackets."""
    content = message.get("content") if isinstance(message, dict) else message
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(text for part in content if (text := _part(part)))


def _part(part: Any) -> str:
    if not isinstance(part, dict):
        return str(part)
    kind = part.get("type")
    if kind == "text":
        return str(part.get("text", ""))
    if kind == "thinking":
        return ""
    return f"[{kind}: {part['name']}]" if "name" in part else f"[{kind}]"
