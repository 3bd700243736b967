"""`portico nodes list | describe | pending | approve | reject | remove | rename`."""

from __future__ import annotations

from typing import Annotated, Any, Final

from cyclopts import Parameter

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode
from portico.cli.node_calls import call, find_node_id, the_one
from portico.cli.output import duration, note, one_line, print_fields, print_json, print_table
from portico.clock import SystemClock

_ID_LENGTH: Final = 12  # of 64: enough to tell nodes apart
_MAX_SHOWN: Final = 6


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
    found = await call("node.list", {}, to)
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
    found = await call("node.describe", {"nodeId": await find_node_id(node, to)}, to)
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
    waiting = (await call("node.pair.list", {}, to))["pending"]
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
    answer = await call("node.pair.approve", {"requestId": asked["requestId"]}, to)
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
    answer = await call("node.pair.reject", {"requestId": asked["requestId"]}, to)
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
    answer = await call("node.pair.remove", {"nodeId": await find_node_id(node, to)}, to)
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
    params = {"nodeId": await find_node_id(node, to), "displayName": name}
    answer = await call("node.rename", params, to)
    if to.json:
        print_json(answer)
    else:
        print(f"{answer['nodeId'][:_ID_LENGTH]} is now called {answer['displayName']}")
    return ExitCode.OK


async def _request(named: str, to: Remote) -> dict[str, Any]:
    waiting = (await call("node.pair.list", {}, to))["pending"]
    exact = [one for one in waiting if one["requestId"] == named]
    return exact[0] if exact else the_one(waiting, named)


def _name(node: dict[str, Any]) -> str:
    return one_line(str(node.get("displayName") or node["nodeId"][:_ID_LENGTH]))
