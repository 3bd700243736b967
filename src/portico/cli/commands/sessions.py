"""`portico sessions list | show | reset | delete`."""

from __future__ import annotations

from typing import Annotated, Any, Final

from cyclopts import Parameter

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import ask, duration, harmless, print_fields, print_json, print_table
from portico.cli.target import connected
from portico.client import GatewayClient
from portico.client.messages import text_of
from portico.clock import SystemClock

_ROLE_NAMES: Final = {"user": "You", "assistant": "Agent"}


@command("list")
async def list_sessions(
    *,
    limit: int = 50,
    agent: str | None = None,
    active: int | None = None,
    search: str | None = None,
    to: Remote = THERE,
) -> int:
    """List sessions, the latest first.

    Args:
        limit: How many at most. [default: 50]
        agent: Only sessions of this agent.
        active: Only sessions active in the last so many minutes.
        search: Only sessions whose key or label contains this.

    Examples:
        portico sessions list
        portico sessions list --agent main --active 60 --json
    """
    filters = {"agentId": agent, "activeMinutes": active, "search": search}
    params = {name: value for name, value in filters.items() if value is not None}
    async with connected(to) as client:
        request = {"limit": limit, **params}
        found = await client.request("sessions.list", request, timeout_s=to.timeout_s)
    if to.json:
        print_json(found)
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    rows = [_row(session, now_ms) for session in found["sessions"]]
    print_table(("Session", "Label", "Active", "Model", "Tokens"), rows)
    total = found.get("totalCount", found.get("count", len(rows)))
    if total > len(rows):
        print(f"{len(rows)} of {total}. See more with --limit.")
    return ExitCode.OK


def _row(session: dict[str, Any], now_ms: int) -> tuple[Any, ...]:
    updated = session.get("updatedAt")
    age = f"{duration(max(0, now_ms - updated) / 1000)} ago" if updated else ""
    label = session.get("label") or session.get("displayName")
    return (session["key"], label, age, session.get("model"), session.get("totalTokens"))


@command("show")
async def show(key: str, /, *, messages: int = 20, to: Remote = THERE) -> int:
    """Show one session and its last messages.

    Args:
        key: The session's key, such as `main`.
        messages: How many messages at most. [default: 20]

    Examples:
        portico sessions show main
        portico sessions show agent:main:main --messages 100 --json
    """
    async with connected(to) as client:
        session = await _describe(client, key, to)
        request = {"sessionKey": session["key"], "limit": messages}
        history = await client.request("chat.history", request, timeout_s=to.timeout_s)
    if to.json:
        print_json({"session": session, "messages": history["messages"]})
        return ExitCode.OK
    print_fields(
        (
            ("Session", session["key"]),
            ("Id", session.get("sessionId")),
            ("Label", session.get("label")),
            ("Model", session.get("model")),
            ("Messages", history.get("totalMessages", len(history["messages"]))),
        )
    )
    for message in history["messages"]:
        role = str(message.get("role"))
        print(f"\n{_ROLE_NAMES.get(role, role)}:\n{harmless(text_of(message))}")
    return ExitCode.OK


async def _describe(client: GatewayClient, key: str, to: Remote) -> dict[str, Any]:
    answer = await client.request("sessions.describe", {"key": key}, timeout_s=to.timeout_s)
    session = answer.get("session")
    if not isinstance(session, dict):
        raise Failure(
            f"There is no session {key}.",
            code="session.not_found",
            next_step="See which there are: portico sessions list",
            exit_code=ExitCode.REFUSED,
        )
    return session


@command("reset")
async def reset(
    key: str, /, *, yes: Annotated[bool, Parameter(alias="-y")] = False, to: Remote = THERE
) -> int:
    """Start a session afresh under its key.

    The agent forgets the conversation; the old transcript is kept.

    Args:
        key: The session's key, such as `main`.
        yes: Do not ask.

    Examples:
        portico sessions reset main
        portico sessions reset main --yes --json
    """
    return await _change("sessions.reset", key, yes=yes, verb="Reset", to=to)


@command("delete")
async def delete(
    key: str, /, *, yes: Annotated[bool, Parameter(alias="-y")] = False, to: Remote = THERE
) -> int:
    """Delete a session and its transcript.

    Args:
        key: The session's key.
        yes: Do not ask.

    Examples:
        portico sessions delete agent:main:old
        portico sessions delete agent:main:old --yes
    """
    return await _change("sessions.delete", key, yes=yes, verb="Delete", to=to)


async def _change(method: str, key: str, *, yes: bool, verb: str, to: Remote) -> int:
    async with connected(to) as client:
        session = await _describe(client, key, to)
        if not yes and not ask(f"{verb} session {session['key']}?"):
            raise Failure(
                "Nothing was changed.",
                code="not_confirmed",
                next_step="Answer y, or give --yes",
                exit_code=ExitCode.REFUSED,
            )
        answer = await client.request(method, {"key": session["key"]}, timeout_s=to.timeout_s)
    if to.json:
        print_json(answer)
    else:
        print(f"{'Deleted' if verb == 'Delete' else 'Reset'}: {answer['key']}")
    return ExitCode.OK
