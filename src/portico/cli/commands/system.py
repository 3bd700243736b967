"""`portico system event | heartbeat | presence`."""

from __future__ import annotations

from typing import Any, Literal

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import duration, print_fields, print_json, print_table
from portico.cli.target import connected
from portico.clock import SystemClock


@command("event")
async def event(
    *,
    text: str,
    mode: Literal["now", "next-heartbeat"] = "next-heartbeat",
    session_key: str | None = None,
    to: Remote = THERE,
) -> int:
    """Tell an agent that something happened.

    Args:
        text: What happened.
        mode: When it is told: now, or with its next heartbeat.
        session_key: The session it is told in; else the main one.

    Examples:
        portico system event --text "The build failed." --mode now
        portico system event --text "Guests arrive at six."
    """
    params: dict[str, Any] = {"text": text, "mode": mode}
    if session_key is not None:
        params["sessionKey"] = session_key
    async with connected(to) as client:
        done = await client.request("wake", params, timeout_s=to.timeout_s)
    if not done["ok"]:
        raise Failure(
            f"nobody is told there: {done.get('reason')}",
            code="NOT_TOLD",
            next_step="Name a session of an agent: --session-key agent:main:main",
            exit_code=ExitCode.REFUSED,
        )
    if to.json:
        print_json(done)
    else:
        print("ok")
    return ExitCode.OK


@command("heartbeat")
async def heartbeat(action: Literal["last", "enable", "disable"], /, *, to: Remote = THERE) -> int:
    """Show the last heartbeat, or let all heartbeats go on or rest.

    Args:
        action: last, enable or disable.

    Examples:
        portico system heartbeat last --json
        portico system heartbeat disable
    """
    async with connected(to) as client:
        if action == "last":
            found = await client.request("last-heartbeat", {}, timeout_s=to.timeout_s)
        else:
            params = {"enabled": action == "enable"}
            found = await client.request("set-heartbeats", params, timeout_s=to.timeout_s)
    if to.json:
        print_json(found)
    elif action == "last":
        _print_beat(found)
    else:
        print("heartbeats go on" if found["enabled"] else "heartbeats rest")
    return ExitCode.OK


def _print_beat(beat: dict[str, Any] | None) -> None:
    if beat is None:
        print("There was no heartbeat yet.")
        return
    age_ms = max(0, SystemClock().now_ms() - beat["ts"])
    print_fields(
        (
            ("Heartbeat", beat["status"]),
            ("When", f"{duration(age_ms / 1000)} ago"),
            ("Agent", beat.get("agentId")),
            ("Reason", beat.get("reason")),
            ("Said", beat.get("preview")),
            ("Sent to", " ".join(filter(None, (beat.get("channel"), beat.get("to")))) or None),
        )
    )


@command("presence")
async def presence(*, to: Remote = THERE) -> int:
    """List who is connected.

    Examples:
        portico system presence
    """
    async with connected(to) as client:
        here = await client.request("system-presence", {}, timeout_s=to.timeout_s)
    if to.json:
        print_json(here)
        return ExitCode.OK
    names = ("host", "mode", "version", "platform", "ip")
    print_table(
        tuple(name.capitalize() for name in names),
        [tuple(one.get(name) for name in names) for one in here],
    )
    return ExitCode.OK
