"""`portico secrets list | set | delete | reload`."""

from __future__ import annotations

import getpass
import sys
from typing import Any, Literal

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import print_json, print_table
from portico.cli.target import connected


@command("list")
async def list_secrets(*, to: Remote = THERE) -> int:
    """List the stored secrets, without their values.

    Examples:
        portico secrets list
        portico secrets list --json
    """
    found = await _ask(to, "secrets.store.list", {})
    if to.json:
        print_json(found)
    elif not found["entries"]:
        print("No secrets are stored. Store one with: portico secrets set NAME")
    else:
        rows = [(one["name"], one["kind"], one.get("updatedBy", "")) for one in found["entries"]]
        print_table(("Name", "Kind", "Set by"), rows)
    return ExitCode.OK


@command("set")
async def set_secret(
    name: str, /, *, kind: Literal["secret", "env"] = "secret", to: Remote = THERE
) -> int:
    """Store a secret; its value is asked for, or read from standard input.

    In the configuration, {source: "store", id: "NAME"} stands for it.

    Args:
        name: Capital letters, digits and underscores.
        kind: env: its value may be shown. [default: secret]

    Examples:
        portico secrets set LAB_KEY
        printf %s "$KEY" | portico secrets set LAB_KEY --json
    """
    if sys.stdin.isatty():
        value = getpass.getpass(f"{name}: ")
    else:
        value = sys.stdin.read().removesuffix("\n")
    if not value:
        raise Failure("The value is empty.", code="usage.value", exit_code=ExitCode.USAGE)
    done = await _ask(to, "secrets.store.set", {"name": name, "value": value, "kind": kind})
    return _told(to, done, f"{name} is stored.")


@command("delete")
async def delete_secret(name: str, /, *, to: Remote = THERE) -> int:
    """Delete a stored secret.

    Args:
        name: As it is listed.

    Examples:
        portico secrets delete LAB_KEY
    """
    return _told(to, await _ask(to, "secrets.store.delete", {"name": name}), f"{name} is deleted.")


@command("reload")
async def reload_secrets(*, to: Remote = THERE) -> int:
    """Look every secret reference of the configuration up again.

    Examples:
        portico secrets reload
    """
    return _told(to, await _ask(to, "secrets.reload", {}), "Looked up again.")


async def _ask(to: Remote, name: str, params: dict[str, Any]) -> dict[str, Any]:
    async with connected(to) as client:
        found: dict[str, Any] = await client.request(name, params, timeout_s=to.timeout_s)
        return found


def _told(to: Remote, done: dict[str, Any], text: str) -> int:
    if to.json:
        print_json(done)
        return ExitCode.OK
    print(text)
    if done.get("warningCount"):
        print(f"{done['warningCount']} references cannot be resolved: portico status")
    return ExitCode.OK
