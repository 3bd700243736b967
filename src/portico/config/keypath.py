"""Paths into a configuration tree: `gateway.port`, `agents.list[0].id`, `channels["a.b"]`.

Guarantees: `parse_path(format_path(p)) == p` for every path whose list steps are integers.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

KeyPath = tuple[str | int, ...]

_STEP = re.compile(
    r"""\[(?P<index>\d+)\]            # [0]
      | \[(?P<quoted>"(?:[^"\\]|\\.)*")\]   # ["a.b"]
      | (?P<plain>[^.\[\]"\s]+)       # name
    """,
    re.VERBOSE,
)
_PLAIN = re.compile(r'[^.\[\]"\s]+')


def parse_path(text: str) -> KeyPath:
    """Split a written path into its steps; `a.0` stays the name "0" until it meets a list.

    Raises:
        ValueError: the text is not a path.
    """
    steps: list[str | int] = []
    position = 0
    text = text.strip()
    while position < len(text):
        if steps and text[position] == ".":
            position += 1
        elif steps and text[position] != "[":
            raise ValueError(f"expected '.' or '[' at position {position} of path {text!r}")
        match = _STEP.match(text, position)
        if match is None:
            raise ValueError(f"not a config path: {text!r} (position {position})")
        steps.append(_step_of(match))
        position = match.end()
    if not steps:
        raise ValueError("the config path is empty")
    return tuple(steps)


def _step_of(match: re.Match[str]) -> str | int:
    if (index := match["index"]) is not None:
        return int(index)
    if (quoted := match["quoted"]) is not None:
        return str(json.loads(quoted))
    return match["plain"]


def format_path(path: Sequence[str | int]) -> str:
    """Write a path the way people type it."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text


def get_at(data: Any, path: Sequence[str | int]) -> Any:
    """Walk `path` through dicts and lists.

    Raises:
        KeyError: nothing is there.
    """
    for step in path:
        match data:
            case dict():
                data = data[str(step)]
            case list() if (index := list_index(step)) is not None and index < len(data):
                data = data[index]
            case _:
                raise KeyError(format_path(path))
    return data


def get_value(data: Any, path: str) -> Any:
    """`get_at` for a written path."""
    return get_at(data, parse_path(path))


def set_at(data: dict[str, Any], path: Sequence[str | int], value: Any) -> None:
    """Put `value` at `path` of a plain tree, making the objects on the way.

    Raises:
        KeyError: a step on the way is neither an object nor an existing list entry.
    """
    node: Any = data
    for step, following in itertools.pairwise(path):
        node = _entered(node, step, [] if following == 0 and isinstance(following, int) else {})
    last = path[-1]
    match node:
        case dict():
            node[str(last)] = value
        case list() if (index := list_index(last)) is not None and index < len(node):
            node[index] = value
        case list() if list_index(last) == len(node):
            node.append(value)
        case _:
            raise KeyError(format_path(path))


def _entered(node: Any, step: str | int, fresh: Any) -> Any:
    """The container at a step, made when it is missing."""
    if isinstance(node, dict):
        return node.setdefault(str(step), fresh)
    if isinstance(node, list) and list_index(step) == len(node):
        node.append(fresh)
    return get_at(node, (step,))


def list_index(step: str | int) -> int | None:
    """The list position a step means, when it can mean one."""
    if isinstance(step, int):
        return step
    return int(step) if step.isascii() and step.isdigit() else None
