"""Devices and pairing at a real gateway: every answer and event as published, over restarts."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from portico.devices.setup_code import decode
from tests.e2e.comers import BEHIND_A_PROXY, NODE, comes
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import GatewayProcess, Operator, Refused, http
from tests.fakes.control_plane import Device
from tests.published import needs_schema, problems

EVENTS = {
    "device.pair.requested": "DevicePairRequestedEvent",
    "device.pair.resolved": "DevicePairResolvedEvent",
    "device.pair.setup.completed": "DevicePairSetupCompletedEvent",
}


@pytest.fixture
def gateway(start_gateway: StartGateway) -> GatewayProcess:
    return start_gateway(BEHIND_A_PROXY)


class Phone:
    """A device that stays connected with its token."""

    def __init__(self, gateway: GatewayProcess, device: Device, scopes: list[str]) -> None:
        issued = comes(gateway, device, is_local=True, scopes=scopes)["payload"]["auth"]
        self._open = ExitStack()
        self.socket: ClientConnection = self._open.enter_context(
            connect(gateway.ws_url, open_timeout=30)
        )
        nonce = json.loads(self.socket.recv(timeout=30))["payload"]["nonce"]
        auth = {"deviceToken": issued["deviceToken"]}
        self.call("connect", device.params(nonce, auth=auth, scopes=scopes))

    def call(self, method: str, params: dict[str, Any]) -> Any:
        frame = {"type": "req", "id": method, "method": method, "params": params}
        self.socket.send(json.dumps(frame))
        while True:
            answer = json.loads(self.socket.recv(timeout=30))
            if answer.get("id") == method:
                assert answer["ok"], answer
                return answer["payload"]

    def closed(self) -> tuple[int | None, str | None]:
        with suppress(WebSocketException):
            for _ in self.socket:
                continue
        self._open.close()
        return self.socket.close_code, self.socket.close_reason


@pytest.mark.node
@needs_schema
def test_everything_as_published(gateway: GatewayProcess) -> None:
    # `Operator` holds every answer to what is published for its method.
    with Operator(gateway) as owner:
        asked = comes(gateway, Device(), name="Phone", scopes=["operator.read"])["error"]
        owner.call("device.pair.approve", requestId=asked["details"]["requestId"])
        asked = comes(gateway, Device(), scopes=[])["error"]
        owner.call("device.pair.reject", requestId=asked["details"]["requestId"])
        with pytest.raises(Refused, match="unknown requestId"):
            owner.call("device.pair.reject", requestId=asked["details"]["requestId"])

        made = owner.call("device.pair.setupCode", publicUrl=gateway.url)
        assert owner.call("device.pair.setupStatus", setupId=made["setupId"]) == {}
        token = decode(made["setupCode"], now_ms=0).bootstrap_token
        device = Device()
        came = comes(
            gateway, device, client=NODE, role="node", scopes=[], auth={"bootstrapToken": token}
        )
        assert came["ok"], came
        assert problems("HelloOk", _listed(came["payload"])) == []
        done = owner.wait_event("device.pair.setup.completed", setupId=made["setupId"])
        status = owner.call("device.pair.setupStatus", setupId=made["setupId"])
        assert status == {"completion": done}

        owner.call("device.pair.rename", deviceId=device.id, label="Attic")
        owner.call("device.token.rotate", deviceId=device.id, role="node")
        owner.call("device.token.revoke", deviceId=device.id, role="node")
        owner.call("device.pair.remove", deviceId=device.id)
        wrong = [
            problem
            for event in owner.events
            if event["event"] in EVENTS
            for problem in problems(EVENTS[event["event"]], event["payload"])
        ]
        assert wrong == []
        seen = {event["event"] for event in owner.events}
        assert {*EVENTS, "device.pair.changed"} <= seen


@pytest.mark.node
@needs_schema
def test_a_scope_upgrade_as_published(gateway: GatewayProcess) -> None:
    device, scopes = Device(), ["operator.read", "operator.write"]
    phone = Phone(gateway, device, ["operator.read"])
    request = phone.call("device.scopes.requestUpgrade", {"scopes": scopes})
    assert problems("ScopeUpgradeRegistration", request) == []
    decided: list[Any] = []
    waiting = threading.Thread(
        target=lambda: decided.append(phone.call("device.scopes.waitUpgrade", request))
    )
    waiting.start()
    with Operator(gateway) as owner:
        owner.call("device.pair.approve", **request)
    waiting.join(30)
    assert problems("ScopeUpgradeResult", decided[0]) == []
    auth = {"deviceToken": decided[0]["deviceToken"]}
    assert comes(gateway, device, auth=auth, scopes=scopes)["payload"]["auth"]["scopes"] == scopes
    with Operator(gateway) as owner:
        owner.call("device.pair.remove", deviceId=device.id)
    assert phone.closed() == (4001, "device removed")


def test_what_was_decided_outlives_a_kill(gateway: GatewayProcess) -> None:
    paired, waiting = Device(), Device()
    issued = comes(gateway, paired, is_local=True, scopes=["operator.read"])["payload"]["auth"]
    asked = comes(gateway, waiting, scopes=["operator.read"])["error"]["details"]
    gateway.kill()
    gateway.start()
    auth = {"deviceToken": issued["deviceToken"]}
    assert comes(gateway, paired, auth=auth, scopes=["operator.read"])["ok"]
    with Operator(gateway) as owner:
        owner.call("device.pair.approve", requestId=asked["requestId"])
        assert comes(gateway, waiting, scopes=["operator.read"])["ok"]
        owner.call("device.token.revoke", deviceId=paired.id, role="operator")
    gateway.kill()
    gateway.start()
    assert not comes(gateway, paired, auth=auth, scopes=["operator.read"])["ok"]


def _listed(hello: dict[str, Any]) -> dict[str, Any]:
    auth = {name: value for name, value in hello["auth"].items() if name != "method"}
    return {**hello, "auth": auth}


def test_a_link_gives_its_code_once(gateway: GatewayProcess) -> None:
    with Operator(gateway) as owner, http(gateway) as anybody:
        made = owner.call("device.pair.setupCode", publicUrl=gateway.url, joinUrl=True)
        assert made["access"] == "node"
        assert made["joinUrl"].startswith(f"{gateway.url}/j/")
        assert anybody.get(f"{made['joinUrl']}?again").status_code == 404
        given = anybody.get(made["joinUrl"])
        assert given.headers["cache-control"] == "no-store"
        code = decode(made["setupCode"], now_ms=0)
        assert given.json()["bootstrapToken"] == code.bootstrap_token
        assert given.json()["url"] == gateway.ws_url.rstrip("/")
        assert anybody.get(made["joinUrl"]).json() == {"error": "not_found"}
        for params in ({"bootstrapProfile": "limited"}, {"publicUrl": "ws://192.168.1.5"}):
            with pytest.raises(Refused, match="Join URLs require"):
                owner.call("device.pair.setupCode", joinUrl=True, **params)
        for _ in range(10):
            anybody.get("/j/guess")
        assert anybody.get("/j/guess").status_code == 429
