"""`portico config get | validate | schema | plan | path | file`.

Not here: changing it (`cli.commands.config_change`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from portico.cli.command import HERE, THERE, Local, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import print_json
from portico.cli.target import paths_of

if TYPE_CHECKING:
    from portico.config import Issue, LoadedConfig


@command("get")
async def get(path: str | None = None, /, *, reveal: bool = False, to: Remote = THERE) -> int:
    """Print a value of the configuration.

    References are resolved and defaults filled in. Secrets are masked unless asked for. With --url
    it is the configuration another gateway runs with; its secrets stay there.

    Args:
        path: Where it stands, such as gateway.port; without it, everything that is set.
        reveal: Show secrets.

    Examples:
        portico config get
        portico config get gateway.port
        portico config get gateway.auth.token --reveal
        portico config get 'agents.list[0]' --json
    """
    from portico.cli.target import connected
    from portico.config import load

    if to.url:
        async with connected(to) as client:
            found = await client.request("config.get", {}, timeout_s=to.timeout_s)
        value = _find((found["resolved"], found["runtimeConfig"]), path)
    else:
        value = _find(_trees(load(paths_of(to), env=os.environ), reveal=reveal), path)
    if isinstance(value, str) and not to.json:
        print(value)
    else:
        print_json(value)
    return ExitCode.OK


def _trees(loaded: LoadedConfig, *, reveal: bool) -> list[Any]:
    from portico.config import redact

    trees = [loaded.resolved]
    if loaded.config is not None:
        trees.append(loaded.config.model_dump(mode="json", by_alias=True))
    return trees if reveal else [redact(tree, loaded.secret_paths) for tree in trees]


def _find(trees: Sequence[Any], path: str | None) -> Any:
    """What stands at a path: as it is set, else as it is by default."""
    from portico.config import get_value

    for tree in trees:
        if path is None:
            return tree
        try:
            return get_value(tree, path)
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


@command("file")
def file(*, here: Local = HERE) -> int:
    """Print where the config file is.

    Examples:
        $EDITOR "$(portico config file)"
    """
    place = str(paths_of(here).config_file)
    if here.json:
        print_json({"path": place})
    else:
        print(place)
    return ExitCode.OK


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
