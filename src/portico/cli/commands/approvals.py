"""`portico approvals list | allow | deny | history | get | set`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import duration, print_fields, print_json, print_table
from portico.cli.target import connected
from portico.clock import SystemClock

_STDIN: Final = "-"
_MAX_FILE_CHARS: Final = 4_194_304  # what is longer is no policy
_ENDS: Final = {
    "no-route": "nobody could be asked",
    "timeout": "expired",
    "run-aborted": "cancelled",
    "gateway-restart": "cancelled",
}


@command("list")
async def list_pending(*, to: Remote = THERE) -> int:
    """List the approvals that wait for a decision.

    Examples:
        portico approvals list
        portico approvals list --json
    """
    async with connected(to) as client:
        found = await client.request("exec.approval.list", {}, timeout_s=to.timeout_s)
    if to.json:
        print_json(found)
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    print_table(("Approval", "Agent", "Command", "Time left"), [_row(one, now_ms) for one in found])
    if not found:
        print("Nothing waits for a decision.")
    return ExitCode.OK


def _row(approval: dict[str, Any], now_ms: int) -> tuple[Any, ...]:
    request = approval["request"]
    left_s = max(0, approval["expiresAtMs"] - now_ms) / 1000
    command_line = " ⏎ ".join(str(request["command"]).splitlines())
    return (approval["id"], request.get("agentId"), command_line, duration(left_s))


@command("allow")
async def allow(
    approval_id: str,
    /,
    *,
    always: Annotated[bool, Parameter(alias="-a")] = False,
    to: Remote = THERE,
) -> int:
    """Allow what an approval asks for.

    Args:
        approval_id: The approval's id, whole.
        always: From now on too, for exactly this command.

    Examples:
        portico approvals allow apr_01k9a8
        portico approvals allow apr_01k9a8 --always --json
    """
    return await _decide(approval_id, "allow-always" if always else "allow-once", to)


@command("deny")
async def deny(approval_id: str, /, *, to: Remote = THERE) -> int:
    """Deny what an approval asks for.

    Args:
        approval_id: The approval's id, whole.

    Examples:
        portico approvals deny apr_01k9a8
    """
    return await _decide(approval_id, "deny", to)


async def _decide(approval_id: str, decision: str, to: Remote) -> int:
    params = {"id": approval_id, "kind": "exec", "decision": decision}
    async with connected(to) as client:
        answer = await client.request("approval.resolve", params, timeout_s=to.timeout_s)
    if to.json:
        print_json(answer)
    elif answer["applied"]:
        print(f"{decision}: {answer['approval']['presentation']['commandText']}")
    if not answer["applied"]:
        raise Failure(
            f"{approval_id} is over already: {_end(answer['approval'])}.",
            code="approval.over",
            next_step="See what waits: portico approvals list",
            exit_code=ExitCode.REFUSED,
        )
    return ExitCode.OK


@command("history")
async def history(*, limit: int = 20, to: Remote = THERE) -> int:
    """List past approvals, the latest first.

    Args:
        limit: How many at most, up to 100. [default: 20]

    Examples:
        portico approvals history
        portico approvals history --limit 100 --json
    """
    async with connected(to) as client:
        request = {"limit": limit}
        found = await client.request("approval.history", request, timeout_s=to.timeout_s)
    if to.json:
        print_json(found)
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    rows = [
        (
            f"{duration(max(0, now_ms - one['resolvedAtMs']) / 1000)} ago",
            _end(one),
            one["presentation"].get("agentId"),
            " ⏎ ".join(one["presentation"]["commandText"].splitlines()),
        )
        for one in found["items"]
    ]
    print_table(("When", "End", "Agent", "Command"), rows)
    return ExitCode.OK


def _end(approval: dict[str, Any]) -> str:
    return _ENDS.get(approval.get("reason", ""), str(approval.get("decision")))


@command("get")
async def get(*, to: Remote = THERE) -> int:
    """Show what agents may run without asking.

    Examples:
        portico approvals get
        portico approvals get --json > policy.json
    """
    async with connected(to) as client:
        policy = await client.request("exec.approvals.get", {}, timeout_s=to.timeout_s)
    if to.json:
        print_json(policy)
        return ExitCode.OK
    _print_policy(policy)
    return ExitCode.OK


def _print_policy(policy: dict[str, Any]) -> None:
    defaults = policy["resolvedDefaults"]
    where = policy["path"] if policy["exists"] else f"{policy['path']} (not there yet)"
    print_fields(
        (
            ("File", where),
            ("Security", defaults["security"]),
            ("Ask", defaults["ask"]),
            ("Without an answer", defaults["askFallback"]),
        )
    )
    rows = [
        (agent, entry["pattern"], _arguments(entry.get("argPattern")), entry.get("source"))
        for agent, rules in (policy["file"].get("agents") or {}).items()
        for entry in rules.get("allowlist") or ()
    ]
    if rows:
        print()
        print_table(("Agent", "Program", "Arguments", "By"), rows)


def _arguments(pattern: str | None) -> str:
    return "any" if pattern is None else pattern.replace("\0", "␀")


@command("set")
async def set_(
    file: str,
    /,
    *,
    base_hash: str | None = None,
    to: Remote = THERE,
) -> int:
    """Replace what agents may run without asking.

    The file holds JSON5: the policy itself, or what `portico approvals get --json` printed. The
    latter is refused when the policy has changed since.

    Args:
        file: A file, or - for standard input.
        base_hash: The version this replaces. [default: the one in the file, else the present one]

    Examples:
        portico approvals get --json > policy.json
        portico approvals set policy.json
        portico approvals set - --json < policy.json
    """
    policy, seen = _read(file)
    async with connected(to) as client:
        base = base_hash or seen
        if base is None:
            now = await client.request("exec.approvals.get", {}, timeout_s=to.timeout_s)
            base = now["hash"]
        params = {"file": policy, "baseHash": base}
        answer = await client.request("exec.approvals.set", params, timeout_s=to.timeout_s)
    if to.json:
        print_json(answer)
    else:
        _print_policy(answer)
    return ExitCode.OK


def _read(file: str) -> tuple[Any, str | None]:
    """Return the policy in a file, and the version it was made from."""
    from portico.config.text import TextError, read_json5

    if file == _STDIN:
        text = sys.stdin.read(_MAX_FILE_CHARS)
    else:
        with Path(file).open(encoding="utf-8") as stream:
            text = stream.read(_MAX_FILE_CHARS)
    try:
        value = read_json5(text)
    except TextError as error:
        raise Failure(
            f"{file} is not JSON5: {error}.",
            code="usage.json",
            next_step="See the form: portico approvals get --json",
            exit_code=ExitCode.USAGE,
        ) from None
    if isinstance(value, dict) and isinstance(value.get("file"), dict) and "hash" in value:
        return value["file"], str(value["hash"])
    return value, None
