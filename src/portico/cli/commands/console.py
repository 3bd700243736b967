"""`portico inbox | lanes | deliveries list | show | retry | discard`: the console."""

from __future__ import annotations

from typing import Any, Final, Literal

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode
from portico.cli.output import duration, print_fields, print_json, print_table
from portico.cli.target import connected
from portico.clock import SystemClock

_SHORT: Final = 48
DeliveryState = Literal[
    "pending", "retry", "sending", "sent", "unknown", "failed", "expired", "discarded"
]


@command("list")
async def inbox_list(
    *,
    state: Literal["queued", "context", "refused"] | None = None,
    channel: str | None = None,
    limit: int = 50,
    to: Remote = THERE,
) -> int:
    """List messages, the latest first, with what was decided about each.

    Args:
        state: Only queued, context or refused ones.
        channel: Only of this channel.
        limit: How many at most. [default: 50]

    Examples:
        portico inbox list
        portico inbox list --state refused --channel telegram --json
    """
    wanted = {"state": state, "channel": channel, "limit": limit}
    params = {name: value for name, value in wanted.items() if value is not None}
    found = await _call("inbox.list", params, to)
    if to.json:
        print_json(found)
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    rows = [
        (
            one["messageId"],
            _ago(one["receivedAt"], now_ms),
            f"{one['channel']}:{one['accountId']}",
            one.get("senderName") or one["sender"],
            one.get("runState") or one["state"],
            one.get("reason"),
            _short(one["text"]),
        )
        for one in found["messages"]
    ]
    print_table(("Message", "When", "Account", "Sender", "State", "Reason", "Text"), rows)
    return ExitCode.OK


@command("show")
async def inbox_show(message_id: str, /, *, to: Remote = THERE) -> int:
    """Show one message.

    Args:
        message_id: The message's id.

    Examples:
        portico inbox show msg_01k9a8d0zr3v5xw7y9b1c3d5e7
    """
    found = await _call("inbox.get", {"messageId": message_id}, to)
    return _show(found, to)


@command("retry")
async def inbox_retry(message_id: str, /, *, to: Remote = THERE) -> int:
    """Answer a message that was refused, only kept, or whose run went wrong.

    Args:
        message_id: The message's id.

    Examples:
        portico inbox retry msg_01k9a8d0zr3v5xw7y9b1c3d5e7
    """
    answer = await _call("inbox.retry", {"messageId": message_id}, to)
    return _done(answer, f"Queued: {answer['runId']}", to)


@command("discard")
async def inbox_discard(message_id: str, /, *, to: Remote = THERE) -> int:
    """Do not answer a message that waits, or is being answered.

    Args:
        message_id: The message's id.

    Examples:
        portico inbox discard msg_01k9a8d0zr3v5xw7y9b1c3d5e7
    """
    answer = await _call("inbox.discard", {"messageId": message_id}, to)
    return _done(answer, f"Discarded: {message_id}", to)


@command("list")
async def lanes_list(*, to: Remote = THERE) -> int:
    """List the sessions in which something runs or waits.

    Examples:
        portico lanes list
        portico lanes list --json
    """
    found = await _call("lanes.list", {}, to)
    if to.json:
        print_json(found)
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    rows = [
        (
            lane["sessionKey"],
            turn["runId"],
            turn["state"],
            _ago(turn.get("startedAt") or turn["queuedAt"], now_ms),
            f"{turn['channel']}:{turn['accountId']}",
            _short(turn["text"]),
        )
        for lane in found["lanes"]
        for turn in lane["turns"]
    ]
    print_table(("Session", "Run", "State", "Since", "Account", "Text"), rows)
    return ExitCode.OK


@command("show")
async def lanes_show(session_key: str, /, *, to: Remote = THERE) -> int:
    """Show what runs and waits for one session.

    Args:
        session_key: The session's key.

    Examples:
        portico lanes show agent:main:main
    """
    found = await _call("lanes.get", {"sessionKey": session_key}, to)
    if to.json:
        print_json(found)
        return ExitCode.OK
    for turn in found["turns"]:
        print(f"{turn['runId']}  {turn['state']}  {_short(turn['text'])}")
    if not found["turns"]:
        print("Nothing runs or waits there.")
    return ExitCode.OK


@command("retry")
async def lanes_retry(run_id: str, /, *, to: Remote = THERE) -> int:
    """Run again what ended without an answer.

    Args:
        run_id: The run's id.

    Examples:
        portico lanes retry run_01k9a8d0zr3v5xw7y9b1c3d5e7
    """
    answer = await _call("inbox.retry", {"runId": run_id}, to)
    return _done(answer, f"Queued: {answer['runId']}", to)


@command("discard")
async def lanes_discard(run_id: str, /, *, to: Remote = THERE) -> int:
    """Take a turn out of its lane; one that runs is cancelled.

    Args:
        run_id: The run's id.

    Examples:
        portico lanes discard run_01k9a8d0zr3v5xw7y9b1c3d5e7
    """
    answer = await _call("lanes.discard", {"runId": run_id}, to)
    done = "Discarded" if answer["discarded"] else "It was over already"
    return _done(answer, f"{done}: {run_id}", to)


@command("list")
async def deliveries_list(
    *, state: DeliveryState | None = None, limit: int = 50, to: Remote = THERE
) -> int:
    """List what is sent, waits or failed, the latest first.

    Args:
        state: Only pending, retry, sending, sent, unknown, failed, expired or discarded ones.
        limit: How many at most. [default: 50]

    Examples:
        portico deliveries list
        portico deliveries list --state failed --json
    """
    params: dict[str, Any] = {"limit": limit}
    if state is not None:
        params["state"] = state
    found = await _call("deliveries.list", params, to)
    if to.json:
        print_json(found)
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    rows = [
        (
            one["deliveryId"],
            _ago(one["createdAt"], now_ms),
            f"{one['channel']}:{one['accountId']}",
            one["to"],
            one["state"],
            one["attempts"],
            one.get("lastError"),
            _short(one["text"]),
        )
        for one in found["deliveries"]
    ]
    columns = ("Delivery", "When", "Account", "To", "State", "Tries", "Trouble", "Text")
    print_table(columns, rows)
    return ExitCode.OK


@command("show")
async def deliveries_show(delivery_id: str, /, *, to: Remote = THERE) -> int:
    """Show one delivery.

    Args:
        delivery_id: The delivery's id.

    Examples:
        portico deliveries show dlv_01k9a8d0zr3v5xw7y9b1c3d5e7
    """
    found = await _call("deliveries.get", {"deliveryId": delivery_id}, to)
    return _show(found, to)


@command("retry")
async def deliveries_retry(delivery_id: str, /, *, to: Remote = THERE) -> int:
    """Send again what failed, or whose outcome is unknown.

    Args:
        delivery_id: The delivery's id.

    Examples:
        portico deliveries retry dlv_01k9a8d0zr3v5xw7y9b1c3d5e7
    """
    answer = await _call("deliveries.resend", {"deliveryId": delivery_id}, to)
    return _done(answer, f"{answer['state']}: {delivery_id}", to)


@command("discard")
async def deliveries_discard(delivery_id: str, /, *, to: Remote = THERE) -> int:
    """Give up a delivery that is not sent.

    Args:
        delivery_id: The delivery's id.

    Examples:
        portico deliveries discard dlv_01k9a8d0zr3v5xw7y9b1c3d5e7
    """
    answer = await _call("deliveries.discard", {"deliveryId": delivery_id}, to)
    return _done(answer, f"{answer['state']}: {delivery_id}", to)


async def _call(method: str, params: dict[str, Any], to: Remote) -> dict[str, Any]:
    async with connected(to) as client:
        answer: dict[str, Any] = await client.request(method, params, timeout_s=to.timeout_s)
    return answer


def _show(found: dict[str, Any], to: Remote) -> int:
    if to.json:
        print_json(found)
        return ExitCode.OK
    text, now_ms = found.pop("text", ""), SystemClock().now_ms()
    print_fields((name, _readable(name, value, now_ms)) for name, value in found.items())
    print(f"\n{text}")
    return ExitCode.OK


def _done(answer: dict[str, Any], text: str, to: Remote) -> int:
    if to.json:
        print_json(answer)
    else:
        print(text)
    return ExitCode.OK


def _readable(name: str, value: Any, now_ms: int) -> Any:
    if name.endswith("At") and isinstance(value, int):
        left_ms = value - now_ms
        return f"in {duration(left_ms / 1000)}" if left_ms > 0 else _ago(value, now_ms)
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    return value


def _ago(at_ms: int, now_ms: int) -> str:
    return f"{duration(max(0, now_ms - at_ms) / 1000)} ago"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else f"{line[: _SHORT - 1]}…"
