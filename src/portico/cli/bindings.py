"""Bindings as they are written on the command line: `telegram`, `telegram:ops`, `telegram:*`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portico.cli.exit import ExitCode, Failure

_KINDS = frozenset({"direct", "group", "channel"})


def matches_of(
    written: Sequence[str],
    *,
    peer: str | None = None,
    guild: str | None = None,
    team: str | None = None,
    roles: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Return what must be true of a message, for each channel.

    Raises:
        Failure: it cannot be understood.
    """
    more: dict[str, Any] = {"guildId": guild, "teamId": team}
    more = {key: value for key, value in more.items() if value}
    if peer is not None:
        more["peer"] = _peer(peer)
    if roles:
        more["roles"] = [*roles]
    return [{**_channel(one), **more} for one in written]


def _channel(written: str) -> dict[str, str]:
    channel, colon, account = written.strip().partition(":")
    if not channel or (colon and not account):
        raise _unclear(written, "channel, channel:account or channel:*")
    return {"channel": channel, "accountId": account} if account else {"channel": channel}


def _peer(written: str) -> dict[str, str]:
    kind, _, peer = written.strip().partition(":")
    if kind not in _KINDS or not peer:
        raise _unclear(written, "direct:ID, group:ID or channel:ID; ID may be *")
    return {"kind": kind, "id": peer}


def _unclear(written: str, form: str) -> Failure:
    return Failure(
        f"{written!r} cannot be understood.",
        code="usage.binding",
        next_step=f"Write it like {form}",
        exit_code=ExitCode.USAGE,
    )
