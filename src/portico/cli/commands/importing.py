"""`portico import openclaw`: take over a configuration; say what was taken and what was left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portico.cli.command import HERE, Local, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import print_json
from portico.cli.target import paths_of

if TYPE_CHECKING:
    from portico.config import ConfigPaths, Imported


@command("openclaw")
def openclaw(
    source: str | None = None,
    /,
    *,
    dry_run: bool = False,
    replace: bool = False,
    here: Local = HERE,
) -> int:
    """Take over an OpenClaw configuration.

    Says what it took and what it left, and why. The OpenClaw file is only read. When it has no
    token or password of its own, this gateway's token is kept, or a new one made.

    Args:
        source: The openclaw.json. [default: where OpenClaw keeps it]
        dry_run: Only say what would be taken; print the result.
        replace: Replace an existing configuration; the old text is kept as the last-good copy.

    Examples:
        portico import openclaw --dry-run
        portico import openclaw ~/.openclaw/openclaw.json --replace
    """
    from portico.config import openclaw_config_path, read_openclaw, render_imported

    origin = Path(source).expanduser() if source else openclaw_config_path(os.environ)
    if not origin.is_file():
        raise Failure(
            f"There is no OpenClaw configuration at {origin}.",
            code="import.not_found",
            next_step="Name the file: portico import openclaw PATH",
            exit_code=ExitCode.REFUSED,
        )
    paths = paths_of(here)
    imported = read_openclaw(origin)
    _ensure_secret(imported.config, paths)
    text = render_imported(imported, origin=str(origin))
    if not dry_run:
        _write(text, paths, replace=replace)
    _report(imported, paths, text=text if dry_run else None, as_json=here.json)
    return ExitCode.OK


def _ensure_secret(config: dict[str, Any], paths: ConfigPaths) -> None:
    from portico.config import get_value, load
    from portico.ids import new_secret

    gateway = config.setdefault("gateway", {})
    if gateway.get("auth"):
        return
    try:
        token = get_value(load(paths, env=os.environ).parsed, "gateway.auth.token")
    except KeyError:
        token = new_secret()
    gateway["auth"] = {"mode": "token", "token": token}


def _write(text: str, paths: ConfigPaths, *, replace: bool) -> None:
    from portico.config import ensure_first_run, replace_text

    if paths.config_file.exists() and not replace:
        raise Failure(
            f"{paths.config_file} exists.",
            code="import.exists",
            next_step="Look first with --dry-run, then give --replace",
            exit_code=ExitCode.REFUSED,
        )
    ensure_first_run(paths)
    replace_text(paths, text, env=os.environ)


def _report(imported: Imported, paths: ConfigPaths, *, text: str | None, as_json: bool) -> None:
    if as_json:
        left = [{"path": item.path, "reason": item.reason} for item in imported.left]
        file = None if text is not None else str(paths.config_file)
        print_json({"file": file, "taken": list(imported.taken), "left": left})
        return
    print(f"Taken ({len(imported.taken)}):")
    for path in imported.taken:
        print(f"  {path}")
    print(f"Left ({len(imported.left)}):")
    for item in imported.left:
        print(f"  {item.path}: {item.reason}")
    if text is None:
        print(f"\nWritten to {paths.config_file}. Check with: portico config validate")
    else:
        print(f"\n{text}")
