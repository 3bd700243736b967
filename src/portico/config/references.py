"""`${NAME}` in strings, and secret references instead of strings.

`"${PORT}"` is replaced by the environment's value, `"$${PORT}"` is the text `${PORT}` itself, and
`{source, id: …}` is replaced by the secret it points to: for `env` the variable of that name, for
`file` the content of that file (without its last line end), taken relative to the config file, for
`store` and `exec` see secret_sources.py.

Guarantees: pure but for reading the files named; every failure is reported, none stops the walk.
Source: OpenClaw configuration, environment variables and SecretRef.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portico.config.issues import Issue, Severity
from portico.config.keypath import KeyPath, format_path
from portico.config.paths import absolute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portico.config.secret_sources import SecretSources

_VARIABLE = re.compile(r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)\}")
_REF_KEYS = frozenset({"source", "provider", "id"})
_SOURCES = frozenset({"env", "file", "exec", "store"})
MAX_SECRET_FILE_BYTES = 65_536


def is_secret_ref(value: Any) -> bool:
    """Whether a value is a secret reference and not an ordinary object."""
    return (
        isinstance(value, dict)
        and value.get("source") in _SOURCES
        and isinstance(value.get("id"), str)
        and value.keys() <= _REF_KEYS
    )


def has_variable(text: str) -> bool:
    """Whether a string holds `${NAME}`."""
    return any(not match[1] for match in _VARIABLE.finditer(text))


def _read_secret(file: Path) -> str:
    with file.open("rb") as stream:
        content = stream.read(MAX_SECRET_FILE_BYTES + 1)
    if len(content) > MAX_SECRET_FILE_BYTES:
        raise OSError(f"larger than {MAX_SECRET_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise OSError("not UTF-8 text") from None


@dataclass(slots=True)
class Resolver:
    """One walk over a tree.

    `is_used` says whether Portico reads a path: what is missing in a section it does not use
    matters to nobody. `base_of` gives the directory a path's file references start from.
    """

    env: Mapping[str, str]
    is_used: Callable[[KeyPath], bool]
    base_of: Callable[[KeyPath], Path]
    state_dir: Path | None = None
    providers: Any = None
    issues: list[Issue] = field(default_factory=list)
    secret_paths: set[KeyPath] = field(default_factory=set)
    variable_paths: set[KeyPath] = field(default_factory=set)
    sources: SecretSources | None = None

    def resolve(self, value: Any, path: KeyPath = ()) -> Any:
        """The value with every reference replaced; what could not be is left out as None."""
        match value:
            case str():
                return self._substitute(value, path)
            case dict() if is_secret_ref(value):
                self.secret_paths.add(path)
                return self._secret(value, path)
            case dict():
                return {key: self.resolve(item, (*path, str(key))) for key, item in value.items()}
            case list():
                return [self.resolve(item, (*path, index)) for index, item in enumerate(value)]
            case _:
                return value

    def _substitute(self, text: str, path: KeyPath) -> str:
        def replace(match: re.Match[str]) -> str:
            escaped, name = match[1], match[2]
            if escaped:
                return match[0][1:]
            found = self.env.get(name)
            if found is None:
                self._missing_variable(name, path)
                return match[0]
            self.variable_paths.add(path)
            return found

        return _VARIABLE.sub(replace, text) if "${" in text else text

    def _secret(self, ref: dict[str, Any], path: KeyPath) -> str | None:
        name = ref["id"]
        match ref["source"]:
            case "env":
                found = self.env.get(name)
                if found is None:
                    self._missing_variable(name, path)
                return found
            case "file":
                return self._secret_file(name, path)
            case _:
                return self._secret_elsewhere(ref, path)

    def _secret_elsewhere(self, ref: dict[str, Any], path: KeyPath) -> str | None:
        """A secret of the store, or of a program."""
        from portico.config.secret_sources import SecretSources, SecretUnavailable

        if self.sources is None:
            self.sources = SecretSources(self.state_dir or Path(), env=self.env)
        provider = str(ref.get("provider") or "default")
        try:
            if not self.is_used(path):
                return None
            if ref["source"] == "store":
                return self.sources.stored(ref["id"])
            known = self.providers if isinstance(self.providers, dict) else {}
            return self.sources.printed(provider, known.get(provider), ref["id"])
        except SecretUnavailable as error:
            self._report(
                path,
                str(error),
                "see docs/configuration.md, Secrets; then: portico secrets reload",
                "secret.unavailable",
            )
            return None

    def _secret_file(self, name: str, path: KeyPath) -> str | None:
        file = absolute(name, self.env) if name.startswith("~") else self.base_of(path) / name
        try:
            text = _read_secret(file)
        except OSError as error:
            reason = error.strerror or error
            self._report(
                path,
                f"cannot read the secret file {file}: {reason}",
                "make the file readable for the gateway's user, or correct its path",
                "secret.file",
            )
            return None
        return text.removesuffix("\n").removesuffix("\r")

    def _missing_variable(self, name: str, path: KeyPath) -> None:
        self._report(
            path,
            f"environment variable {name} is not set",
            f"set {name} before starting, or write $${{{name}}} for the literal text",
            "env.missing",
        )

    def _report(self, path: KeyPath, message: str, next_step: str, code: str) -> None:
        if self.is_used(path):
            self.issues.append(Issue(Severity.ERROR, format_path(path), message, next_step, code))
