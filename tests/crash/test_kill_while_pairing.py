"""Kill the gateway while a device comes with a setup code: it gets in, or nobody has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import WebSocketException

from portico.devices.setup_code import decode
from tests.e2e.comers import BEHIND_A_PROXY, NODE, comes
from tests.e2e.gateway import GatewayProcess, Operator
from tests.fakes.control_plane import Device


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    running = GatewayProcess(tmp_path / "state", config=BEHIND_A_PROXY).start()
    yield running
    running.stop()
    assert running.tracebacks() == []


def test_a_kill_while_a_code_is_used(gateway: GatewayProcess) -> None:
    """Whenever it dies, the device that used the code can come again, and no other can."""
    for after_ms in (0, 2, 4, 8, 16):
        with Operator(gateway) as owner:
            made = owner.call("device.pair.setupCode", publicUrl=gateway.url, includeQr=False)
        auth = {"bootstrapToken": decode(made["setupCode"], now_ms=0).bootstrap_token}
        first, second = Device(), Device()
        node: dict[str, Any] = {"client": NODE, "role": "node", "scopes": [], "auth": auth}
        came = _comes_unless_killed(gateway, first, after_ms, **node)
        gateway.start()
        with Operator(gateway) as owner:
            ids = {one["deviceId"] for one in owner.call("device.pair.list")["paired"]}
        assert second.id not in ids
        if came is not None:  # it was told: its own token is good
            own = {"deviceToken": came["payload"]["auth"]["deviceToken"]}
            assert comes(gateway, first, **{**node, "auth": own})["ok"]
            continue
        other = comes(gateway, second, **node)["ok"]
        assert other is (first.id not in ids), "two devices with one code, or none"
        if not other:
            assert comes(gateway, first, **node)["ok"]


def _comes_unless_killed(
    gateway: GatewayProcess, device: Device, after_ms: int, **changes: Any
) -> dict[str, Any] | None:
    killing = threading.Timer(after_ms / 1000, gateway.kill)
    killing.start()
    try:
        return comes(gateway, device, **changes)
    except (WebSocketException, OSError, EOFError):
        return None
    finally:
        killing.join()
