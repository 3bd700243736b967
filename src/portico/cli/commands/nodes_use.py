"""`portico nodes invoke | run-command`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any, Final

from cyclopts import Parameter

from portico.cli import node_calls
from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.node_calls import LiveOutput, as_aside, as_line, as_text, call, find_node_id
from portico.cli.output import note, print_json
from portico.ids import new_id

_WAIT_MS: Final = 30_000
_SLACK_S: Final = 10.0
_DECISION_S: Final = 1_800.0


@command("invoke")
async def invoke(
    node: str,
    invoked: str,
    /,
    *,
    params: str = "{}",
    wait_ms: int = _WAIT_MS,
    key: str | None = None,
    live: bool | None = None,
    to: Remote = THERE,
) -> int:
    """Have a node do something, and print its answer as JSON.

    Args:
        node: The node's id, its first letters, or its name.
        invoked: The command, such as system.which.
        params: Its parameters as JSON.
        wait_ms: How long the node has, in milliseconds.
        key: Idempotency key: the same command is sent once. [default: a new one]
        live: Show on stderr what it says while it runs; with --json, as lines before the answer.
            [default: in a terminal]

    Examples:
        portico nodes invoke kitchen system.which --params '{"bins": ["git"]}'
        portico nodes invoke phone location.get --wait-ms 60000
    """
    request = {
        "nodeId": await find_node_id(node, to),
        "command": invoked,
        "params": _json(params),
        "timeoutMs": wait_ms,
        "idempotencyKey": key or new_id("cli"),
    }
    output = _live(live, request, as_line if to.json else as_aside, to)
    timeout_s = wait_ms / 1000 + _SLACK_S
    answer = await node_calls.invoke(request, to, timeout_s=timeout_s, live=output)
    _print_json(answer if to.json else answer["payload"], output, to)
    return ExitCode.OK


@command("run-command")
async def run_command(
    node: str,
    /,
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)],
    cwd: str | None = None,
    wait_ms: int = _WAIT_MS,
    ask: bool = False,
    live: bool | None = None,
    to: Remote = THERE,
) -> int:
    """Run a program on a node; print what it wrote, and end with its exit code.

    The node's own policy decides whether it may. With --ask, a reviewer is asked first, about
    exactly what the node says it would run.

    Args:
        node: The node's id, its first letters, or its name.
        words: The program and its arguments, after `--`.
        cwd: The folder to run it in.
        wait_ms: How long it has, in milliseconds.
        ask: Wait for a reviewer's decision first.
        live: Show what it writes while it runs, both its streams as one; with --json, as lines
            before the answer. [default: in a terminal]

    Examples:
        portico nodes run-command kitchen -- uname -a
        portico nodes run-command kitchen --ask --cwd /srv -- make deploy
    """
    if not words:
        raise Failure(
            "What shall be run? Give a program after --.",
            code="usage.words",
            next_step="portico nodes run-command --help",
            exit_code=ExitCode.USAGE,
        )
    node_id = await find_node_id(node, to)
    given: dict[str, Any] = {"command": list(words)} | ({"cwd": cwd} if cwd else {})
    params = await _approved(node_id, given, to) if ask else given
    request = {
        "nodeId": node_id,
        "command": "system.run",
        "params": {**params, "timeoutMs": wait_ms},
        "timeoutMs": wait_ms,
        "idempotencyKey": new_id("cli"),
    }
    output = _live(live, request, as_line if to.json else as_text, to)
    timeout_s = wait_ms / 1000 + _SLACK_S
    answer = await node_calls.invoke(request, to, timeout_s=timeout_s, live=output)
    done = answer["payload"] if isinstance(answer["payload"], dict) else {}
    if to.json:
        _print_json(answer, output, to)
    elif output is None or not output.is_shown:
        print(done.get("stdout") or "", end="")
        if done.get("stderr"):
            note(str(done["stderr"]).rstrip("\n"))
    code = done.get("exitCode")
    return code if isinstance(code, int) and 0 <= code <= 255 else ExitCode.FAILED


async def _approved(node_id: str, given: dict[str, Any], to: Remote) -> dict[str, Any]:
    """Have a program prepared and approved; return what to run it with."""
    prepared = await call(
        "node.invoke",
        {
            "nodeId": node_id,
            "command": "system.run.prepare",
            "params": given,
            "idempotencyKey": new_id("cli"),
        },
        to,
    )
    plan, approval_id = prepared["payload"]["plan"], new_id("apr")
    note(f"Waiting for a decision: portico approvals allow {approval_id}")
    decided = await call(
        "exec.approval.request",
        {
            "id": approval_id,
            "host": "node",
            "nodeId": node_id,
            "systemRunPlan": plan,
            "requireDeliveryRoute": False,  # whoever reads the note can decide
        },
        to,
        timeout_s=_DECISION_S,
    )
    if decided["decision"] not in {"allow-once", "allow-always"}:
        raise Failure(
            f"It was not allowed: {decided.get('terminalReason') or decided['decision']}.",
            code="nodes.not_allowed",
            exit_code=ExitCode.REFUSED,
        )
    return {
        "command": plan["argv"],
        "systemRunPlan": plan,
        "runId": approval_id,
        "approved": True,
    }


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Failure(
            f"--params is not JSON: {error}", code="usage.params", exit_code=ExitCode.USAGE
        ) from None


def _live(
    wish: bool | None,  # noqa: FBT001 - the option itself
    request: dict[str, Any],
    show: Callable[[int, str], None],
    to: Remote,
) -> LiveOutput | None:
    """Return who shows what the command says, when that is wanted."""
    is_wanted = sys.stdout.isatty() and not to.json if wish is None else wish
    return LiveOutput(request["idempotencyKey"], show) if is_wanted else None


def _print_json(value: Any, output: LiveOutput | None, to: Remote) -> None:
    """Print the answer; after lines of JSON as one more of them."""
    is_line = to.json and output is not None
    print_json(value, indent=None if is_line else 2)
