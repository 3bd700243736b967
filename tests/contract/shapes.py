"""Shapes: what an answer must look like, whatever its values.

A shape is a type (`str`, `Number`, `bool`, `None`), a tuple of shapes (any of them), a list with
one shape (each element), a dict (an object with these members; `"name?"` may be missing) or
`Is(value)`. Members beyond the shape are allowed: a client ignores what it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Number = (int, float)
Shape = Any


@dataclass(frozen=True)
class Is:
    """Exactly this value."""

    value: Any


def misfits(shape: Shape, value: Any, path: str = "$") -> list[str]:
    """Return what about a value is not as its shape says, each with its path."""
    match shape:
        case Is(value=wanted):
            return [] if value == wanted else [f"{path}: {value!r} is not {wanted!r}"]
        case dict():
            return _object_misfits(shape, value, path)
        case list():
            return _array_misfits(shape, value, path)
        case tuple():
            tried = [misfits(one, value, path) for one in shape]
            return [] if [] in tried else min(tried, key=len)
        case None:
            return [] if value is None else [f"{path}: {value!r} is not null"]
        case type():
            # To Python a boolean is an int; to JSON it is not.
            fits = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
            return [] if fits else [f"{path}: {value!r} is not {shape.__name__}"]
        case _:
            raise TypeError(f"not a shape: {shape!r}")


def _object_misfits(shape: dict[str, Shape], value: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is not an object"]
    found = []
    for name, wanted in shape.items():
        key = name.removesuffix("?")
        if key in value:
            found += misfits(wanted, value[key], f"{path}.{key}")
        elif key == name:
            found.append(f"{path}.{key}: missing")
    return found


def _array_misfits(shape: list[Shape], value: Any, path: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{path}: {value!r} is not an array"]
    return [
        misfit
        for number, one in enumerate(value)
        for misfit in misfits(shape[0], one, f"{path}[{number}]")
    ]
