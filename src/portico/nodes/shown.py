"""What agents are shown of a node's answer."""

from __future__ import annotations

from typing import Any

import msgspec

MAX_ANSWER_CHARS = 40_000


def bounded(value: Any) -> Any:
    """Return an answer, or its beginning as text when it is too long."""
    text = msgspec.json.encode(value).decode()
    return value if len(text) <= MAX_ANSWER_CHARS else {"cut": text[:MAX_ANSWER_CHARS]}
