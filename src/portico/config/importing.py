"""Reading an OpenClaw configuration and keeping what Portico understands.

What has a meaning here is taken, key by key; the rest is listed with the reason it was left, so
that nothing disappears unsaid. The result is checked like any other configuration.

Guarantees: the source file is not changed; every leaf of it is either taken or left.
Source: OpenClaw configuration reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portico.config.file import read_text, read_tree
from portico.config.issues import ConfigError, Issue, Severity
from portico.config.keypath import KeyPath, format_path, get_at
from portico.config.legacy import modernise
from portico.config.references import has_variable, is_secret_ref
from portico.config.splice import render

if TYPE_CHECKING:
    from pathlib import Path

    from portico.config.sections.base import Section

_REASONS: dict[str, str] = {
    "hooks": "inbound hooks are not part of Portico yet",
    "plugins": "OpenClaw plugins do not run in Portico",
    "skills": "skills are not part of Portico yet",
    "tools": "tools are not part of Portico yet",
    "env": "set these variables in the environment Portico starts in",
    "meta": "belongs to OpenClaw's own bookkeeping",
    "wizard": "belongs to OpenClaw's own bookkeeping",
    "update": "belongs to OpenClaw's own bookkeeping",
    "gateway.remote": "describes another gateway; use --url and --token",
    "gateway.controlUi.root": "names the page files of OpenClaw; Portico has its own",
    "logging.file": "Portico keeps a log file of its own",
    "$schema": "names OpenClaw's schema",
    "gateway.http.endpoints": "the OpenAI-compatible endpoints are not part of Portico yet",
    "gateway.tailscale": "Tailscale is not part of Portico yet",
}
_RUNTIMES = frozenset({"echo", "python"})
_NOT_USED = "Portico does not use this setting yet"
_UNKNOWN = "neither Portico nor this importer knows this setting"


@dataclass(frozen=True, slots=True)
class Left:
    """One setting that was not taken."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """A configuration for Portico, and the account of where it came from."""

    config: dict[str, Any]
    taken: tuple[str, ...]
    left: tuple[Left, ...]


def read_openclaw(path: Path) -> Imported:
    """Read and import a file, with what it includes.

    Raises:
        ConfigError: it cannot be read, or is not JSON5.
    """
    try:
        text = read_text(path)
    except OSError as error:
        issue = Issue(
            Severity.ERROR,
            "",
            f"cannot read it: {error.strerror or error}",
            "give the path of an openclaw.json",
            "file.read",
            str(path),
        )
        raise ConfigError([issue]) from None
    tree = read_tree(path, text)
    if tree.issues:
        raise ConfigError(tree.issues)
    return import_openclaw(tree.merged)


def import_openclaw(source: Mapping[str, Any]) -> Imported:
    """Sort a parsed OpenClaw configuration into what is taken and what is left."""
    from portico.config.model import PorticoConfig

    tree, _ = modernise(dict(source))
    sorter = _Sorter()
    config = sorter.sort(tree, PorticoConfig, ())
    sorter.leave_refused(config)
    return Imported(
        config=config,
        taken=tuple(format_path(path) for path in sorter.taken),
        left=tuple(sorter.left),
    )


def render_imported(imported: Imported, *, origin: str) -> str:
    """The text of a config file holding what was taken."""
    head = f"// Imported from {origin}: {len(imported.taken)} settings taken, "
    head += f"{len(imported.left)} left.\n"
    return head + render(imported.config, "", quoted=False) + "\n"


class _Sorter:
    """Walks the source beside the model and deals each setting to one of the two heaps."""

    def __init__(self) -> None:
        self.taken: list[KeyPath] = []
        self.left: list[Left] = []
        self._kept: dict[KeyPath, list[int]] = {}  # of a list: where its entries stood

    def sort(self, data: Mapping[str, Any], model: type[Section], path: KeyPath) -> dict[str, Any]:
        """The part of `data` that `model` understands."""
        from portico.config.unknown import field_keys, section_in

        keys = field_keys(model)
        kept: dict[str, Any] = {}
        for key, value in data.items():
            here = (*path, str(key))
            named = None if key in keys else model.section_named(str(key))
            if named is not None and isinstance(value, Mapping):
                kept[str(key)] = self.sort(value, named, here)
                continue
            if key not in keys or format_path(here) in _REASONS:
                self.leave(here, _reason(here, model))
                continue
            inner, how = section_in(keys[key])
            if inner is None or key == "runtime" or not isinstance(value, (Mapping, list)):
                self._take(kept, str(key), value, here)
            elif part := self._nested(value, inner, how, here):
                kept[str(key)] = part
        return kept

    def leave(self, path: KeyPath, reason: str) -> None:
        self.left.append(Left(format_path(path), reason))

    def _nested(self, value: Any, inner: type[Section], how: str, path: KeyPath) -> Any:
        if how == "one" and isinstance(value, Mapping):
            return self.sort(value, inner, path)
        if how == "list" and isinstance(value, list):
            entries = [self._entry(item, inner, (*path, i)) for i, item in enumerate(value)]
            self._kept[path] = [i for i, entry in enumerate(entries) if entry]
            return [entry for entry in entries if entry]
        if how == "map" and isinstance(value, Mapping):
            named = {
                str(name): self._entry(item, inner, (*path, str(name)))
                for name, item in value.items()
            }
            return {name: entry for name, entry in named.items() if entry is not None}
        self.leave(path, "has another shape than Portico expects")
        return None

    def _entry(self, item: Any, inner: type[Section], path: KeyPath) -> dict[str, Any] | None:
        """One entry of a list or map: taken if it is acceptable by itself, else left whole."""
        part = _Sorter()
        kept = part.sort(item, inner, path) if isinstance(item, Mapping) else {}
        identified = {"id": path[-1], **kept} if isinstance(path[-1], str) else kept
        refusals = _refusals(inner, identified, is_partial=path[0] == "channels")
        if not isinstance(item, Mapping) or refusals:
            reason = refusals[0][1] if refusals else "it is not an object"
            self.leave(path, f"not acceptable to Portico: {reason}")
            return None
        self.taken += part.taken
        self.left += part.left
        return kept

    def _take(self, kept: dict[str, Any], key: str, value: Any, path: KeyPath) -> None:
        kind = value.get("type") if isinstance(value, Mapping) else value
        if key == "runtime" and kind not in _RUNTIMES:
            self.leave(path, f"Portico has no agent runtime {kind!r} yet")
        elif is_secret_ref(value) and value["source"] != "env":
            self.leave(
                path, f"secret source {value['source']!r} works differently here; set it anew"
            )
        else:
            kept[key] = value
            self.taken.append(path)

    def leave_refused(self, config: dict[str, Any]) -> None:
        """Take out again what the whole model would refuse."""
        from portico.config.model import PorticoConfig

        while refusals := _refusals(PorticoConfig, config):
            where, message = refusals[0]
            where, source = self._entry_at(where)
            guilty = [path for path in self.taken if _related(path, source)]
            if not guilty:
                return
            for path in guilty:
                self.taken.remove(path)
                self.leave(path, f"not acceptable to Portico: {message}")
            _drop(config, where)

    def _entry_at(self, where: KeyPath) -> tuple[KeyPath, KeyPath]:
        """The list entry a place belongs to, or the place itself; and where that was read."""
        for length, step in enumerate(where):
            kept = self._kept.get(where[:length])
            if kept is not None and isinstance(step, int):
                return where[: length + 1], (*where[:length], kept.pop(step))
        return where, where


def _drop(config: dict[str, Any], where: KeyPath) -> None:
    """Remove what stands at `where`, or the nearest thing above it that is there."""
    for length in range(len(where), 0, -1):
        parent: Any = config
        try:
            parent = get_at(config, where[: length - 1])
        except KeyError:
            continue
        if isinstance(parent, dict) and str(where[length - 1]) in parent:
            del parent[str(where[length - 1])]
            return
        if isinstance(parent, list) and isinstance(step := where[length - 1], int):
            del parent[step]
            return


def _related(path: KeyPath, where: KeyPath) -> bool:
    shared = min(len(path), len(where))
    return path[:shared] == where[:shared]


def _refusals(
    model: type[Section], data: Mapping[str, Any], *, is_partial: bool = False
) -> list[tuple[KeyPath, str]]:
    """What the model refuses; of a part, what is missing may stand elsewhere."""
    from pydantic import ValidationError

    try:
        model.model_validate(_without_references(data))
    except ValidationError as error:
        return [
            (tuple(detail["loc"]), str(detail["msg"]).removeprefix("Value error, "))
            for detail in error.errors(include_url=False, include_input=False)
            if not (is_partial and detail["type"] == "missing")
        ]
    return []


def _without_references(value: Any) -> Any:
    """What can be judged before the environment is known."""
    if isinstance(value, Mapping):
        return {
            key: _without_references(item)
            for key, item in value.items()
            if not (is_secret_ref(item) or (isinstance(item, str) and has_variable(item)))
        }
    return [_without_references(item) for item in value] if isinstance(value, list) else value


def _reason(path: KeyPath, model: type[Section]) -> str:
    if reason := _REASONS.get(format_path(path)):
        return reason
    if path[:1] == ("channels",) and len(path) == 2:
        return "no channel of this name is installed"
    return _NOT_USED if str(path[-1]) in model.not_used else _UNKNOWN
