"""`portico config get | set | unset | validate | schema | path`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from portico.cli.command import HERE, THERE, Local, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import note, print_json
from portico.cli.target import paths_of

if TYPE_CHECKING:
    from portico.config import EditResult, Issue, LoadedConfig


@command("get")
def get(path: str | None = None, /, *, reveal: bool = False, here: Local = HERE) -> int:
    """Print a value of the configuration.

    References are resolved and defaults filled in. Secrets are masked unless asked for.

    Args:
        path: Where it stands, such as gateway.port; without it, everything that is set.
        reveal: Show secrets.

    Examples:
        portico config get
        portico config get gateway.port
        portico config get gateway.auth.token --reveal
        portico config get 'agents.list[0]' --json
    """
    from portico.config import load

    loaded = load(paths_of(here), env=os.environ)
    value = _find(loaded, path, reveal=reveal)
    if isinstance(value, str) and not here.json:
        print(value)
    else:
        print_json(value)
    return ExitCode.OK


def _find(loaded: LoadedConfig, path: str | None, *, reveal: bool) -> Any:
    from portico.config import get_value, redact

    trees = [loaded.resolved]
    if loaded.config is not None:
        trees.append(loaded.config.model_dump(mode="json", by_alias=True))
    for tree in trees:
        shown = tree if reveal else redact(tree, loaded.secret_paths)
        if path is None:
            return shown
        try:
            return get_value(shown, path)
        except KeyError:
            continue
        except ValueError as error:
            raise _bad_path(path, error) from None
    raise Failure(
        f"{path} is not set and has no default.",
        code="config.not_found",
        next_step="See what is set: portico config get",
        exit_code=ExitCode.REFUSED,
    )


def _bad_path(path: str, error: Exception) -> Failure:
    return Failure(
        f"{path} is not a path: {error}.",
        code="usage.path",
        next_step="Write it like gateway.port or 'agents.list[0].id'",
        exit_code=ExitCode.USAGE,
    )


@command("set")
def set_(path: str, value: str, /, *, here: Local = HERE) -> int:
    """Change a value of the configuration.

    Comments in the file are kept. A change that would break the configuration is refused.

    Args:
        path: Where it stands, such as gateway.port.
        value: The value as JSON5; what is not JSON5 is taken as a string.

    Examples:
        portico config set gateway.port 18790
        portico config set 'agents.list[0].name' "Ada"
        portico config set session.dmScope '"per-peer"' --json
    """
    from portico.config import ensure_first_run, parse_value, set_value

    paths = paths_of(here)
    ensure_first_run(paths)  # a file that a change creates has a token as well
    try:
        result = set_value(paths, path, parse_value(value), env=os.environ)
    except ValueError as error:
        raise _bad_path(path, error) from None
    return _report(result, path, here)


@command("unset")
def unset(path: str, /, *, here: Local = HERE) -> int:
    """Remove a value from the configuration.

    Args:
        path: Where it stands, such as gateway.port.

    Examples:
        portico config unset gateway.port
    """
    from portico.config import unset_value

    try:
        result = unset_value(paths_of(here), path, env=os.environ)
    except ValueError as error:
        raise _bad_path(path, error) from None
    return _report(result, path, here)


def _report(result: EditResult, path: str, here: Local) -> int:
    if here.json:
        facts: dict[str, Any] = {"changed": result.changed, "path": path}
        print_json({**facts, "file": str(result.path), "restartNeeded": result.changed})
        return ExitCode.OK
    if not result.changed:
        print(f"{path}: nothing to change in {result.path}.")
        return ExitCode.OK
    print(f"{path}: changed in {result.path}.")
    idle = [issue for issue in result.loaded.warnings if _concerns(issue, path)]
    for issue in idle:
        note(f"{issue.severity}: {issue.render()}")
    if idle:
        return ExitCode.OK
    print("A running gateway follows it: portico status")
    return ExitCode.OK


def _concerns(issue: Issue, path: str) -> bool:
    from portico.config import parse_path

    told, changed = parse_path(issue.path), parse_path(path)
    return changed[: len(told)] == told


@command("validate")
def validate(*, here: Local = HERE) -> int:
    """Check the configuration and list every issue.

    Exit code 6 when it is broken or the gateway would refuse to start with it.

    Examples:
        portico config validate
        portico config validate --config ./portico.json --json
    """
    from portico.config import load

    loaded = load(paths_of(here), env=os.environ)
    issues = (*loaded.issues, *loaded.startup_issues, *loaded.warnings)
    is_broken = any(issue.severity == "error" for issue in issues)
    if here.json:
        found = [issue.to_json() for issue in issues]
        print_json({"valid": not is_broken, "file": str(loaded.paths.config_file), "issues": found})
    else:
        _print_issues(loaded, issues, is_broken=is_broken)
    return ExitCode.CONFIG if is_broken else ExitCode.OK


def _print_issues(loaded: LoadedConfig, issues: tuple[Issue, ...], *, is_broken: bool) -> None:
    for issue in issues:
        print(f"{issue.severity}: {issue.render()}")
    file = loaded.paths.config_file
    if is_broken:
        print(f"{file} is broken.")
    elif loaded.exists:
        print(f"{file} is valid.")
    else:
        print(f"{file} does not exist; the defaults hold.")


@command("schema")
def schema(*, format: Literal["json", "markdown"] = "json", here: Local = HERE) -> int:  # noqa: A002  # the flag's name
    """Print the configuration's JSON Schema or reference page.

    Args:
        format: json or markdown.

    Examples:
        portico config schema > portico.schema.json
        portico config schema --format markdown > docs/config.md
    """
    from portico.config.schema import json_schema, reference_markdown

    if format == "markdown":
        print(reference_markdown(), end="")
        return ExitCode.OK
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return ExitCode.OK


def _text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8")


@command("plan")
async def plan(*, file: str | None = None, to: Remote = THERE) -> int:
    """Say what a changed configuration would do to the running gateway.

    Nothing is changed. Without a file: what is in the config file and not in force yet.

    Args:
        file: A config file to compare with what runs.

    Examples:
        portico config plan
        portico config plan --file ./new.json --json
    """
    from portico.cli.output import print_table
    from portico.cli.target import connected

    asked = {} if file is None else {"raw": _text_of(Path(file))}
    async with connected(to) as client:
        found = await client.request("config.plan", asked, timeout_s=to.timeout_s)
    if to.json:
        print_json(found)
        return ExitCode.OK if found["valid"] else ExitCode.CONFIG
    for issue in found["issues"]:
        print(f"{issue['path']}: {issue['message']}")
    if found["changes"]:
        print_table(
            ("Setting", "Effect"), [(one["path"], one["effect"]) for one in found["changes"]]
        )
    print(f"Action ({found['mode']}): {found['action']}")
    return ExitCode.OK if found["valid"] else ExitCode.CONFIG


@command("path")
def path(*, here: Local = HERE) -> int:
    """Print where the configuration and the state are.

    Examples:
        portico config path
        portico config path --json
        $EDITOR "$(portico config path)"
    """
    paths = paths_of(here)
    places = {
        "config": paths.config_file,
        "lastGood": paths.last_good,
        "stateDir": paths.state_dir,
        "database": paths.database,
        "log": paths.log_file,
        "lock": paths.lock_file,
    }
    if here.json:
        print_json({name: str(place) for name, place in places.items()})
    else:
        print(paths.config_file)
    return ExitCode.OK
