"""Nodes with a screen, a camera and a place, played by the published client: what our tools make
of the answers and errors that OpenClaw's apps give.

Source: OpenClaw documentation, "Camera capture", "Location command", "Node device commands".
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import GatewayProcess, Operator, Refused
from tests.e2e.node_client import INSTALLED, NodeClient
from tests.fakes.provider import FakeProvider, Say
from tests.support.pages import png

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(
        not INSTALLED.exists() and "PORTICO_REQUIRE_CLIENTS" not in os.environ,
        reason="the JavaScript client is not installed: `make e2e` or `make test` does it",
    ),
]
PNG = base64.b64encode(png()).decode()
MP4 = base64.b64encode(b"\0\0\0\x18ftypmp42" + b"\0" * 64).decode()
SNAP = {"format": "png", "base64": PNG, "width": 1, "height": 1}
CLIP = {"format": "mp4", "base64": MP4, "durationMs": 3000, "hasAudio": True}
FIX = {
    "lat": 48.20849,
    "lon": 16.37208,
    "accuracyMeters": 12.5,
    "altitudeMeters": 182.0,
    "speedMps": 0.0,
    "headingDeg": 270.0,
    "timestamp": "2026-01-03T12:34:56.000Z",
    "isPrecise": True,
    "source": "gps",
}
CANVAS = tuple(
    f"canvas.{name}"
    for name in ("present", "hide", "navigate", "eval", "snapshot", "a2ui.pushJSONL", "a2ui.reset")
)
SEES = ("camera.list", "camera.snap", "camera.clip", "screen.record", "location.get")
MAC: dict[str, Any] = {
    "clientName": "openclaw-macos",
    "platform": "macOS 26.1.0",
    "deviceFamily": "Mac",
    "caps": ["canvas", "camera", "screen", "location"],
    "commands": [*CANVAS, *SEES],
}
IPHONE: dict[str, Any] = {
    "clientName": "openclaw-ios",
    "platform": "iOS 26.1.0",
    "deviceFamily": "iPhone",
    "caps": ["camera", "screen", "location"],
    "commands": [*SEES],
}
CONFIG: dict[str, Any] = {
    "gateway": {
        "auth": {"mode": "token", "token": "a-token-of-the-screen-test-0123456789"},
        "nodes": {"commands": {"allow": ["camera.snap", "camera.clip", "screen.record"]}},
    }
}


class App:
    """An app of OpenClaw: the published client, answering what the test says."""

    def __init__(self, gateway: GatewayProcess, operator: Operator, **options: Any) -> None:
        self._client = NodeClient()
        self._seen = 0
        node = {"role": "node", "mode": "node", "scopes": [], **options}
        self._client.start(gateway.ws_url, gateway.token, withDevice=True, **node)
        self._client.wait("hello")
        (asking,) = operator.call("node.pair.list")["pending"]
        self.node_id: str = asking["nodeId"]
        operator.call("node.pair.approve", requestId=asking["requestId"])

    def answer(self, said: Any) -> tuple[str, Any]:
        """Answer the next command, a text with this error; return it and its parameters."""
        report = self._client.wait("event", _is_request, since=self._seen)
        self._seen = self._client.reports.index(report) + 1
        request = report["payload"]
        given: dict[str, Any] = {"id": request["id"], "nodeId": request["nodeId"]}
        if isinstance(said, str):
            given |= {"ok": False, "error": {"code": said, "message": f"{said}: not now"}}
        else:
            given |= {"ok": True, "payloadJSON": json.dumps(said)}
        assert self._client.call("node.invoke.result", given) == {"ok": True}
        return request["command"], json.loads(request["paramsJSON"] or "{}")

    def call(self, method: str, params: Any = None) -> Any:
        return self._client.call(method, params)

    def close(self) -> None:
        self._client.close()


def _is_request(report: dict[str, Any]) -> bool:
    return bool(report["event"] == "node.invoke.request")


class Table:
    """An operator who calls the tools of agents, and an app."""

    def __init__(self, gateway: GatewayProcess, **app: Any) -> None:
        self.operator = Operator(gateway)
        self.app = App(gateway, self.operator, **app)

    def close(self) -> None:
        self.app.close()
        self.operator.close()

    def use(self, tool: str, said: Any, **args: Any) -> tuple[Any, str, Any]:
        """Call a tool while the app answers; return what it says, and what the app was asked."""
        given = {"node": self.app.node_id, **args}
        calling = self.operator.send("tools.invoke", name=tool, args=given)
        command, params = self.app.answer(said)
        return self.operator.answer(calling), command, params


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    running = GatewayProcess(tmp_path_factory.mktemp("screens"), config=CONFIG).start()
    yield running
    assert running.stop() == 0
    assert running.tracebacks() == []


@pytest.fixture
def table(shared: GatewayProcess) -> Iterator[Callable[..., Table]]:
    tables: list[Table] = []

    def sit(**app: Any) -> Table:
        tables.append(Table(shared, **app))
        return tables[-1]

    yield sit
    for one in tables:
        one.close()


def test_a_mac_shows_what_an_agent_draws(table: Callable[..., Table]) -> None:
    mac = table(**MAC)
    write = {"action": "write", "content": "<p>drawn</p>"}
    assert mac.operator.call("tools.invoke", name="canvas", args=write)["ok"]
    shown, command, params = mac.use("canvas", {"ok": True}, action="present")
    assert shown["output"]["details"] == {"node": mac.app.node_id, "shown": "index.html"}
    assert command == "canvas.present"
    assert "<p>drawn</p>" in httpx2.get(params["url"]).text  # what the Mac would load
    _, command, params = mac.use("canvas", None, action="navigate", url="https://example.org/")
    assert (command, params) == ("canvas.navigate", {"url": "https://example.org/"})
    _, command, params = mac.use("canvas", None, action="hide")
    assert (command, params) == ("canvas.hide", {})
    said, command, params = mac.use("canvas", {"result": "42"}, action="eval", javaScript="6*7")
    assert said["output"]["details"]["result"] == "42"
    assert (command, params) == ("canvas.eval", {"javaScript": "6*7"})
    shot = {"format": "png", "base64": PNG}
    said, command, _ = mac.use("canvas", shot, action="snapshot", format="png")
    assert command == "canvas.snapshot"
    assert {"type": "image", "data": PNG, "mimeType": "image/png"} in said["output"]["content"]
    line = json.dumps({"beginRendering": {"surfaceId": "main", "root": "r"}})
    _, command, params = mac.use("canvas", {"ok": True}, action="a2ui_push", jsonl=line)
    assert (command, params) == ("canvas.a2ui.pushJSONL", {"jsonl": line})
    assert mac.use("canvas", {"ok": True}, action="a2ui_reset")[1] == "canvas.a2ui.reset"


def test_what_an_app_sees(table: Callable[..., Table]) -> None:
    mac = table(**MAC)
    devices = {"devices": [{"id": "c1", "name": "FaceTime", "position": "front"}]}
    said, command, _ = mac.use("nodes", devices, action="camera_list")
    assert (command, said["output"]["details"]) == ("camera.list", devices)
    wish = {"facing": "front", "maxWidth": 800}
    said, command, params = mac.use("nodes", SNAP, action="camera_snap", params=wish)
    assert (command, params) == ("camera.snap", wish)
    assert said["output"]["details"] == {"format": "png", "width": 1, "height": 1}
    assert {"type": "image", "data": PNG, "mimeType": "image/png"} in said["output"]["content"]
    for action, name in (("camera_clip", "camera.clip"), ("screen_record", "screen.record")):
        said, command, _ = mac.use("nodes", CLIP, action=action, params={"durationMs": 3000})
        assert command == name
        assert said["output"]["details"] == {"format": "mp4", "durationMs": 3000, "hasAudio": True}
    said, command, _ = mac.use("nodes", FIX, action="location_get")
    assert (command, said["output"]["details"]) == ("location.get", FIX)
    torn = {"format": "jpg", "base64": "%%%"}
    said, _, _ = mac.use("nodes", torn, action="camera_snap")
    assert said["error"]["message"] == "the node sent a damaged file"


def test_what_an_iphone_refuses(table: Callable[..., Table]) -> None:
    phone = table(**IPHONE)
    for action, code in (
        ("camera_snap", "NODE_BACKGROUND_UNAVAILABLE"),
        ("camera_snap", "CAMERA_DISABLED"),
        ("camera_clip", "MIC_PERMISSION_REQUIRED"),
        ("location_get", "LOCATION_BACKGROUND_UNAVAILABLE"),
    ):
        said, _, _ = phone.use("nodes", code, action=action)
        assert said["ok"] is False
        assert said["error"]["message"] == f"{code}: not now"
    snap = {"nodeId": phone.app.node_id, "command": "camera.snap", "idempotencyKey": "k"}
    asked = phone.operator.send("node.invoke", **snap)
    phone.app.answer("NODE_BACKGROUND_UNAVAILABLE")
    with pytest.raises(Refused) as queued:
        phone.operator.answer(asked)
    assert queued.value.error["details"]["code"] == "QUEUED_UNTIL_FOREGROUND"
    (action,) = phone.app.call("node.pending.pull")["actions"]  # of the agent's nothing waits
    assert action["id"] == queued.value.error["details"]["queuedActionId"]
    assert phone.app.call("node.pending.ack", {"ids": [action["id"]]})["remainingCount"] == 0


async def test_a_model_sees_the_picture(start_gateway: StartGateway) -> None:
    """A turn: the model takes a picture with a phone, and is shown it; the chat follows."""
    async with FakeProvider() as provider:
        provider.plan(Say(calls=(("nodes", '{"action": "camera_snap"}'),)), Say("A red dot."))
        model = {"id": "m", "input": ["text", "image"]}
        lab = {"baseUrl": provider.url, "apiKey": "sk-lab", "models": [model]}
        config = {
            **CONFIG,
            "agents": {"defaults": {"model": "lab/m"}},
            "models": {"providers": {"lab": lab}},
        }
        gateway = await asyncio.to_thread(start_gateway, config)
        final = await asyncio.to_thread(_ask_for_a_picture, gateway)
        assert final["message"]["content"][0]["text"] == "A red dot."
        assert f"data:image/png;base64,{PNG}" in json.dumps(provider.requests[-1]["messages"])


def _ask_for_a_picture(gateway: GatewayProcess) -> dict[str, Any]:
    with Operator(gateway) as operator:
        app = App(gateway, operator, **IPHONE)
        try:
            sent = {"sessionKey": "main", "message": "What do you see?", "idempotencyKey": "see"}
            operator.call("chat.send", **sent)
            assert app.answer(SNAP)[0] == "camera.snap"
            return operator.wait_event("chat", runId="see", state="final")
        finally:
            app.close()
