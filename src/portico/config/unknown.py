"""Keys nobody reads: misspelt ones get a suggestion, ones of OpenClaw or of a later version a note.

Guarantees: never fatal; one issue per key, at the key.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from portico.config.issues import Issue, Severity
from portico.config.keypath import KeyPath, format_path
from portico.config.sections.base import Section


def section_in(annotation: Any) -> tuple[type[Section] | None, str]:
    """The section an annotation holds and how: "one", "list" or "map"."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, "one"
    origin = get_origin(annotation)
    holder = "list" if origin in {tuple, list} else "map" if origin is dict else None
    for argument in reversed(get_args(annotation)):
        inner, how = section_in(argument)
        if inner is not None:
            return inner, holder or how
    return None, "one"


def field_keys(model: type[Section]) -> dict[str, Any]:
    """Every accepted spelling of a section's fields, with the field's annotation."""
    keys: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        keys[info.alias or name] = info.annotation
        keys.setdefault(name, info.annotation)
    return keys


def unread_keys(data: Any, model: type[Section], path: KeyPath = ()) -> list[tuple[KeyPath, Issue]]:
    """An issue for each key of `data` that `model` has no field for."""
    if not isinstance(data, Mapping):
        return []
    keys = field_keys(model)
    found: list[tuple[KeyPath, Issue]] = []
    for key, value in data.items():
        here = (*path, str(key))
        if key not in keys:
            named = model.section_named(str(key))
            if named is not None:
                found += unread_keys(value, named, here)
            elif not _takes_any(model, data):
                found.append((here, _issue(here, str(key), model)))
            continue
        inner, how = section_in(keys[key])
        if inner is not None:
            for steps, item in _items(value, how):
                found += unread_keys(item, inner, (*here, *steps))
    return found


def is_read(path: KeyPath, model: type[Section]) -> bool:
    """Whether Portico reads what stands at `path`."""
    current: type[Section] | None = model
    how = "one"
    for step in path:
        if how != "one":
            how = "one"
            continue
        if current is None:
            return True
        annotation = field_keys(current).get(str(step))
        if annotation is None:
            named = current.section_named(str(step))
            if named is None:
                return _takes_any(current, {})
            current = named
            continue
        current, how = section_in(annotation)
    return True


def _takes_any(model: type[Section], data: Mapping[Any, Any]) -> bool:
    # A runtime's other keys are its options.
    from portico.config.sections.agents import RuntimeConfig

    return issubclass(model, RuntimeConfig)


def _items(value: Any, how: str) -> list[tuple[KeyPath, Any]]:
    if how == "list":
        return [((i,), item) for i, item in enumerate(value)] if isinstance(value, list) else []
    if how == "map":
        pairs = value.items() if isinstance(value, Mapping) else ()
        return [((str(name),), item) for name, item in pairs]
    return [((), value)]


def _issue(path: KeyPath, key: str, model: type[Section]) -> Issue:
    text = format_path(path)
    if key in model.not_used:
        return Issue(
            Severity.NOTE,
            text,
            "accepted, but not used by this version; kept as it is",
            code="key.unused",
        )
    if path[:1] == ("channels",) and len(path) == 2:
        return _no_such_channel(text, key)
    known = sorted({info.alias or name for name, info in model.model_fields.items()})
    close = difflib.get_close_matches(key, [*known, *model.not_used], n=1, cutoff=0.6)
    folded = [name for name in known if _fold(name) == _fold(key)]
    if suggestion := (folded or close):
        step = f"did you mean {format_path((*path[:-1], suggestion[0]))}?"
    else:
        step = f"remove it; known here: {', '.join(known)}"
    return Issue(Severity.WARNING, text, f"unknown key {key!r} is ignored", step, "key.unknown")


def _no_such_channel(path: str, key: str) -> Issue:
    from portico.config.channels import manifests

    known = sorted(manifests())
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    step = f"did you mean {close[0]}?" if close else f"installed: {', '.join(known) or 'none'}"
    message = f"no channel called {key!r} is installed; it is ignored"
    return Issue(Severity.WARNING, path, message, step, "channel.unknown")


def _fold(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
