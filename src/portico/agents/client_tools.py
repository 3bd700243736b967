"""Which of the tools its caller runs itself an agent may choose from.

Source: OpenAI API reference, `tool_choice` of "Chat" and "Responses".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Mode = Literal["auto", "none", "required"]


def tool_choice(given: Any) -> tuple[Mode, frozenset[str]]:
    """Read a tool choice in either of OpenAI's shapes.

    Returns:
        How free the choice is, and the names it is limited to; none: all tools.
    """
    if not isinstance(given, Mapping):
        return _mode(given), frozenset()
    if given.get("type") == "function":
        return "required", frozenset({_name(given)})
    if given.get("type") == "allowed_tools":
        inner = given.get("allowed_tools")
        allowed = inner if isinstance(inner, Mapping) else given
        listed = allowed.get("tools")
        tools = listed if isinstance(listed, list | tuple) else ()
        names = {_name(tool) for tool in tools if isinstance(tool, Mapping)}
        return _mode(allowed.get("mode")), frozenset(names)
    return "auto", frozenset()


def _mode(given: Any) -> Mode:
    return given if given in {"none", "required"} else "auto"


def _name(tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    return str((function if isinstance(function, Mapping) else tool).get("name") or "")
