"""`portico logs tail`."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Final

from cyclopts import Parameter

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode
from portico.cli.output import harmless, note, print_json
from portico.cli.target import connected
from portico.client import GatewayClient

_POLL_S: Final = 1.0
_MOST_LINES: Final = 5000
# The gateway repeats what a line says in the words of other viewers of the protocol.
_FOR_OTHERS: Final = frozenset({"0", "message", "time", "_meta"})


@command("tail")
async def tail(
    *,
    lines: Annotated[int, Parameter(alias="-n")] = 50,
    follow: Annotated[bool, Parameter(alias="-f")] = False,
    to: Remote = THERE,
) -> int:
    """Show the end of the gateway's log.

    Secrets are masked by the gateway. With --json each line is one JSON object.

    Args:
        lines: How many lines, 1 to 5000. [default: 50]
        follow: Keep printing what is added, until Ctrl-C.

    Examples:
        portico logs tail
        portico logs tail -n 200 --follow
        portico logs tail --json | jq 'select(.level == "error")'
    """
    async with connected(to, reconnect=follow) as client:
        params = {"limit": max(1, min(lines, _MOST_LINES))}
        cursor = await _print_from(client, params, to)
        while follow:
            await asyncio.sleep(_POLL_S)
            cursor = await _print_from(client, {"cursor": cursor, "limit": _MOST_LINES}, to)
    return ExitCode.OK


async def _print_from(client: GatewayClient, params: dict[str, Any], to: Remote) -> int:
    answer = await client.request("logs.tail", params, timeout_s=to.timeout_s)
    if answer.get("skippedBytes"):
        note(f"({answer['skippedBytes']} bytes skipped)")
    for line in answer.get("lines", []):
        if to.json:
            print_json(_decoded(line), indent=None)
        else:
            print(harmless(_readable(line)))
    return int(answer["cursor"])


def _decoded(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return {"line": line}


def _readable(line: str) -> str:
    entry = _decoded(line)
    if not isinstance(entry, dict) or "event" not in entry:
        return line
    fields = {name: value for name, value in entry.items() if name not in _FOR_OTHERS}
    time = str(fields.pop("timestamp", ""))
    level = str(fields.pop("level", ""))
    event = str(fields.pop("event"))
    rest = " ".join(f"{name}={_short(value)}" for name, value in fields.items())
    return f"{time} {level:<7} {event}  {rest}".strip()


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
