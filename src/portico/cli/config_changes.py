"""Changing a configuration from the command line: by the gateway when it runs, else in the file.

Guarantees: what was looked at is what is changed: a file that somebody else has changed meanwhile
is left alone. Secrets the gateway does not show stay what they are.

Not here: the commands (`cli.commands.config_change`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from portico.cli.command import Remote
from portico.cli.commands.gateway_control import running
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import note
from portico.cli.target import Target, connected, paths_of, resolve_target

if TYPE_CHECKING:
    from portico.client import GatewayClient
    from portico.config.service import LoadedConfig

TRIAL_S: Final = 60.0
"""How long a gateway may take to say whether it is well with a change."""
LONGEST_WAIT_S: Final = 60.0
"""How long it is waited when there were too many changes in a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A change.

    Attributes:
        patch: a merge patch (JSON5); `None`: it is `rewrite` that counts.
        rewrite: says what the text of the file becomes.
        replace: lists that a patch may take entries from.
        base_hash: of the text it was made for; `None`: whatever is there.
    """

    patch: str | None = None
    rewrite: Callable[[str], str] = str
    replace: list[str] = field(default_factory=list)
    base_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What became of it.

    Attributes:
        file: the config file, on the gateway's machine.
        effects: each changed setting, and how it takes effect: hot, restart or none.
        action: what the gateway does about all of them; empty: no gateway was asked.
        restart: the restart that is planned.
        is_dry: nothing was changed.
        remarks: what there is to say about settings, by their paths.
    """

    file: str
    effects: list[dict[str, str]]
    action: str = ""
    hash: str | None = None
    restart: dict[str, Any] | None = None
    is_dry: bool = False
    remarks: list[tuple[str, str]] = field(default_factory=list)


def gateway_of(to: Remote, *, offline: bool) -> Target | None:
    """Return the gateway to ask: a named one, or this machine's if it runs with this very file."""
    if offline:
        return None
    target = resolve_target(to)
    if to.url or os.environ.get("PORTICO_GATEWAY_URL"):
        return target
    info = running(target.paths) if target.is_own else None
    is_ours = info is not None and info.config_path in {"", str(target.paths.config_file)}
    return target if is_ours and info is not None and info.url else None


async def change(wish: Wish, to: Remote, *, offline: bool, dry_run: bool) -> Changed:
    """Make a change, or say what it would do.

    Raises:
        Failure: it is not acceptable.
        ConfigError: the same, of the file.
    """
    target = gateway_of(to, offline=offline)
    if target is None:
        return _change_file(wish, to, dry_run=dry_run)
    async with connected(to, target=target) as client:
        return await _ask(client, wish, to, dry_run=dry_run)


async def _ask(client: GatewayClient, wish: Wish, to: Remote, *, dry_run: bool) -> Changed:
    now = await client.request("config.get", {}, timeout_s=to.timeout_s)
    base = wish.base_hash or now["hash"]
    asked: dict[str, Any]
    planned: dict[str, Any]
    if wish.patch is None:
        asked = planned = {"raw": _attempt(wish.rewrite, now["raw"] or "") or "{}"}
        method = "config.apply"
    else:
        asked = {"raw": wish.patch, "replacePaths": wish.replace}
        planned = {"patch": wish.patch, "replacePaths": wish.replace}
        method = "config.patch"
    plan = await client.request("config.plan", planned, timeout_s=to.timeout_s)
    effects = [{"path": one["path"], "effect": one["effect"]} for one in plan["changes"]]
    if not plan["valid"]:
        raise _not_valid(plan["issues"])
    shown = Changed(
        file=now["path"],
        effects=effects,
        action=plan["action"],
        hash=now["hash"],
        is_dry=dry_run,
        remarks=[(one["path"], f"note: {one['path']}: {one['message']}") for one in plan["issues"]],
    )
    if dry_run or (wish.patch is None and asked["raw"] == now["raw"]):
        return shown
    done = await _patiently(client, method, asked if base is None else asked | {"baseHash": base})
    return replace(shown, hash=done.get("hash", now["hash"]), restart=done.get("restart"))


async def _patiently(client: GatewayClient, method: str, params: dict[str, Any]) -> Any:
    from portico.client import Refused

    try:
        return await client.request(method, params, timeout_s=TRIAL_S)
    except Refused as refused:
        wait_s = refused.retry_after_s
        if not (refused.is_repeatable and 0 < wait_s <= LONGEST_WAIT_S):
            raise
    note(f"note: too many changes in a minute; going on in {wait_s:.0f} s")
    await asyncio.sleep(wait_s)
    return await client.request(method, params, timeout_s=TRIAL_S)


def _not_valid(issues: list[dict[str, Any]]) -> Failure:
    told = "\n".join(f"{one['path']}: {one['message']}".removeprefix(": ") for one in issues)
    return Failure(
        f"The configuration would be broken:\n{told}",
        code="config.invalid",
        next_step="Correct it; nothing was changed",
        exit_code=ExitCode.CONFIG,
        details={"issues": issues},
    )


def _change_file(wish: Wish, to: Remote, *, dry_run: bool) -> Changed:
    from portico.config import ConfigError, ensure_first_run, load
    from portico.config.edit import edit_text
    from portico.config.service import load_text

    paths = paths_of(to)
    if not dry_run:
        ensure_first_run(paths)  # a file that a change creates has a token as well
    before = load(paths, env=os.environ)

    def rewrite(text: str) -> str:
        return _rewritten(wish, load_text(paths, text, env=os.environ))

    if dry_run:
        after = load_text(paths, _attempt(rewrite, before.raw or ""), env=os.environ)
        if after.issues:
            raise ConfigError(after.issues)
        file_hash = before.hash
    else:
        done = edit_text(paths, rewrite, env=os.environ, base_hash=wish.base_hash)
        after, file_hash = done.loaded, done.hash
    return Changed(
        file=str(paths.config_file),
        effects=_effects(before, after),
        hash=file_hash,
        is_dry=dry_run,
        remarks=[(one.path, f"{one.severity}: {one.render()}") for one in after.warnings],
    )


def _rewritten(wish: Wish, now: LoadedConfig) -> str:
    from portico.protocol.errors import InvalidRequest
    from portico.settings.writing import ANY, patching

    if wish.patch is None:
        return wish.rewrite(now.raw or "")
    try:
        return patching(wish.patch, ANY, frozenset(wish.replace))(now)
    except InvalidRequest as error:
        raise _refusal(str(error)) from None


def _attempt(rewrite: Callable[[str], str], text: str) -> str:
    """Rewrite a text.

    Raises:
        Failure: it cannot be changed like that.
    """
    from portico.config.splice import SpliceError
    from portico.config.text import TextError

    try:
        return rewrite(text)
    except (SpliceError, TextError, KeyError) as error:
        raise _refusal(str(error.args[0]) if error.args else str(error)) from None


def _refusal(why: str) -> Failure:
    return Failure(
        f"The configuration cannot be changed like that: {why}",
        code="config.refused",
        next_step="See what is there: portico config get",
        exit_code=ExitCode.REFUSED,
    )


def _effects(before: LoadedConfig, after: LoadedConfig) -> list[dict[str, str]]:
    from portico.config.followers import changed_paths
    from portico.config.keypath import format_path
    from portico.config.schema import reload_kind

    changed = sorted(map(format_path, changed_paths(before.resolved, after.resolved)))
    return [{"path": path, "effect": reload_kind(path)} for path in changed]
