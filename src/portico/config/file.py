"""Reading a config file with what it includes, and remembering where every value came from.

`{$include: "other.json5", port: 1}` is the other file's object with `port` on top; a list of
files is merged from left to right. Includes are relative to the file that names them.

Guarantees: never raises for what a file contains; each failure is an issue with file and line.
Source: OpenClaw configuration, `$include`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portico.config.issues import Issue, Severity
from portico.config.keypath import KeyPath, format_path
from portico.config.text import (
    Lines,
    Member,
    TextError,
    find_member,
    outline,
    read_json5,
    syntax_issue,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

INCLUDE = "$include"
MAX_INCLUDE_DEPTH = 10
MAX_FILE_BYTES = 16 << 20


@dataclass
class SourceFile:
    """One file's text, mounted at a path of the whole tree."""

    path: Path
    text: str
    mount: KeyPath

    @cached_property
    def outline(self) -> Member | None:
        """Where everything stands in the text (slow to make, so only on demand)."""
        return outline(self.text)

    @cached_property
    def lines(self) -> Lines:
        """Line starts of the text."""
        return Lines.of(self.text)


@dataclass(slots=True)
class Tree:
    """A file read with its includes."""

    parsed: dict[str, Any] = field(default_factory=dict)
    merged: dict[str, Any] = field(default_factory=dict)
    files: list[SourceFile] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)

    def locate(self, path: KeyPath) -> tuple[SourceFile, Member] | None:
        """The text that defines `path`, or its nearest ancestor that is written anywhere."""
        best: tuple[int, SourceFile, Member] | None = None
        for file in self.files:
            depth = len(file.mount)
            if path[:depth] != file.mount or file.outline is None:
                continue
            member, rest = find_member(file.outline, path[depth:])
            found = len(path) - len(rest)
            if best is None or found > best[0]:
                best = (found, file, member)
        return best[1:] if best else None

    def place(self, issue: Issue, path: KeyPath, *, at_key: bool = False) -> Issue:
        """The issue with the file and line where `path` is written."""
        if not self.files:
            return issue
        found = self.locate(path)
        if found is None:
            return replace(issue, file=str(self.files[0].path))
        file, member = found
        line, column = file.lines.place(member.key_start if at_key else member.start)
        return replace(issue, file=str(file.path), line=line, column=column)

    def directory_of(self, path: KeyPath) -> Path:
        """The directory of the file that defines `path`."""
        if len(self.files) == 1:
            return self.files[0].path.parent
        found = self.locate(path)
        return found[0].path.parent if found else Path()


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        OSError: it cannot be read, is too large or is not UTF-8.
    """
    with path.open("rb") as stream:
        content = stream.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(f"larger than {MAX_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OSError(f"not UTF-8 text (byte {error.start})") from None


def read_tree(path: Path, text: str) -> Tree:
    """Read `text` as the content of `path`, with its includes."""
    tree = Tree()
    value = _read_one(tree, path, text, ())
    if isinstance(value, dict):
        tree.parsed = value
        merged = _expand(tree, value, (), path, (path.resolve(),))
        tree.merged = merged if isinstance(merged, dict) else {}
    elif not tree.issues:
        issue = Issue(
            Severity.ERROR,
            "",
            f"the file holds {_kind(value)}, not an object",
            "write { … } around the settings",
            "type",
        )
        tree.issues.append(tree.place(issue, ()))
    return tree


def _read_one(tree: Tree, path: Path, text: str, mount: KeyPath) -> Any:
    tree.files.append(SourceFile(path, text, mount))
    try:
        return read_json5(text) if text.strip() else {}
    except TextError as error:
        tree.issues.append(syntax_issue(error, text, str(path)))
        return None


def _expand(tree: Tree, value: Any, mount: KeyPath, file: Path, chain: tuple[Path, ...]) -> Any:
    if isinstance(value, list):
        return [
            _expand(tree, item, (*mount, index), file, chain) for index, item in enumerate(value)
        ]
    if not isinstance(value, dict):
        return value
    own = {
        key: _expand(tree, item, (*mount, key), file, chain)
        for key, item in value.items()
        if key != INCLUDE
    }
    if INCLUDE not in value:
        return own
    parts = [
        _include(tree, name, mount, file, chain) for name in _names(tree, value[INCLUDE], mount)
    ]
    if len(parts) == 1 and not own and not isinstance(parts[0], dict):
        return parts[0]
    return _merge_all([part for part in parts if isinstance(part, dict)] + [own])


def _names(tree: Tree, value: Any, mount: KeyPath) -> list[str]:
    names = value if isinstance(value, list) else [value]
    if all(isinstance(name, str) and name for name in names):
        return names
    _report(tree, mount, "$include takes a file name or a list of them", "include.type")
    return []


def _include(tree: Tree, name: str, mount: KeyPath, file: Path, chain: tuple[Path, ...]) -> Any:
    target = file.parent / Path(name)
    resolved = target.resolve()
    if resolved in chain:
        _report(tree, mount, f"{name} includes itself", "include.cycle")
        return None
    if len(chain) > MAX_INCLUDE_DEPTH:
        _report(tree, mount, f"more than {MAX_INCLUDE_DEPTH} files deep", "include.depth")
        return None
    try:
        text = read_text(target)
    except OSError as error:
        reason = error.strerror or error
        tree.missing.append(target)
        _report(tree, mount, f"cannot read the included file {target}: {reason}", "include.read")
        return None
    value = _read_one(tree, target, text, mount)
    return _expand(tree, value, mount, target, (*chain, resolved))


def _report(tree: Tree, mount: KeyPath, message: str, code: str) -> None:
    path = (*mount, INCLUDE)
    issue = Issue(
        Severity.ERROR, format_path(path), message, "correct or remove this $include", code
    )
    tree.issues.append(tree.place(issue, path))


def _merge_all(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        merged = deep_merge(merged, part)
    return merged


def deep_merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """`base` with `top` on it; objects merge key by key, anything else is replaced."""
    merged = dict(base)
    for key, value in top.items():
        before = merged.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        merged[key] = deep_merge(before, value) if both else value  # type: ignore[arg-type]  # both are dicts
    return merged


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
