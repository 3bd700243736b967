"""`portico qr`: bring in a device by a code."""

from __future__ import annotations

import io
import sys
from datetime import datetime
from typing import Annotated, Any

from cyclopts import Parameter

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import print_json
from portico.cli.target import connected, websocket_url
from portico.client.connection import is_loopback


@command("qr")
async def qr(
    *,
    node: bool = False,
    limited: bool = False,
    public_url: Annotated[str | None, Parameter(name=("--public-url", "--address"))] = None,
    prefer_remote: bool = False,
    code_only: bool = False,
    link: bool = False,
    to: Remote = THERE,
) -> int:
    """Show a setup code, by which one device is paired without being asked.

    It is good for ten minutes and for one device. Whoever sees it can use it. With --url, that
    address is also the one the device is told, unless --public-url says another.

    Args:
        node: The device becomes a node and nothing else.
        limited: The device does not become an administrator.
        public_url: The address at which the device finds the gateway.
        prefer_remote: The address of gateway.remote.url.
        code_only: Print the code without a picture.
        link: Print a link in its place, which gives the code of a node to the first who opens it.

    Examples:
        portico qr
        portico qr --node --public-url wss://gateway.example.com
        portico qr --limited --json
        portico qr --link --public-url wss://gateway.example.com
    """
    if limited and (node or link):
        raise Failure(
            "A device is a node, or has limited access: --node (or --link), or --limited.",
            code="usage.profile",
            next_step="Leave one of them out.",
            exit_code=ExitCode.USAGE,
        )
    params: dict[str, Any] = {"includeQr": False, "preferRemoteUrl": prefer_remote}
    if link:
        params["joinUrl"] = True
    if node or limited:
        params["bootstrapProfile"] = "node" if node else "limited"
    told = public_url or (to.url if to.url and not is_loopback(websocket_url(to.url)) else None)
    if told:
        params["publicUrl"] = told
    async with connected(to) as client:
        made = await client.request("device.pair.setupCode", params, timeout_s=to.timeout_s)
    if to.json:
        print_json(made)
    elif link:
        print(made["joinUrl"])
    elif code_only:
        print(made["setupCode"])
    else:
        _show(made)
    return ExitCode.OK


def _show(made: dict[str, Any]) -> None:
    until = datetime.fromtimestamp(made["expiresAtMs"] / 1000).astimezone()
    access = made["access"]
    if made.get("accessDowngraded"):
        access += " (full access needs wss:// or this machine itself)"
    print(drawn(made["setupCode"], for_terminal=sys.stdout.isatty()))
    print(f"Setup code: {made['setupCode']}")
    print(f"Gateway:    {made['gatewayUrl']} (from {made['urlSource']})")
    print(f"Access:     {access}")
    print(f"Good until: {until:%H:%M:%S}, for one device")


def drawn(text: str, *, for_terminal: bool) -> str:
    """Return a QR code in letters.

    Args:
        for_terminal: with colours, so that it is dark on light in every terminal.
    """
    import segno

    code = segno.make(text, error="l", micro=False)
    out = io.StringIO()
    if for_terminal:
        code.terminal(out, compact=True, border=2)
    else:
        code.save(out, kind="txt", border=2)
        rows = out.getvalue().splitlines()
        return "\n".join(row.translate({48: "  ", 49: "██"}) for row in rows)
    return out.getvalue()
