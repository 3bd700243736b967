"""Loading the configuration: from the file's text to one typed value, with everything learned.

Guarantees: `load` never raises for what a file contains: it lists all problems, each with its
place. A missing file is an empty one. Nothing here changes the config file.
Not here: the first file (first_run.py), changing it (edit.py).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from portico.config.atomic import write_atomic
from portico.config.checks import startup_issues
from portico.config.environment import with_environment
from portico.config.file import Tree, read_text, read_tree
from portico.config.issues import ConfigError, Issue, Severity
from portico.config.keypath import KeyPath, format_path, parse_path
from portico.config.legacy import modernise
from portico.config.owners import split_degraded, without_owners
from portico.config.redaction import redact, redact_text
from portico.config.references import Resolver

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from portico.config.channels import AccountEntry
    from portico.config.model import PorticoConfig
    from portico.config.paths import ConfigPaths


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and all that is known about it. Nothing in here is redacted.

    Attributes:
        overrides: settings of the command line, by path; they win over the file.
        degraded: references that cannot be resolved, and switch only their owner off.
        variable_paths: values that hold something of the environment.
        is_recovery: it stands in for a file that cannot be used; `issues` says why.
        included: the files that the config file includes, or would if they were there.
    """

    paths: ConfigPaths
    exists: bool
    raw: str | None
    hash: str | None
    revision_hash: str
    parsed: dict[str, Any]
    source: dict[str, Any]
    resolved: dict[str, Any]
    config: PorticoConfig | None
    issues: tuple[Issue, ...]
    warnings: tuple[Issue, ...]
    startup_issues: tuple[Issue, ...]
    secret_paths: frozenset[KeyPath]
    overrides: Mapping[str, Any]
    from_last_good: bool = False
    channel_accounts: tuple[AccountEntry, ...] = ()
    included: tuple[Path, ...] = ()
    degraded: tuple[Issue, ...] = ()
    is_recovery: bool = False
    variable_paths: frozenset[KeyPath] = frozenset()

    @property
    def valid(self) -> bool:
        """Whether the file can be used as it is."""
        return not self.issues

    @property
    def hidden_paths(self) -> frozenset[KeyPath]:
        """The resolved values that are shown to nobody: secrets, and what the environment holds."""
        return self.secret_paths | self.variable_paths

    def require(self) -> PorticoConfig:
        """The typed configuration.

        Raises:
            ConfigError: with every problem of the file.
        """
        if self.config is None:
            raise ConfigError(self.issues)
        return self.config

    def require_startable(self) -> PorticoConfig:
        """The typed configuration, if a gateway may start with it.

        Raises:
            ConfigError: with every problem of the file, or every reason to refuse.
        """
        config = self.require()
        refusals = [one for one in self.startup_issues if one.severity is Severity.ERROR]
        if refusals:
            raise ConfigError(refusals)
        return config


def load(
    paths: ConfigPaths, *, env: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> LoadedConfig:
    """Read, resolve and check the config file."""
    try:
        text = read_text(paths.config_file)
    except FileNotFoundError:
        return load_text(paths, "", env=env, overrides=overrides, exists=False)
    except OSError as error:
        issue = Issue(
            Severity.ERROR,
            "",
            f"cannot read the config file: {error.strerror or error}",
            "make it a readable file",
            "file.read",
            str(paths.config_file),
        )
        return replace(
            load_text(paths, "", env=env, overrides=overrides),
            raw=None,
            hash=None,
            config=None,
            issues=(issue,),
        )
    return load_text(paths, text, env=env, overrides=overrides)


def load_text(
    paths: ConfigPaths,
    text: str,
    *,
    env: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
    exists: bool = True,
    origin: Path | None = None,
) -> LoadedConfig:
    """Treat `text` as the content of the config file (or of `origin`)."""
    from portico.config.model import PorticoConfig
    from portico.config.unknown import is_read, unread_keys

    tree = read_tree(origin or paths.config_file, text)
    modern, legacy = modernise(tree.merged)
    resolver = Resolver(
        env,
        partial(is_read, model=PorticoConfig),
        tree.directory_of,
        state_dir=paths.state_dir,
        providers=_providers(modern),
    )
    found_secrets = resolver.resolve(modern)
    fatal, degraded = split_degraded(resolver.issues, resolver.secret_paths)
    resolved = with_environment(without_owners(found_secrets, degraded), env, overrides or {})
    config, type_issues = (None, []) if tree.issues else _validate(resolved, tree)
    own, of_channels = _apart(fatal)
    found = [_placed(tree, issue) for issue in own]
    known = {issue.path for issue in found}
    issues = (*tree.issues, *found, *(one for one in type_issues if one.path not in known))
    unread = [] if tree.issues else unread_keys(modern, PorticoConfig)
    warnings = [
        issue if issue.severity is Severity.NOTE else tree.place(issue, path, at_key=True)
        for path, issue in (*legacy, *unread)  # a note is not worth the slow parser at each start
    ]
    if issues:
        config = None
    warnings += [_placed(tree, issue) for issue in degraded]
    accounts = _channel_accounts(config, of_channels)
    warnings += [_placed(tree, issue) for entry in accounts for issue in entry.problems]
    return LoadedConfig(
        paths=paths,
        exists=exists,
        raw=text if exists else None,
        hash=text_hash(text) if exists else None,
        revision_hash=_tree_hash(resolved),
        parsed=tree.parsed,
        source=tree.merged,
        resolved=resolved,
        config=config,
        issues=issues,
        warnings=tuple(warnings),
        startup_issues=tuple(
            _placed(tree, issue) for issue in (startup_issues(config) if config else ())
        ),
        secret_paths=frozenset(resolver.secret_paths),
        variable_paths=frozenset(resolver.variable_paths),
        overrides=dict(overrides or {}),
        channel_accounts=accounts,
        degraded=tuple(degraded),
        included=tuple(dict.fromkeys([*(file.path for file in tree.files[1:]), *tree.missing])),
    )


def load_or_last_good(
    paths: ConfigPaths, *, env: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> LoadedConfig:
    """`load`; a broken file is replaced by the last good text, keeping the broken one's issues."""
    loaded = load(paths, env=env, overrides=overrides)
    if loaded.valid:
        return loaded
    try:
        text = read_text(paths.last_good)
    except OSError:
        return loaded
    good = load_text(paths, text, env=env, overrides=overrides, origin=paths.last_good)
    if not good.valid:
        return loaded
    return replace(good, issues=loaded.issues, from_last_good=True)


def last_good_instead(
    loaded: LoadedConfig, why: str, *, env: Mapping[str, str]
) -> LoadedConfig | None:
    """The last good text in place of one with which a gateway did not come up.

    `None`: there is none, it is no other one, or it cannot be used either.
    """
    paths = loaded.paths
    if loaded.from_last_good or loaded.is_recovery or not loaded.valid:
        return None
    try:
        text = read_text(paths.last_good)
    except OSError:
        return None
    good = load_text(paths, text, env=env, overrides=loaded.overrides, origin=paths.last_good)
    if text == loaded.raw or refusals_of(good):
        return None
    issue = Issue(
        Severity.ERROR,
        "",
        f"the gateway did not come up with it: {why}",
        "correct it; until then the last good one is used",
        "config.not_up",
        str(paths.config_file),
    )
    return replace(good, issues=(issue,), from_last_good=True)


def refusals_of(loaded: LoadedConfig) -> list[Issue]:
    """Every reason not to run with a configuration; empty: one may."""
    return [
        *loaded.issues,
        *(one for one in loaded.startup_issues if one.severity is Severity.ERROR),
    ]


def remember_good(loaded: LoadedConfig) -> None:
    """Keep this text as the last good one; call it when the gateway runs well with it."""
    if loaded.raw is not None and loaded.valid:
        write_atomic(loaded.paths.last_good, loaded.raw)


def default_config(**sections: Any) -> PorticoConfig:
    """A configuration from plain values, without a file.

    Raises:
        ConfigError: a value is not acceptable.
    """
    config, issues = _validate(sections, Tree())
    if config is None:
        raise ConfigError(issues)
    return config


def snapshot(loaded: LoadedConfig, *, applied_hash: str | None = None) -> dict[str, Any]:
    """The answer to `config.get`, with every secret masked.

    Source: OpenClaw gateway protocol, config.get.
    """
    secrets = loaded.hidden_paths
    config = loaded.config
    runtime = (
        redact(config.model_dump(mode="json", by_alias=True, exclude_none=True), secrets)
        if config is not None
        else {}
    )
    legacy = [one.to_wire() for one in loaded.warnings if one.code == "key.legacy"]
    return {
        "path": str(loaded.paths.config_file),
        "exists": loaded.exists,
        "valid": loaded.valid,
        "raw": redact_text(loaded.raw) if loaded.raw is not None else None,
        "parsed": redact(loaded.parsed),
        "resolved": redact(loaded.resolved, secrets),
        "sourceConfig": redact(loaded.source),
        "runtimeConfig": runtime,
        "config": runtime,
        "hash": loaded.hash,
        "issues": [one.to_wire() for one in loaded.issues],
        "warnings": [one.to_wire() for one in loaded.warnings if one.code != "key.legacy"],
        "legacyIssues": legacy,
        "configRevisionHash": loaded.revision_hash,
        "appliedConfigHash": applied_hash,
    }


def _providers(tree: dict[str, Any]) -> Any:
    secrets = tree.get("secrets")
    return secrets.get("providers") if isinstance(secrets, dict) else None


def _apart(issues: Iterable[Issue]) -> tuple[list[Issue], list[Issue]]:
    """Apart: what stops the gateway, and what only stops an account of a channel."""
    own: list[Issue] = []
    of_channels: list[Issue] = []
    for issue in issues:
        steps = parse_path(issue.path) if issue.path else ()
        if len(steps) > 1 and steps[0] == "channels" and steps[1] != "defaults":
            of_channels.append(replace(issue, severity=Severity.WARNING))
        else:
            own.append(issue)
    return own, of_channels


def _channel_accounts(
    config: PorticoConfig | None, broken: Iterable[Issue]
) -> tuple[AccountEntry, ...]:
    if config is None or not config.channels.sections():
        return ()  # the usual case: nothing of channels is imported
    from portico.config.channels import accounts_of

    return accounts_of(config.channels, broken)


def text_hash(text: str) -> str:
    """The hash that names a file's content."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _tree_hash(tree: dict[str, Any]) -> str:
    return text_hash(json.dumps(tree, sort_keys=True, ensure_ascii=True, default=str))


def _placed(tree: Tree, issue: Issue) -> Issue:
    return tree.place(issue, parse_path(issue.path) if issue.path else ())


def _validate(data: dict[str, Any], tree: Tree) -> tuple[PorticoConfig | None, list[Issue]]:
    from pydantic import ValidationError

    from portico.config.model import PorticoConfig

    try:
        return PorticoConfig.model_validate(data), []
    except ValidationError as error:
        return None, [
            tree.place(_type_issue(detail), _path_of(detail["loc"]))
            for detail in error.errors(include_url=False)
        ]


def _path_of(location: tuple[int | str, ...]) -> KeyPath:
    # pydantic names the key of a bad mapping entry with an extra "[key]" step.
    return tuple(step for step in location if step != "[key]")


def _type_issue(detail: Mapping[str, Any]) -> Issue:
    from portico.config.fields import field_at

    path = _path_of(detail["loc"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "missing":
        message = "is required"
    elif not detail["type"].startswith("value_error"):
        shown = redact({"": detail["input"]})[""] if not path else _shown(detail["input"], path)
        message = f"{message[0].lower()}{message[1:]}; got {shown}"
    info = field_at(path)
    step = f"correct it: {info.description}" if info is not None and info.description else ""
    return Issue(Severity.ERROR, format_path(path), message, step or "correct it", "type")


def _shown(value: Any, path: KeyPath) -> str:
    masked = value
    for step in reversed(path):
        masked = {str(step): masked}
    masked = redact(masked)
    for step in path:
        masked = masked[str(step)]
    text = json.dumps(masked, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "…"
