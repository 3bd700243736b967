"""`portico nodes list | describe | pending | approve | reject | remove | rename | invoke | …`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from cyclopts import Parameter

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import duration, note, print_fields, print_json, print_table
from portico.cli.target import connected
from portico.clock import SystemClock
from portico.ids import new_id

_ID_LENGTH: Final = 12  # of 64: enough to tell nodes apart
_MAX_SHOWN: Final = 6
_WAIT_MS: Final = 30_000
_SLACK_S: Final = 10.0
_DECISION_S: Final = 1_800.0


@command("list")
async def list_nodes(
    *, connected_only: Annotated[bool, Parameter(name="--connected")] = False, to: Remote = THERE
) -> int:
    """List nodes: what each may be used for, and which are here.

    Args:
        connected_only: Only those that are here.

    Examples:
        portico nodes list
        portico nodes list --connected --json
    """
    found = await _call("node.list", {}, to)
    nodes = [one for one in found["nodes"] if one["connected"] or not connected_only]
    if to.json:
        print_json({**found, "nodes": nodes})
        return ExitCode.OK
    if not nodes:
        print("There is no node. Bring one in: portico qr")
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    print_table(
        ("Node", "Name", "Platform", "Approval", "Here", "Last seen", "Commands"),
        [
            (
                one["nodeId"][:_ID_LENGTH],
                one.get("displayName"),
                one.get("platform"),
                one["approvalState"],
                "yes" if one["connected"] else None,
                _ago(one.get("lastSeenAtMs"), now_ms),
                _some(one["commands"]),
            )
            for one in nodes
        ],
    )
    if any("pendingRequestId" in one for one in nodes):
        note("Some wait for approval: portico nodes pending")
    return ExitCode.OK


def _some(names: list[str]) -> str:
    more = len(names) - _MAX_SHOWN
    return ", ".join(names[:_MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _ago(at_ms: int | None, now_ms: int) -> str | None:
    return None if at_ms is None else f"{duration(max(0, now_ms - at_ms) / 1000)} ago"


@command("describe")
async def describe(node: str, /, *, to: Remote = THERE) -> int:
    """Show one node.

    Args:
        node: The node's id, its first letters, or its name.

    Examples:
        portico nodes describe kitchen
        portico nodes describe 59dc9ea7bd26 --json
    """
    found = await _call("node.describe", {"nodeId": await _node_id(node, to)}, to)
    if to.json:
        print_json(found)
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    print_fields(
        (
            ("Node", found["nodeId"]),
            ("Name", found.get("displayName")),
            ("Platform", found.get("platform")),
            ("Version", found.get("version")),
            ("Address", found.get("remoteIp")),
            ("Approval", found["approvalState"]),
            ("Here", "yes" if found["connected"] else "no"),
            ("Last seen", _ago(found.get("lastSeenAtMs"), now_ms)),
            ("Capabilities", ", ".join(found["caps"]) or None),
            ("Commands", ", ".join(found["commands"]) or None),
            ("Asks for", ", ".join(found.get("pendingDeclaredCommands", ())) or None),
            ("Request", found.get("pendingRequestId")),
        )
    )
    return ExitCode.OK


@command("pending")
async def pending(*, to: Remote = THERE) -> int:
    """List what nodes ask to be used for.

    Examples:
        portico nodes pending
        portico nodes pending --json
    """
    waiting = (await _call("node.pair.list", {}, to))["pending"]
    if to.json:
        print_json(waiting)
        return ExitCode.OK
    if not waiting:
        print("No node asks for anything.")
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    print_table(
        ("Request", "Node", "Name", "Asks for", "Ago"),
        [
            (
                one["requestId"],
                one["nodeId"][:_ID_LENGTH],
                one.get("displayName"),
                ", ".join(one["commands"]) or ", ".join(one["caps"]),
                _ago(one["ts"], now_ms),
            )
            for one in waiting
        ],
    )
    return ExitCode.OK


@command("approve")
async def approve(request: str, /, *, to: Remote = THERE) -> int:
    """Let a node be used for what it asks.

    Args:
        request: The id of its request, or the node's id, its first letters, or its name.

    Examples:
        portico nodes approve 5e4d0743-f48e-4ae4-bacb-82eda332b13f
        portico nodes approve kitchen
    """
    asked = await _request(request, to)
    answer = await _call("node.pair.approve", {"requestId": asked["requestId"]}, to)
    if to.json:
        print_json(answer)
    else:
        print(
            f"Approved: {_name(asked)} ({', '.join(answer['node']['commands']) or 'no commands'})"
        )
    return ExitCode.OK


@command("reject")
async def reject(request: str, /, *, to: Remote = THERE) -> int:
    """Refuse what a node asks; it may ask again when it connects.

    Args:
        request: The id of its request, or the node's id, its first letters, or its name.

    Examples:
        portico nodes reject 5e4d0743-f48e-4ae4-bacb-82eda332b13f
    """
    asked = await _request(request, to)
    answer = await _call("node.pair.reject", {"requestId": asked["requestId"]}, to)
    if to.json:
        print_json(answer)
    else:
        print(f"Rejected: {_name(asked)}")
    return ExitCode.OK


@command("remove")
async def remove(node: str, /, *, to: Remote = THERE) -> int:
    """Forget a node, its approval and its device's right to be one.

    Args:
        node: The node's id, its first letters, or its name.

    Examples:
        portico nodes remove kitchen
    """
    answer = await _call("node.pair.remove", {"nodeId": await _node_id(node, to)}, to)
    if to.json:
        print_json(answer)
    else:
        print(f"Removed: {answer['nodeId'][:_ID_LENGTH]}")
    return ExitCode.OK


@command("rename")
async def rename(node: str, name: str, /, *, to: Remote = THERE) -> int:
    """Give a node the name it is shown under.

    Args:
        node: The node's id, its first letters, or its name.
        name: The new name.

    Examples:
        portico nodes rename 59dc9ea7bd26 kitchen
    """
    params = {"nodeId": await _node_id(node, to), "displayName": name}
    answer = await _call("node.rename", params, to)
    if to.json:
        print_json(answer)
    else:
        print(f"{answer['nodeId'][:_ID_LENGTH]} is now called {answer['displayName']}")
    return ExitCode.OK


@command("invoke")
async def invoke(
    node: str,
    invoked: str,
    /,
    *,
    params: str = "{}",
    wait_ms: int = _WAIT_MS,
    key: str | None = None,
    to: Remote = THERE,
) -> int:
    """Have a node do something, and print its answer as JSON.

    Args:
        node: The node's id, its first letters, or its name.
        invoked: The command, such as system.which.
        params: Its parameters as JSON.
        wait_ms: How long the node has, in milliseconds.
        key: Idempotency key: the same command is sent once. [default: a new one]

    Examples:
        portico nodes invoke kitchen system.which --params '{"bins": ["git"]}'
        portico nodes invoke phone location.get --wait-ms 60000
    """
    request = {
        "nodeId": await _node_id(node, to),
        "command": invoked,
        "params": _json(params),
        "timeoutMs": wait_ms,
        "idempotencyKey": key or new_id("cli"),
    }
    answer = await _call("node.invoke", request, to, timeout_s=wait_ms / 1000 + _SLACK_S)
    print_json(answer if to.json else answer["payload"])
    return ExitCode.OK


@command("run-command")
async def run_command(
    node: str,
    /,
    *words: Annotated[str, Parameter(allow_leading_hyphen=True)],
    cwd: str | None = None,
    wait_ms: int = _WAIT_MS,
    ask: bool = False,
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
    node_id = await _node_id(node, to)
    given: dict[str, Any] = {"command": list(words)} | ({"cwd": cwd} if cwd else {})
    params = await _approved(node_id, given, to) if ask else given
    request = {
        "nodeId": node_id,
        "command": "system.run",
        "params": {**params, "timeoutMs": wait_ms},
        "timeoutMs": wait_ms,
        "idempotencyKey": new_id("cli"),
    }
    answer = await _call("node.invoke", request, to, timeout_s=wait_ms / 1000 + _SLACK_S)
    done = answer["payload"] if isinstance(answer["payload"], dict) else {}
    if to.json:
        print_json(answer)
    else:
        print(done.get("stdout") or "", end="")
        if done.get("stderr"):
            note(str(done["stderr"]).rstrip("\n"))
    code = done.get("exitCode")
    return code if isinstance(code, int) and 0 <= code <= 255 else ExitCode.FAILED


async def _approved(node_id: str, given: dict[str, Any], to: Remote) -> dict[str, Any]:
    """Have a program prepared and approved; return what to run it with."""
    prepared = await _call(
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
    decided = await _call(
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


async def _node_id(named: str, to: Remote) -> str:
    nodes = (await _call("node.list", {}, to))["nodes"]
    return str(_the_one(nodes, named)["nodeId"])


async def _request(named: str, to: Remote) -> dict[str, Any]:
    waiting = (await _call("node.pair.list", {}, to))["pending"]
    exact = [one for one in waiting if one["requestId"] == named]
    return exact[0] if exact else _the_one(waiting, named)


def _the_one(nodes: list[dict[str, Any]], named: str) -> dict[str, Any]:
    """Return the node of an id, the beginning of one, or a name."""
    same = [one for one in nodes if one["nodeId"] == named]
    same = same or [one for one in nodes if (one.get("displayName") or "") == named]
    same = same or [one for one in nodes if len(named) >= 4 and one["nodeId"].startswith(named)]
    if len(same) == 1:
        return same[0]
    said = f"{len(same)} nodes are called" if same else "There is no node or request called"
    raise Failure(
        f"{said} {named}.",
        code="nodes.unknown",
        next_step="See which there are: portico nodes list",
        exit_code=ExitCode.REFUSED,
    )


def _name(node: dict[str, Any]) -> str:
    return str(node.get("displayName") or node["nodeId"][:_ID_LENGTH])


async def _call(
    method: str, params: dict[str, Any], to: Remote, *, timeout_s: float | None = None
) -> Any:
    async with connected(to) as client:
        return await client.request(method, params, timeout_s=timeout_s or to.timeout_s)
