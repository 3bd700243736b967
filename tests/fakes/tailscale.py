"""Tailscale as a gateway sees it: the local API of tailscaled, and the `tailscale` program.

Both behave as Tailscale documents them; neither can be had without an account.

Source: https://tailscale.com/kb/1242/tailscale-serve, /kb/1311/tailscale-funnel, `tailscale whois`;
tailscaled's local API, `GET /localapi/v0/whois?addr=`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROGRAM = """#!{python}
import json, os, sys, time
from pathlib import Path

home = Path({home!r})
words = sys.argv[1:]
with (home / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(words) + "\\n")
state = json.loads((home / "state.json").read_text())
if state.get("hangs"):
    time.sleep(60)
if state.get("fails"):
    sys.exit(state["fails"])
routes = state.setdefault("routes", {{}})
if words[:2] == ["status", "--json"]:
    name = "gate.tail1234.ts.net."
    print(json.dumps({{"BackendState": state["backend"], "Self": {{"DNSName": name}}}}))
elif words[:2] == ["whois", "--json"]:
    login = state["logins"].get(words[2])
    if login is None:
        sys.exit("peer not found")
    print(json.dumps({{"UserProfile": {{"LoginName": login}}}}))
elif words[0] in ("serve", "funnel") and words[1:3] == ["status", "--json"]:
    web = {{f"gate.tail1234.ts.net:{{port}}": {{"Handlers": {{"/": {{"Proxy": one["target"]}}}}}}
           for port, one in routes.items()}}
    funnel = {{f"gate.tail1234.ts.net:{{port}}": True for port, one in routes.items()
              if one["how"] == "funnel"}}
    print(json.dumps({{"Web": web, "AllowFunnel": funnel}} if routes else {{}}))
elif words[0] in ("serve", "funnel"):
    (port,) = [word.partition("=")[2] for word in words if word.startswith("--https=")]
    if words[-1] == "off":
        routes.pop(port, None)
    else:
        routes[port] = {{"how": words[0], "target": words[-1]}}
    new = home / f"state.{{os.getpid()}}"
    new.write_text(json.dumps(state))
    new.replace(home / "state.json")
else:
    sys.exit("unknown command")
"""


class TailscaleProgram:
    """A `tailscale` in a folder of its own."""

    def __init__(self, home: Path, **state: Any) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.path = home / "tailscale"
        self.path.write_text(PROGRAM.format(python=sys.executable, home=str(home)))
        self.path.chmod(0o755)
        self.change(**{"backend": "Running", "logins": {}, **state})

    @property
    def state(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "state.json").read_text()))

    @property
    def routes(self) -> dict[str, Any]:
        return dict(self.state.get("routes", {}))

    @property
    def calls(self) -> list[list[str]]:
        file = self.home / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def change(self, **state: Any) -> None:
        file = self.home / "state.json"
        before = self.state if file.exists() else {}
        new = self.home / "state.new"
        new.write_text(json.dumps({**before, **state}))
        new.replace(file)


class LocalApi:
    """tailscaled's local API on a Unix socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logins: dict[str, str] = {}
        self.asked: list[str] = []
        self.hangs = asyncio.Event()
        self.hangs.set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        await self.hangs.wait()
        url = urlsplit(request.split()[1])
        address = parse_qs(url.query)["addr"][0]
        self.asked.append(address)
        login = self.logins.get(address)
        found = login is not None and url.path == "/localapi/v0/whois"
        body = (
            json.dumps({"UserProfile": {"LoginName": login}}) if found else "no match for IP:port"
        )
        status = "200 OK" if found else "404 Not Found"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        with contextlib.suppress(ConnectionError):
            writer.write((head + body).encode())
            await writer.drain()
        writer.close()


@asynccontextmanager
async def local_api(path: Path) -> AsyncIterator[LocalApi]:
    """Serve the local API until the block ends."""
    api = LocalApi(path)
    server = await asyncio.start_unix_server(api.answer, path)
    try:
        yield api
    finally:
        api.hangs.set()
        server.close()
        await server.wait_closed()
