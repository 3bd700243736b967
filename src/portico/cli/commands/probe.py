"""`portico gateway probe`: what answers at an address, with and without credentials."""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import Any, Final

from portico import __version__
from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode
from portico.cli.output import print_fields, print_json
from portico.cli.target import client_settings, resolve_target
from portico.client.model import ClientName
from portico.clock import SystemClock

_MIN_PROBE_PROTOCOL: Final = 3


@command("probe")
async def probe(*, to: Remote = THERE) -> int:
    """Knock at a gateway and say what answers.

    Exit code 0: a gateway answers (and takes the credentials, when there are any); 3: none
    answers; 4: it refuses the credentials.

    Examples:
        portico gateway probe
        portico gateway probe --url wss://gateway.example.com --token "$TOKEN" --json
    """
    from portico.client import ConnectRefused
    from portico.client.connection import open_connection

    name = ClientName("openclaw-probe", "probe", __version__, platform.system().lower())
    target = resolve_target(to)
    settings = client_settings(target, timeout_s=to.timeout_s, name=name)
    settings = replace(settings, min_protocol=_MIN_PROBE_PROTOCOL)
    clock = SystemClock()
    started = clock.monotonic_s()
    found: dict[str, Any] = {"url": target.url, "reachable": True}
    try:
        connection = await open_connection(settings, clock=clock, on_event=lambda _event: None)
    except ConnectRefused as refused:
        found |= {"latencyMs": _since(clock, started), "auth": _refusal(refused)}
    else:
        hello = connection.hello
        found |= {
            "latencyMs": _since(clock, started),
            "protocol": hello.protocol,
            "version": hello.server.version,
            "auth": {
                "accepted": True,
                "method": hello.auth.method or None,
                "scopes": hello.auth.scopes,
            },
        }
        await connection.close()
    if to.json:
        print_json(found)
    else:
        _print(found)
    was_refused = not found["auth"]["accepted"] and bool(target.credentials)
    return ExitCode.UNAUTHORIZED if was_refused else ExitCode.OK


def _since(clock: SystemClock, started_s: float) -> float:
    return round((clock.monotonic_s() - started_s) * 1000, 1)


def _refusal(refused: Any) -> dict[str, Any]:
    return {
        "accepted": False,
        "required": True,
        "code": refused.detail_code or refused.code,
        "message": str(refused),
    }


def _print(found: dict[str, Any]) -> None:
    auth = found["auth"]
    if auth["accepted"]:
        method = auth["method"] or "unknown"
        access = f"accepted ({method}), scopes: {', '.join(auth['scopes']) or 'none'}"
    else:
        access = f"refused: {auth['message']}"
    print_fields(
        (
            ("URL", found["url"]),
            ("Reachable", f"yes, {found['latencyMs']} ms until the handshake was answered"),
            ("Protocol", found.get("protocol")),
            ("Version", found.get("version")),
            ("Access", access),
        )
    )
