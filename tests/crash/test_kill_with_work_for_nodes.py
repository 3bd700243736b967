"""Kill the gateway while something waits for a node: it waits on, is given once, and done once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import GatewayProcess, Operator, Refused
from tests.e2e.node_device import NodeDevice
from tests.fakes.control_plane import Device

ALLOWED = {"gateway": {"nodes": {"commands": {"allow": ["camera.snap"]}}}}
IPHONE = {
    "id": "openclaw-ios",
    "mode": "node",
    "version": "2026.9.6",
    "platform": "iOS 26.1.0",
    "deviceFamily": "iPhone",
}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    running = GatewayProcess(tmp_path / "state", config=ALLOWED).start()
    yield running
    running.stop()
    assert running.tracebacks() == []


def test_what_waits_outlives_the_gateway(gateway: GatewayProcess) -> None:
    device = Device()

    def phone() -> NodeDevice:
        return NodeDevice(gateway, "camera.snap", device=device, client=IPHONE, caps=["camera"])

    with Operator(gateway) as operator, phone() as node:
        request_id = operator.call("node.describe", nodeId=device.id)["pendingRequestId"]
        operator.call("node.pair.approve", requestId=request_id)
        snap: dict[str, Any] = {"nodeId": device.id, "command": "camera.snap"}
        asked = operator.send("node.invoke", **snap, params={"facing": "back"}, idempotencyKey="k")
        request = node.wait_event("node.invoke.request")["payload"]
        not_now = {"code": "NODE_BACKGROUND_UNAVAILABLE", "message": "command requires foreground"}
        node.answer(request, ok=False, error=not_now)
        with pytest.raises(Refused, match="queued until iOS returns") as queued:
            operator.answer(asked)
        action_id = queued.value.error["details"]["queuedActionId"]
        left = operator.call("node.pending.enqueue", nodeId=device.id, type="status.request")
    gateway.kill()
    gateway.start()
    with Operator(gateway) as operator, phone() as node:
        again = operator.call("node.pending.enqueue", nodeId=device.id, type="status.request")
        assert again["queued"] == left["queued"]
        assert node.call("node.pending.drain")["items"] == [left["queued"]]
        (action,) = node.call("node.pending.pull")["actions"]
        assert (action["id"], action["paramsJSON"]) == (action_id, '{"facing":"back"}')
    with phone() as node:  # it has not said that it is done: it is shown again
        assert node.call("node.pending.drain")["items"] == []
        assert node.call("node.pending.pull")["actions"] == [action]
        assert node.call("node.pending.ack", ids=[action_id])["ackedIds"] == [action_id]
    gateway.kill()
    gateway.start()
    with phone() as node:
        assert node.call("node.pending.pull")["actions"] == []
        assert node.call("node.pending.drain")["items"] == []
