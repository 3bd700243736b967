"""A whole gateway with a config file of its own, called as a door would call it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyjson5
import pytest

from portico.app import Gateway
from portico.config import load, resolve_paths
from portico.protocol.errors import GatewayError
from portico.rpc.call import Call
from tests.support.databases import sqlite_url
from tests.support.house import ALL_SCOPES, principal

TOKEN = "0123456789abcdef0123456789abcdef"
TEXT = f"""\
// Ann's settings
{{
  gateway: {{
    auth: {{ mode: "token", token: "{TOKEN}" }}, // nobody's business
    reload: {{ debounceMs: 20, trialMs: 2000, restartCooldownMs: 0 }},
  }},
  agents: {{
    defaults: {{ runtime: "echo" }},
    list: [
      {{ id: "main" }}, // the first
      {{ id: "ops", name: "Ops" }},
    ],
  }},
}}
"""


class Configured:
    """A running gateway and its file."""

    def __init__(self, gateway: Gateway, restarts: list[str]) -> None:
        self.gateway = gateway
        self.restarts = restarts

    async def __call__(self, method: str, /, **params: Any) -> Any:
        call = Call(principal(*ALL_SCOPES, subject="ann"))
        raw = msgspec.json.encode(params)
        result = await self.gateway.front.dispatcher.request(method, raw, call)
        return msgspec.json.decode(msgspec.json.encode(result))

    async def refused(self, method: str, /, **params: Any) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self(method, **params)
        return caught.value

    async def patch(self, patch: dict[str, Any], **params: Any) -> Any:
        return await self(
            "config.patch", raw=msgspec.json.encode(patch).decode(), baseHash=self.hash, **params
        )

    @property
    def hash(self) -> str:
        return load(self.gateway.ground.live.loaded.paths, env={}).hash or ""

    @property
    def path(self) -> Path:
        return self.gateway.ground.live.loaded.paths.config_file

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def tree(self) -> dict[str, Any]:
        return dict(pyjson5.decode(self.text))


@asynccontextmanager
async def configured(
    folder: Path, text: str = TEXT, env: dict[str, str] | None = None
) -> AsyncIterator[Configured]:
    """Start a gateway on a folder; the file is written when there is none."""
    paths = resolve_paths(env={"HOME": str(folder)}, state_dir=folder / "state")
    sqlite_url(paths.state_dir)
    if not paths.config_file.exists():
        paths.config_file.write_text(text)
    restarts: list[str] = []
    given = env or {}
    gateway = Gateway(load(paths, env=given), env=given, request_restart=restarts.append)
    await gateway.start()
    gateway.open()
    try:
        yield Configured(gateway, restarts)
    finally:
        await gateway.shut_down()
        await gateway.stop()
