"""Merge patches, and the smallest edits that turn one tree into another.

A patch is an object: `null` removes, objects merge key by key, lists of entries with ids merge by
id, anything else replaces.

Guarantees: `changes_between(a, b)`, made one after another, turn a into b.
Source: RFC 7396; OpenClaw docs gateway/configuration/config-rpc.md, `config.patch`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from portico.config.edit import Change
from portico.config.keypath import KeyPath


def merged(base: Any, patch: Any, *, replace: Collection[str] = (), path: str = "") -> Any:
    """Return a tree with a patch applied.

    Args:
        replace: lists that are replaced and not merged by id, such as `agents.list`.

    Raises:
        ValueError: entries of a list cannot be told apart.
    """
    if isinstance(patch, list) and isinstance(base, list):
        return _merged_list(base, patch, replace, path)
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            below = f"{path}.{key}" if path else key
            result[key] = merged(result.get(key), value, replace=replace, path=below)
    return result


def _merged_list(base: list[Any], patch: list[Any], replace: Collection[str], path: str) -> Any:
    if path in replace or not base or not patch or not all(map(_has_id, (*base, *patch))):
        return patch
    ids = [one["id"] for one in patch]
    if len(set(ids)) != len(ids) or len({one["id"] for one in base}) != len(base):
        raise ValueError(f"{path}: an id occurs twice; name the list in replacePaths")
    new = {one["id"]: one for one in patch}
    kept = [
        merged(one, new.pop(one["id"]), replace=replace, path=f"{path}[]")
        if one["id"] in new
        else one
        for one in base
    ]
    return [*kept, *(merged({}, one, replace=replace, path=f"{path}[]") for one in new.values())]


def dropped_entries(base: Any, result: Any, path: str = "") -> Iterator[str]:
    """Name the lists that lose an entry."""
    if isinstance(base, list):
        if not isinstance(result, list) or not _keeps_all(base, result):
            if base:
                yield path
            return
        by_id = {one["id"]: one for one in result if _has_id(one)}
        for one in base:
            if _has_id(one) and one["id"] in by_id:
                yield from dropped_entries(one, by_id[one["id"]], f"{path}[]")
    elif isinstance(base, dict):
        for key, value in base.items():
            below = f"{path}.{key}" if path else key
            after = result.get(key) if isinstance(result, dict) else None
            yield from dropped_entries(value, after, below)


def _keeps_all(base: list[Any], result: list[Any]) -> bool:
    if base and all(map(_has_id, base)):
        return {one["id"] for one in base} <= {one["id"] for one in result if _has_id(one)}
    left = list(result)
    for one in base:
        if one not in left:
            return False
        left.remove(one)
    return True


def changes_between(before: Any, after: Any, path: KeyPath = ()) -> Iterator[Change]:
    """Yield the smallest edits from one tree to another, in an order in which they can be made."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before:
            if key not in after:
                yield Change((*path, key), remove=True)
        for key, value in after.items():
            if key not in before:
                yield Change((*path, key), value)
            else:
                yield from changes_between(before[key], value, (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) <= len(after):
        for index, value in enumerate(after):
            if index < len(before):
                yield from changes_between(before[index], value, (*path, index))
            else:
                yield Change((*path, index), value)
    elif before != after or type(before) is not type(after):
        yield Change(path, after)


def _has_id(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"] != ""
