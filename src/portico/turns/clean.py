"""Make what a runtime yields safe to store and to publish.

Guarantees: text becomes valid Unicode (lone surrogates are replaced), tool arguments and results
become JSON values; what is fine already is passed on as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from portico.agents.runtime import (
    AgentEvent,
    ContextCompacted,
    Failed,
    Final,
    Progress,
    TextDelta,
    ThinkingDelta,
    ToolCallRequested,
    ToolFinished,
    ToolStarted,
)

MAX_SHOWN = 10_000  # characters of a value that is no JSON


def clean(event: AgentEvent) -> AgentEvent:
    """Return the event, changed only where it could not be written."""
    match event:
        case TextDelta(text) | ThinkingDelta(text) if not _is_valid(text):
            return type(event)(_valid(text))
        case Final(str() as text) if not _is_valid(text):
            return replace(event, text=_valid(text))
        case Failed(message) if not _is_valid(message):
            return replace(event, message=_valid(message))
        case Progress(stage, summary) if not _is_valid(stage + summary):
            return Progress(_valid(stage), _valid(summary))
        case ToolStarted() | ToolCallRequested() if not _is_json(event.arguments):
            shown = {_valid(str(name)): _plain(value) for name, value in event.arguments.items()}
            return replace(event, arguments=shown)
        case ContextCompacted(summary) if not _is_valid(summary):
            return replace(event, summary=_valid(summary))
        case ToolFinished() if not _is_json(event.result):
            return replace(event, result=_plain(event.result))
        case _:
            return event


def _is_valid(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _valid(text: str) -> str:
    return text.encode(errors="replace").decode()


def _is_json(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _plain(value: Any) -> Any:
    return value if _is_json(value) else _valid(repr(value))[:MAX_SHOWN]
