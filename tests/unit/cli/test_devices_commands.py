"""`portico devices` and `portico qr`, against a small real gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from PIL import Image

from portico.cli.commands.qr import drawn
from tests.fakes.gateway import TOKEN, FakeGateway, running_gateway

PENDING = [
    {
        "requestId": f"pair_{letter}",
        "deviceId": letter * 64,
        "displayName": f"Phone {letter}",
        "role": "operator",
        "scopes": ["operator.read"],
        "remoteIp": "192.0.2.1",
        "ts": 1,
    }
    for letter in "ab"
]
PAIRED = [
    {
        "deviceId": "c" * 64,
        "label": "Desk",
        "displayName": "Laptop",
        "approvedVia": "owner",
        "connected": True,
        "lastSeenAtMs": 1,
        "tokens": [
            {"role": "operator", "scopes": ["operator.read"]},
            {"role": "node", "scopes": [], "revokedAtMs": 2},
        ],
    },
    {"deviceId": "cd" * 32, "approvedVia": "silent", "connected": False, "tokens": []},
]
MADE = {
    "setupId": "s",
    "setupCode": "eyJ1cmwiOiJ3czovL3gifQ",
    "gatewayUrl": "ws://192.168.1.5:18789",
    "urlSource": "gateway.bind=lan",
    "access": "limited",
    "accessDowngraded": True,
    "expiresAtMs": 4_000_000_000_000,
    "auth": "token",
}


@pytest.fixture
async def gateway(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    answers: dict[str, Any] = {
        "device.pair.list": {"pending": PENDING, "paired": PAIRED},
        "device.pair.approve": {"requestId": "pair_b", "device": {}},
        "device.pair.reject": {"requestId": "pair_a", "deviceId": "a" * 64},
        "device.pair.remove": {"deviceId": "c" * 64},
        "device.pair.rename": {"deviceId": "c" * 64, "label": "New"},
        "device.token.rotate": {"role": "operator", "scopes": ["operator.read"], "token": "tok"},
        "device.token.revoke": {"role": "operator", "revokedAtMs": 3},
        "device.pair.setupCode": MADE,
    }
    async with running_gateway(answers=answers, methods={}) as fake:
        monkeypatch.setenv("PORTICO_GATEWAY_URL", fake.url)
        monkeypatch.setenv("PORTICO_GATEWAY_TOKEN", TOKEN)
        yield fake


@pytest.fixture
def portico(gateway, portico_async):
    return portico_async


async def test_who_asks_and_who_is_paired(gateway, portico) -> None:
    shown = await portico("devices", "list")
    assert "pair_a\taaaaaaaaaaaa\tPhone a\toperator: read\t192.0.2.1\t" in shown.out
    assert "cccccccccccc\tDesk\toperator: read\towner\tyes\t" in shown.out
    assert (await portico("devices", "list", "--json")).json["paired"] == PAIRED
    gateway.answers["device.pair.list"] = {"pending": [], "paired": []}
    assert "portico qr" in (await portico("devices", "list")).out


@pytest.mark.parametrize(
    ("words", "method", "params", "said"),
    [
        (
            ("approve", "pair_a"),
            "device.pair.approve",
            {"requestId": "pair_a"},
            "Approved: Phone a",
        ),
        (("approve", "bbb"), "device.pair.approve", {"requestId": "pair_b"}, "Approved: Phone b"),
        (("approve", "--latest"), "device.pair.approve", {"requestId": "pair_b"}, "Phone b"),
        (("reject", "pair_a"), "device.pair.reject", {"requestId": "pair_a"}, "Rejected: Phone a"),
        (("remove", "Desk"), "device.pair.remove", {"deviceId": "c" * 64}, "Removed: Desk"),
        (
            ("rename", "ccc", "New"),
            "device.pair.rename",
            {"deviceId": "c" * 64, "label": "New"},
            "Desk is New",
        ),
        (
            ("rotate", "Laptop", "--scope", "operator.read"),
            "device.token.rotate",
            {"deviceId": "c" * 64, "role": "operator", "scopes": ["operator.read"]},
            "tok",
        ),
        (
            ("revoke", "cdcd", "--role", "node"),
            "device.token.revoke",
            {"deviceId": "cd" * 32, "role": "node"},
            "is no node any more",
        ),
    ],
)
async def test_changes(gateway, portico, words, method, params, said) -> None:
    shown = await portico("devices", *words)
    assert (shown.code, gateway.called(method)) == (0, [params])
    assert said in shown.out
    assert (await portico("devices", *words, "--json")).json == gateway.answers[method]


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("approve",), "usage.request", 2),
        (("approve", "pair_a", "--latest"), "usage.request", 2),
        (("approve", "pair_x"), "device.unknown", 5),
        (("remove", "c"), "device.ambiguous", 5),
        (("remove", "nobody"), "device.unknown", 5),
    ],
)
async def test_who_is_meant(portico, words, code, exit_code) -> None:
    shown = await portico("devices", *words, "--json")
    assert (shown.code, shown.error["code"]) == (exit_code, code)


async def test_a_setup_code(gateway, portico) -> None:
    shown = await portico("qr", "--limited", "--public-url", "ws://192.168.1.5:18789")
    assert MADE["setupCode"] in shown.out
    assert "limited (full access needs wss://" in shown.out
    assert gateway.called("device.pair.setupCode")[0] == {
        "includeQr": False,
        "preferRemoteUrl": False,
        "bootstrapProfile": "limited",
        "publicUrl": "ws://192.168.1.5:18789",
    }
    assert (await portico("qr", "--code-only")).out == f"{MADE['setupCode']}\n"
    assert (await portico("qr", "--json")).json == MADE
    assert (await portico("qr", "--node", "--limited")).code == 2


def test_a_camera_reads_what_the_terminal_shows() -> None:
    rows = drawn("eyJ1cmwiOiJ3czovL3gifQ" * 8, for_terminal=False).splitlines()
    height, width = len(rows), max(map(len, rows)) // 2
    picture = Image.new("L", (width, height), 255)
    for y, row in enumerate(rows):
        for x, cell in enumerate(row[::2]):
            picture.putpixel((x, y), 0 if cell == "█" else 255)
    large = picture.resize((width * 6, height * 6), Image.Resampling.NEAREST)
    (found,) = zxingcpp.read_barcodes(large)
    assert found.text == "eyJ1cmwiOiJ3czovL3gifQ" * 8
    assert "\x1b[" in drawn("x", for_terminal=True) or "▀" in drawn("x", for_terminal=True)
