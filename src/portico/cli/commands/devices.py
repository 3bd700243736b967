"""`portico devices list | approve | reject | remove | rename | rotate | revoke`."""

from __future__ import annotations

from typing import Any, Final

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import duration, one_line, print_json, print_table
from portico.cli.target import connected
from portico.clock import SystemClock

_ID_LENGTH: Final = 12  # of 64: enough to tell devices apart


@command("list")
async def list_devices(*, to: Remote = THERE) -> int:
    """List the devices that ask to be let in, and those that are paired.

    Examples:
        portico devices list
        portico devices list --json
    """
    found = await _call("device.pair.list", {}, to)
    if to.json:
        print_json(found)
        return ExitCode.OK
    if not found["pending"] and not found["paired"]:
        print("No device is paired, and none asks to be. Bring one in: portico qr")
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    print_table(
        ("Asks", "Device", "Name", "Wants", "From", "Ago"),
        [
            (
                one["requestId"],
                one["deviceId"][:_ID_LENGTH],
                one.get("displayName") or one.get("platform"),
                _may(one["role"], one["scopes"]),
                one.get("remoteIp"),
                _ago(one["ts"], now_ms),
            )
            for one in found["pending"]
        ],
    )
    print_table(
        ("Paired", "Name", "May", "Let in by", "Here", "Last seen"),
        [
            (
                one["deviceId"][:_ID_LENGTH],
                one.get("label") or one.get("displayName") or one.get("platform"),
                " · ".join(
                    _may(token["role"], token["scopes"])
                    for token in one["tokens"]
                    if "revokedAtMs" not in token
                ),
                one["approvedVia"],
                "yes" if one["connected"] else None,
                _ago(one.get("lastSeenAtMs"), now_ms),
            )
            for one in found["paired"]
        ],
    )
    return ExitCode.OK


def _may(role: str, scopes: list[str]) -> str:
    names = ", ".join(scope.removeprefix("operator.") for scope in scopes)
    return f"{role}: {names}" if names else role


def _ago(at_ms: int | None, now_ms: int) -> str | None:
    return None if at_ms is None else f"{duration(max(0, now_ms - at_ms) / 1000)} ago"


@command("approve")
async def approve(
    request: str | None = None, /, *, latest: bool = False, to: Remote = THERE
) -> int:
    """Let in a device that asks, or allow it what it asks for.

    Args:
        request: The id of its request, or the first letters of its device's id.
        latest: The request that came last.

    Examples:
        portico devices approve pair_01k9a8d0zr3v5xw7y9b1c3d5e7
        portico devices approve --latest
    """
    pending = await _pending(request, to, latest=latest)
    answer = await _call("device.pair.approve", {"requestId": pending["requestId"]}, to)
    if to.json:
        print_json(answer)
    else:
        print(f"Approved: {_name(pending)} ({_may(pending['role'], pending['scopes'])})")
    return ExitCode.OK


@command("reject")
async def reject(request: str | None = None, /, *, latest: bool = False, to: Remote = THERE) -> int:
    """Refuse a device that asks; it may ask again.

    Args:
        request: The id of its request, or the first letters of its device's id.
        latest: The request that came last.

    Examples:
        portico devices reject pair_01k9a8d0zr3v5xw7y9b1c3d5e7
        portico devices reject --latest
    """
    pending = await _pending(request, to, latest=latest)
    answer = await _call("device.pair.reject", {"requestId": pending["requestId"]}, to)
    if to.json:
        print_json(answer)
    else:
        print(f"Rejected: {_name(pending)}")
    return ExitCode.OK


@command("remove")
async def remove(device: str, /, *, to: Remote = THERE) -> int:
    """Forget a device; its connections are closed, its tokens work no more.

    Args:
        device: The device's id, its first letters, or its name.

    Examples:
        portico devices remove 59dc9ea7bd26
        portico devices remove "Old phone"
    """
    known = await _paired(device, to)
    answer = await _call("device.pair.remove", {"deviceId": known["deviceId"]}, to)
    if to.json:
        print_json(answer)
    else:
        print(f"Removed: {_name(known)}")
    return ExitCode.OK


@command("rename")
async def rename(device: str, name: str, /, *, to: Remote = THERE) -> int:
    """Give a device the name it is shown under.

    Args:
        device: The device's id, its first letters, or its name.
        name: The new name, at most 64 characters.

    Examples:
        portico devices rename 59dc9ea7bd26 "Kitchen tablet"
    """
    known = await _paired(device, to)
    params = {"deviceId": known["deviceId"], "label": name}
    answer = await _call("device.pair.rename", params, to)
    if to.json:
        print_json(answer)
    else:
        print(f"Renamed: {_name(known)} is {answer['label']}")
    return ExitCode.OK


@command("rotate")
async def rotate(
    device: str,
    /,
    *,
    role: str = "operator",
    scope: tuple[str, ...] = (),
    to: Remote = THERE,
) -> int:
    """Replace a device's token; the old one works no more.

    The device itself is handed the new one when it proves itself with the gateway's secret.

    Args:
        device: The device's id, its first letters, or its name.
        role: operator or node. [default: operator]
        scope: What it may do from now on, once for each scope; without it, what it may now.

    Examples:
        portico devices rotate 59dc9ea7bd26
        portico devices rotate 59dc9ea7bd26 --scope operator.read --scope operator.write
    """
    known = await _paired(device, to)
    params: dict[str, Any] = {"deviceId": known["deviceId"], "role": role}
    if scope:
        params["scopes"] = list(scope)
    answer = await _call("device.token.rotate", params, to)
    if to.json:
        print_json(answer)
        return ExitCode.OK
    print(f"Rotated: {_name(known)} ({_may(role, answer['scopes'])})")
    if "token" in answer:
        print(answer["token"])
    return ExitCode.OK


@command("revoke")
async def revoke(device: str, /, *, role: str = "operator", to: Remote = THERE) -> int:
    """Take a role from a device; its connections in this role are closed.

    Args:
        device: The device's id, its first letters, or its name.
        role: operator or node. [default: operator]

    Examples:
        portico devices revoke 59dc9ea7bd26
        portico devices revoke 59dc9ea7bd26 --role node
    """
    known = await _paired(device, to)
    answer = await _call("device.token.revoke", {"deviceId": known["deviceId"], "role": role}, to)
    if to.json:
        print_json(answer)
    else:
        print(f"Revoked: {_name(known)} is no {role} any more")
    return ExitCode.OK


async def _pending(request: str | None, to: Remote, *, latest: bool) -> dict[str, Any]:
    """Return the request that is meant."""
    if (request is None) is not latest:
        raise Failure(
            "Which request? Give its id, or --latest.",
            code="usage.request",
            next_step="See who asks: portico devices list",
            exit_code=ExitCode.USAGE,
        )
    pending = (await _call("device.pair.list", {}, to))["pending"]
    if latest:
        found = pending[-1:]
    else:
        found = [one for one in pending if one["requestId"] == request] or [
            one for one in pending if one["deviceId"].startswith(request or "")
        ]
    return _only(found, request or "the latest request", "waits for approval")


async def _paired(device: str, to: Remote) -> dict[str, Any]:
    """Return the device that is meant."""
    paired = (await _call("device.pair.list", {}, to))["paired"]
    names = ("deviceId", "label", "displayName")
    found = [one for one in paired if device in [one.get(name) for name in names]] or [
        one for one in paired if one["deviceId"].startswith(device.lower())
    ]
    return _only(found, device, "is paired")


def _only(found: list[dict[str, Any]], asked_for: str, what: str) -> dict[str, Any]:
    if len(found) == 1:
        return found[0]
    said = f"{len(found)} devices match {asked_for}." if found else f"No device {what}: {asked_for}"
    raise Failure(
        said,
        code="device.ambiguous" if found else "device.unknown",
        next_step="See them with their ids: portico devices list --json",
        exit_code=ExitCode.REFUSED,
    )


def _name(known: dict[str, Any]) -> str:
    name: str = known.get("label") or known.get("displayName") or known["deviceId"][:_ID_LENGTH]
    return one_line(name)


async def _call(method: str, params: dict[str, Any], to: Remote) -> dict[str, Any]:
    async with connected(to) as client:
        answer: dict[str, Any] = await client.request(method, params, timeout_s=to.timeout_s)
    return answer
