"""`portico pairing list | approve | reject | admit | revoke`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import duration, print_json, print_table
from portico.cli.target import connected
from portico.clock import SystemClock

_REQUEST_ID: Final = re.compile(r"pair_[0-9a-z]{26}")


@command("list")
async def list_pairing(channel: str | None = None, /, *, to: Remote = THERE) -> int:
    """List who asks to write, and who was approved.

    Args:
        channel: Only this channel.

    Examples:
        portico pairing list
        portico pairing list telegram --json
    """
    params = {} if channel is None else {"channel": channel}
    async with connected(to) as client:
        asking = await client.request("channels.pairing.list", params, timeout_s=to.timeout_s)
        known = await client.request("channels.pairing.approved", params, timeout_s=to.timeout_s)
    if to.json:
        print_json({**asking, "approved": known["approved"]})
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    print_table(
        ("Asks", "Account", "Sender", "Name", "Time left"),
        [
            (
                one["requestId"],
                f"{one['channel']}:{one['accountId']}",
                one["senderId"],
                one["senderLabel"],
                duration(max(0, _ms(one["expiresAt"]) - now_ms) / 1000),
            )
            for one in asking["requests"]
        ],
    )
    print_table(
        ("Approved", "Sender", "Name", "Since"),
        [
            (
                f"{one['channel']}:{one['accountId']}",
                one["senderId"],
                one.get("senderLabel"),
                f"{duration(max(0, now_ms - one['approvedAt']) / 1000)} ago",
            )
            for one in known["approved"]
        ],
    )
    return ExitCode.OK


def _ms(iso: str) -> int:
    return int(datetime.fromisoformat(iso).timestamp() * 1000)


@command("approve")
async def approve(
    channel: str,
    code: str,
    /,
    *,
    account: str | None = None,
    notify: bool = False,
    to: Remote = THERE,
) -> int:
    """Let somebody write who shows a pairing code.

    Args:
        channel: The channel, such as telegram.
        code: The code the person shows, or the id of the request.
        account: The account's id; without it, the only one that has requests.
        notify: Tell the person.

    Examples:
        portico pairing approve telegram ABCD-EFGH --notify
        portico pairing approve telegram pair_01k9a8d0zr3v5xw7y9b1c3d5e7
    """
    where = await _where(channel, account, to)
    is_id = _REQUEST_ID.fullmatch(code) is not None
    method = "channels.pairing.approve" if is_id else "channels.pairing.redeem"
    params = {**where, ("requestId" if is_id else "code"): code, "notify": notify}
    answer = await _call(method, params, to)
    if to.json:
        print_json(answer)
    else:
        print(f"Approved: {answer['senderId']} may write to {channel}:{where['accountId']}")
    return ExitCode.OK


@command("reject")
async def reject(
    channel: str, request: str, /, *, account: str | None = None, to: Remote = THERE
) -> int:
    """Reject somebody who asks; they are not answered for some hours.

    Args:
        channel: The channel.
        request: The id of the request, or of the sender.
        account: The account's id; without it, the only one that has requests.

    Examples:
        portico pairing reject telegram 123456789
        portico pairing reject telegram pair_01k9a8d0zr3v5xw7y9b1c3d5e7
    """
    where = await _where(channel, account, to)
    request_id = request
    if not _REQUEST_ID.fullmatch(request):
        asked = await _call("channels.pairing.list", {"channel": channel}, to)
        request_id = next(
            (
                one["requestId"]
                for one in asked["requests"]
                if (one["senderId"], one["accountId"]) == (request, where["accountId"])
            ),
            request,
        )
    answer = await _call("channels.pairing.dismiss", {**where, "requestId": request_id}, to)
    if to.json:
        print_json(answer)
    else:
        print(f"Rejected: {answer['senderId']}")
    return ExitCode.OK


@command("admit")
async def admit(
    channel: str, sender: str, /, *, account: str = "default", to: Remote = THERE
) -> int:
    """Let somebody write who has not asked, by their stable id.

    Args:
        channel: The channel.
        sender: The person's stable id there.
        account: The account's id. [default: default]

    Examples:
        portico pairing admit telegram 123456789
    """
    return await _change("channels.pairing.admit", "Admitted", channel, sender, account, to)


@command("revoke")
async def revoke(
    channel: str, sender: str, /, *, account: str = "default", to: Remote = THERE
) -> int:
    """Let somebody write no longer.

    Args:
        channel: The channel.
        sender: The person's stable id there.
        account: The account's id. [default: default]

    Examples:
        portico pairing revoke telegram 123456789
    """
    return await _change("channels.pairing.revoke", "Revoked", channel, sender, account, to)


async def _change(  # noqa: PLR0917 - called from right above
    method: str, done: str, channel: str, sender: str, account: str, to: Remote
) -> int:
    params = {"channel": channel, "accountId": account, "senderId": sender}
    answer = await _call(method, params, to)
    if to.json:
        print_json(answer)
    elif answer["changed"]:
        print(f"{done}: {sender}")
    if not answer["changed"]:
        raise Failure(
            f"{sender} was not approved for {channel}:{account}.",
            code="pairing.not_approved",
            next_step="See who was: portico pairing list",
            exit_code=ExitCode.REFUSED,
        )
    return ExitCode.OK


async def _where(channel: str, account: str | None, to: Remote) -> dict[str, str]:
    """Return the account that is meant: the one given, or the only one in question."""
    if account is not None:
        return {"channel": channel, "accountId": account}
    found = await _call("channels.pairing.list", {"channel": channel}, to)
    asking = {one["accountId"] for one in found["requests"]}
    ids = asking or {one["accountId"] for one in found["accounts"]}
    if len(ids) > 1:
        raise Failure(
            f"{channel} has several accounts: {', '.join(sorted(ids))}.",
            code="usage.account",
            next_step="Say which: --account NAME",
            exit_code=ExitCode.USAGE,
        )
    return {"channel": channel, "accountId": next(iter(ids), "default")}


async def _call(method: str, params: dict[str, Any], to: Remote) -> dict[str, Any]:
    async with connected(to) as client:
        answer: dict[str, Any] = await client.request(method, params, timeout_s=to.timeout_s)
    return answer
