"""`portico system`: events, heartbeats, and who is here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gateway import TOKEN, FakeGateway, running_gateway

BEAT = {"ts": 1000, "status": "sent", "agentId": "main", "preview": "Wet.", "channel": "telegram"}
ANSWERS: dict[str, Any] = {
    "wake": {"ok": True},
    "last-heartbeat": BEAT,
    "set-heartbeats": {"ok": True, "enabled": False},
    "system-presence": [{"host": "here", "mode": "gateway", "ts": 1}],
}


@pytest.fixture
async def gateway(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    async with running_gateway(answers=dict(ANSWERS)) as fake:
        monkeypatch.setenv("PORTICO_GATEWAY_URL", fake.url)
        monkeypatch.setenv("PORTICO_GATEWAY_TOKEN", TOKEN)
        yield fake


async def test_events(gateway, portico_async) -> None:
    shown = await portico_async("system", "event", "--text", "hi", "--mode", "now")
    assert (shown.code, shown.out) == (0, "ok\n")
    await portico_async("system", "event", "--text", "hi", "--session-key", "agent:fox:main")
    assert gateway.called("wake") == [
        {"text": "hi", "mode": "now"},
        {"text": "hi", "mode": "next-heartbeat", "sessionKey": "agent:fox:main"},
    ]


async def test_an_event_nobody_is_told(gateway, portico_async) -> None:
    gateway.answers["wake"] = {"ok": False, "reason": "unwakeable-session-key"}
    shown = await portico_async("system", "event", "--text", "hi")
    assert shown.code == 5
    assert "unwakeable-session-key" in shown.err


async def test_heartbeats(gateway, portico_async) -> None:
    shown = await portico_async("system", "heartbeat", "last")
    assert "Wet." in shown.out
    assert (await portico_async("system", "heartbeat", "last", "--json")).json == BEAT
    assert (await portico_async("system", "heartbeat", "disable")).out == "heartbeats rest\n"
    assert gateway.called("set-heartbeats") == [{"enabled": False}]
    gateway.answers["last-heartbeat"] = None
    assert "no heartbeat yet" in (await portico_async("system", "heartbeat", "last")).out


async def test_presence(gateway, portico_async) -> None:
    assert "gateway" in (await portico_async("system", "presence")).out
    assert (await portico_async("system", "presence", "--json")).json[0]["host"] == "here"
