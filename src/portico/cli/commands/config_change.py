"""`portico config set | unset | patch | apply`.

Not here: how a change is made (`cli.config_changes`), reading (`cli.commands.config`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portico.cli.command import THERE, Remote, command
from portico.cli.config_changes import Changed, Wish, change
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from portico.config.keypath import KeyPath


@command("set")
async def set_(
    path: str,
    value: str,
    /,
    *,
    strict_json: bool = False,
    dry_run: bool = False,
    offline: bool = False,
    to: Remote = THERE,
) -> int:
    """Change a value of the configuration.

    A gateway that runs makes the change itself and takes it back when it is not well with it;
    without one the file is changed. Comments are kept. What would break the configuration is
    refused.

    Args:
        path: Where it stands, such as gateway.port.
        value: The value as JSON5; what is not JSON5 is taken as a string.
        strict_json: Refuse a value that is not JSON5.
        dry_run: Only say what would change, and how.
        offline: Change the file, whatever runs.

    Examples:
        portico config set gateway.port 18790
        portico config set 'agents.list[0].name' "Ada"
        portico config set session.dmScope '"per-peer"' --dry-run
    """
    from portico.config.edit import setting

    wish = Wish(rewrite=setting(path, _value_of(value, strict=strict_json)))
    return _report(await change(wish, to, offline=offline, dry_run=dry_run), to, path=path)


def _value_of(text: str, *, strict: bool) -> Any:
    from portico.config import parse_value
    from portico.config.text import TextError, read_json5

    if not strict:
        return parse_value(text)
    try:
        return read_json5(text)
    except TextError as error:
        raise Failure(
            f"The value is not JSON5: {error}.",
            code="usage.value",
            next_step="Put a string into quotes, also for the shell: '\"text\"'",
            exit_code=ExitCode.USAGE,
        ) from None


@command("unset")
async def unset(
    path: str, /, *, dry_run: bool = False, offline: bool = False, to: Remote = THERE
) -> int:
    """Remove a value from the configuration.

    Args:
        path: Where it stands, such as gateway.port.
        dry_run: Only say what would change, and how.
        offline: Change the file, whatever runs.

    Examples:
        portico config unset gateway.port
    """
    from portico.config.edit import unsetting

    wish = Wish(rewrite=unsetting(path))
    return _report(await change(wish, to, offline=offline, dry_run=dry_run), to, path=path)


@command("patch")
async def patch(
    raw: str | None = None,
    /,
    *,
    file: str | None = None,
    stdin: bool = False,
    replace_path: list[str] | None = None,
    base_hash: str | None = None,
    dry_run: bool = False,
    offline: bool = False,
    to: Remote = THERE,
) -> int:
    """Change several values of the configuration at once.

    Objects are merged, lists and values replaced, null removes. A list loses entries only when its
    path is named.

    Args:
        raw: The patch, as JSON5.
        file: Read the patch from a file.
        stdin: Read the patch from the standard input.
        replace_path: A list that may lose entries; can be given more than once.
        base_hash: Refuse when the file is no longer the one with this hash.
        dry_run: Only say what would change, and how.
        offline: Change the file, whatever runs.

    Examples:
        portico config patch '{logging: {level: "debug"}}' --dry-run
        portico config patch --file ./change.json5
        portico config patch --stdin --replace-path agents.list < change.json5
    """
    wish = Wish(
        patch=_text_of(raw, file, is_stdin=stdin),
        replace=replace_path or [],
        base_hash=base_hash,
    )
    return _report(await change(wish, to, offline=offline, dry_run=dry_run), to)


@command("apply")
async def apply(
    *,
    file: str | None = None,
    stdin: bool = False,
    base_hash: str | None = None,
    dry_run: bool = False,
    offline: bool = False,
    to: Remote = THERE,
) -> int:
    """Replace the whole configuration.

    Args:
        file: Read it from a file.
        stdin: Read it from the standard input.
        base_hash: Refuse when the file is no longer the one with this hash.
        dry_run: Only say what would change, and how.
        offline: Change the file, whatever runs.

    Examples:
        portico config apply --file ./portico.json5 --dry-run
    """
    text = _text_of(None, file, is_stdin=stdin)
    wish = Wish(rewrite=lambda _: text, base_hash=base_hash)
    return _report(await change(wish, to, offline=offline, dry_run=dry_run), to)


def _text_of(raw: str | None, file: str | None, *, is_stdin: bool) -> str:
    if (raw is not None) + (file is not None) + is_stdin != 1:
        raise Failure(
            "Say where the text is: one of --file, --stdin or, for a patch, the text itself.",
            code="usage.input",
            next_step="portico config patch --help",
            exit_code=ExitCode.USAGE,
        )
    if raw is not None:
        return raw
    return sys.stdin.read() if file is None else Path(file).read_text(encoding="utf-8")


def _report(done: Changed, to: Remote, *, path: str | None = None) -> int:
    if to.json:
        has_changed = bool(done.effects) and not done.is_dry
        facts: dict[str, Any] = {"changed": has_changed, "dryRun": done.is_dry}
        facts |= {"path": path} if path is not None else {}
        facts |= {"restartNeeded": any(one["effect"] == "restart" for one in done.effects)}
        told = {"changes": done.effects, "action": done.action, "hash": done.hash}
        print_json({**facts, "file": done.file, **told, "restart": done.restart})
        return ExitCode.OK
    if not done.effects:
        print(f"{path or 'The configuration'}: nothing to change in {done.file}.")
        return ExitCode.OK
    if path is None or done.is_dry:
        print_table(("Setting", "Effect"), [(one["path"], one["effect"]) for one in done.effects])
    remarks = [text for about, text in done.remarks if path is None or _concerns(about, path)]
    print(f"{path or done.file}: {_outcome(done, is_idle=bool(remarks))}")
    for text in remarks:
        note(text)
    return ExitCode.OK


def _outcome(done: Changed, *, is_idle: bool) -> str:
    if is_idle and not done.is_dry:
        return f"changed in {done.file}."
    if done.is_dry:
        return f"would be changed ({done.action or 'no gateway runs'})."
    if not done.action:
        return f"changed in {done.file}. A running gateway follows it: portico status"
    if done.restart is not None:
        soon_s = done.restart["delayMs"] / 1000
        return (
            f"changed in {done.file}. The gateway restarts in {soon_s:.0f} s, and goes back to the "
            "former file if that fails: portico status"
        )
    return f"changed in {done.file}, and in force ({done.action})."


def _concerns(told_path: str, path: str) -> bool:
    from portico.config import parse_path

    told: KeyPath = parse_path(told_path) if told_path else ()
    return parse_path(path)[: len(told)] == told
