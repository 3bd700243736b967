"""The handshake on a real socket: every row of the protocol's tables."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus

from portico.auth.service import AuthSettings
from portico.web.control_plane import SocketLimits
from tests.fakes.control_plane import TOKEN, Device, connect_params, running_plane

pytestmark = pytest.mark.anyio
ORIGIN_TEXT = (
    "origin not allowed (open the Control UI from the gateway host"
    " or allow it in gateway.controlUi.allowedOrigins)"
)


async def test_challenge_comes_before_anything_is_said(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        payload = client.challenge["payload"]
        assert client.challenge["event"] == "connect.challenge"
        assert "seq" not in client.challenge
        assert len(payload["nonce"]) == 36
        assert isinstance(payload["ts"], int)


async def test_hello_has_everything_a_client_looks_for(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client:
        hello = client.hello
        assert hello["type"] == "hello-ok"
        assert hello["protocol"] == 4
        assert hello["server"]["controlUiBuildSource"] == "configured"
        assert hello["server"]["bootId"] == "boot"
        assert "test.echo" in hello["features"]["methods"]
        assert "tick" in hello["features"]["events"]
        assert hello["auth"]["method"] == "token"
        assert hello["auth"]["role"] == "operator"
        assert hello["auth"]["scopes"] == connect_params()["scopes"]
        assert hello["policy"] == {
            "maxPayload": 26_214_400,
            "maxBufferedBytes": 52_428_800,
            "tickIntervalMs": 30_000,
            "attachments": {"maxBytes": 20_971_520, "maxImageBytes": 6_291_456},
        }
        snapshot = hello["snapshot"]
        assert snapshot["presence"][0]["mode"] == "gateway"
        assert snapshot["suspension"] == {"phase": "accepting"}
        assert snapshot["stateVersion"].keys() == {"presence", "health"}
        assert snapshot["configPath"] == "/etc/portico.json"
        assert snapshot["authMode"] == "token"
        assert "resume" not in hello


async def test_paths_are_shown_to_administrators_only(tmp_path: Path):
    async with (
        running_plane(tmp_path) as plane,
        plane.client(scopes=["operator.read"]) as client,
    ):
        assert client.hello["auth"]["scopes"] == ["operator.read"]
        assert not {"configPath", "stateDir", "authMode"} & client.hello["snapshot"].keys()


def _client(**changes: str) -> dict[str, str]:
    return {
        "id": "gateway-client",
        "version": "1",
        "platform": "linux",
        "mode": "backend",
    } | changes


REFUSED = [
    pytest.param(
        {"client": _client(id="my-own-app")},
        "INVALID_REQUEST",
        "invalid connect params: at /client/id: must be equal to one of the allowed values",
        None,
        1008,
        id="bad client id",
    ),
    pytest.param(
        {"client": _client(mode="zzz")},
        "INVALID_REQUEST",
        "invalid connect params: at /client/mode: must be equal to one of the allowed values",
        None,
        1008,
        id="bad client mode",
    ),
    pytest.param(
        {"client": None},
        "INVALID_REQUEST",
        "invalid connect params: must have required property 'client'",
        None,
        1008,
        id="no client",
    ),
    pytest.param({"role": "king"}, "INVALID_REQUEST", "invalid role", None, 1008, id="bad role"),
    pytest.param(
        {"auth": {"token": "nope"}},
        "INVALID_REQUEST",
        "unauthorized: gateway token mismatch (provide gateway auth token)",
        {
            "code": "AUTH_TOKEN_MISMATCH",
            "authReason": "token_mismatch",
            "canRetryWithDeviceToken": False,
            "recommendedNextStep": "update_auth_credentials",
        },
        1008,
        id="bad token",
    ),
    pytest.param(
        {"auth": None},
        "NOT_PAIRED",
        "device identity required",
        {"code": "DEVICE_IDENTITY_REQUIRED"},
        1008,
        id="no auth",
    ),
    pytest.param(
        {"client": _client(id="node-host", mode="node"), "role": "node"},
        "NOT_PAIRED",
        "device identity required",
        {"code": "DEVICE_IDENTITY_REQUIRED"},
        1008,
        id="node without device",
    ),
    pytest.param(
        {"client": _client(id="webchat-ui", mode="webchat", platform="web")},
        "INVALID_REQUEST",
        ORIGIN_TEXT,
        {"code": "CONTROL_UI_ORIGIN_NOT_ALLOWED", "reason": "origin missing or invalid"},
        1008,
        id="webchat without origin",
    ),
    *(
        pytest.param(
            {"minProtocol": low, "maxProtocol": high},
            "INVALID_REQUEST",
            "protocol mismatch",
            {
                "code": "PROTOCOL_MISMATCH",
                "clientMinProtocol": low,
                "clientMaxProtocol": high,
                "expectedProtocol": 4,
                "minimumProbeProtocol": 3,
            },
            1002,
            id=f"protocol {low} to {high}",
        )
        for low, high in ((5, 6), (1, 2), (3, 3))
    ),
]


@pytest.mark.parametrize(("changes", "code", "message", "details", "close"), REFUSED)
async def test_refused_connect(tmp_path: Path, changes, code, message, details, close):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        answer = await client.connect(**changes)
        assert answer["id"] == "r1"
        assert answer["ok"] is False
        assert answer["error"]["code"] == code
        assert answer["error"]["message"] == message
        assert answer["error"].get("details") == details
        assert await client.closed() == (close, message)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"type": "req", "id": "1", "method": "connect"}, "must be object"),
        (
            {"type": "req", "id": "1", "method": "connect", "params": {}},
            "must have required property 'minProtocol'",
        ),
    ],
)
async def test_connect_with_hardly_any_params(tmp_path: Path, frame, message):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        await client.send(frame)
        text = f"invalid connect params: {message}"
        assert (await client.receive())["error"]["message"] == text
        assert await client.closed() == (1008, text)


@pytest.mark.parametrize(
    ("frame", "close"),
    [
        ("this is not json", (1000, "")),
        ({"hello": 1}, (1008, "invalid request frame")),
        ("[]", (1008, "invalid request frame")),
        ({"type": "req", "id": "", "method": "connect"}, (1008, "invalid request frame")),
    ],
)
async def test_first_frame_that_is_no_request_closes_without_an_answer(
    tmp_path: Path, frame, close
):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        await client.send(frame)
        assert await client.closed() == close


async def test_first_request_must_be_connect(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        answer = await client.request("health", {}, id_="1")
        text = "invalid handshake: first request must be connect"
        assert answer["error"] == {"code": "INVALID_REQUEST", "message": text}
        assert await client.closed() == (1008, text)


async def test_worker_is_sent_away(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        client_ = _client(id="openclaw-worker", mode="worker")
        await client.send(
            {
                "type": "req",
                "id": "1",
                "method": "connect",
                "params": connect_params(client=client_, role="worker"),
            }
        )
        assert await client.closed() == (1008, "invalid-handshake")


async def test_probe_and_node_may_speak_protocol_3(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        async with plane.socket() as probe:
            answer = await probe.connect(
                client=_client(id="openclaw-probe", mode="probe"), minProtocol=3, maxProtocol=3
            )
            assert answer["ok"]
        async with plane.socket() as node:
            params = Device().params(
                node.nonce,
                client=_client(id="node-host", mode="node"),
                role="node",
                scopes=[],
                minProtocol=3,
                maxProtocol=3,
            )
            answer = await node.request("connect", params)
            assert answer["payload"]["auth"]["role"] == "node"
            assert answer["payload"]["auth"]["scopes"] == []
            assert answer["payload"]["auth"]["deviceToken"]


async def test_connect_in_a_binary_frame(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        frame = {"type": "req", "id": "1", "method": "connect", "params": connect_params()}
        await client.send(json.dumps(frame).encode())
        assert (await client.receive())["payload"]["type"] == "hello-ok"


@pytest.mark.parametrize(
    ("client", "kept"),
    [
        (_client(), True),
        (_client(id="cli", mode="cli"), True),
        (_client(id="test", mode="test"), False),
        (_client(id="openclaw-tui", mode="ui"), False),
    ],
)
async def test_client_without_device_keeps_its_scopes_only_if_known_and_local(
    tmp_path: Path, client, kept
):
    scopes = ["operator.read", "operator.write"]
    async with (
        running_plane(tmp_path) as plane,
        plane.client(client=client, scopes=scopes) as connected,
    ):
        assert connected.hello["auth"]["scopes"] == (scopes if kept else [])


async def test_behind_a_proxy_nobody_is_local(tmp_path: Path):
    async with (
        running_plane(tmp_path) as plane,
        plane.socket(additional_headers={"X-Forwarded-For": "203.0.113.9"}) as client,
    ):
        assert (await client.connect())["payload"]["auth"]["scopes"] == []


async def test_scopes_header_caps_what_a_connection_gets(tmp_path: Path):
    async with (
        running_plane(tmp_path) as plane,
        plane.socket(additional_headers={"x-openclaw-scopes": "operator.read"}) as client,
    ):
        assert (await client.connect())["payload"]["auth"]["scopes"] == ["operator.read"]


async def test_page_from_elsewhere_is_refused(tmp_path: Path):
    async with (
        running_plane(tmp_path) as plane,
        plane.socket(origin="http://evil.example") as client,
    ):
        answer = await client.connect()
        assert answer["error"]["details"]["reason"] == "origin not allowed"
        assert await client.closed() == (1008, ORIGIN_TEXT)


async def test_page_from_an_allowed_origin_connects(tmp_path: Path):
    auth = AuthSettings(token=TOKEN, allowed_origins=("https://chat.example/",))
    async with (
        running_plane(tmp_path, auth=auth) as plane,
        plane.socket(origin="https://chat.example") as client,
    ):
        assert (await client.connect(client=_client(id="webchat", mode="webchat")))["ok"]


async def test_control_ui_needs_a_device(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        origin = f"http://127.0.0.1:{plane.port}"
        async with plane.socket(origin=origin) as client:
            page = _client(id="openclaw-control-ui", mode="webchat")
            answer = await client.connect(client=page)
            details = answer["error"]["details"]
            assert details == {"code": "CONTROL_UI_DEVICE_IDENTITY_REQUIRED"}
        async with plane.socket(origin=origin) as client:
            answer = await client.request("connect", Device().params(client.nonce, client=page))
            assert answer["payload"]["auth"]["deviceToken"]


async def test_token_in_the_url_is_accepted(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.socket(f"?token={TOKEN}") as client:
        assert (await client.connect(auth=None))["ok"]


async def test_no_secret_gets_into_the_log(tmp_path: Path):
    with capture_logs() as logs:
        async with running_plane(tmp_path) as plane:
            async with plane.socket("?token=planted-in-the-url") as client:
                await client.connect(auth={"token": "planted-in-params", "password": "planted"})
            async with plane.client():
                pass
    assert [entry["event"] for entry in logs] == ["ws.refused", "ws.admitted", "ws.closed"]
    assert "planted" not in str(logs)
    assert TOKEN not in str(logs)


async def test_clients_behind_a_trusted_proxy_are_counted_one_by_one(tmp_path: Path):
    limits = SocketLimits(max_preauth_connections_per_ip=1)
    auth = AuthSettings(token=TOKEN, trusted_proxies=("127.0.0.0/8",))
    async with running_plane(tmp_path, limits=limits, auth=auth) as plane:
        first, second = ({"X-Forwarded-For": f"203.0.113.{n}"} for n in (1, 2))
        async with (
            plane.socket(additional_headers=first),
            plane.socket(additional_headers=second),
        ):
            with pytest.raises(InvalidStatus):
                async with plane.socket(additional_headers=first):
                    pass


async def test_password_mode(tmp_path: Path):
    auth = AuthSettings(mode="password", password="open sesame")
    async with running_plane(tmp_path, auth=auth) as plane:
        async with plane.client(auth={"password": "open sesame"}) as client:
            assert client.hello["auth"]["method"] == "password"
        async with plane.socket() as client:
            answer = await client.connect(auth={"password": "x"})
            text = "unauthorized: gateway password mismatch (provide gateway auth password)"
            assert answer["error"]["message"] == text


async def test_mode_none_lets_local_clients_in(tmp_path: Path):
    auth = AuthSettings(mode="none")
    async with running_plane(tmp_path, auth=auth) as plane, plane.client(auth=None) as client:
        assert client.hello["auth"]["method"] == "none"
        assert "operator.admin" in client.hello["auth"]["scopes"]


# --- limits ------------------------------------------------------------------------------------


async def test_frame_too_large_before_connect(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        await client.send(json.dumps({"x": "a" * 70_000}))
        assert await client.closed() == (1009, "preauth payload too large")


async def test_frame_too_large_after_connect(tmp_path: Path):
    limits = SocketLimits(max_payload_bytes=100_000)
    async with running_plane(tmp_path, limits=limits) as plane, plane.client() as client:
        answer = await client.request("test.echo", {"text": "a" * 90_000})
        assert len(answer["payload"]["text"]) == 90_000
        await client.send(json.dumps({"x": "a" * 110_000}))
        assert (await client.closed())[0] == 1009


async def test_silent_client_is_closed(tmp_path: Path):
    limits = SocketLimits(handshake_timeout_ms=50)
    async with running_plane(tmp_path, limits=limits) as plane, plane.socket() as client:
        assert await client.closed() == (1000, "")


async def test_frames_sent_with_connect_wait_for_hello(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        connect = {"type": "req", "id": "c", "method": "connect", "params": connect_params()}
        await client.send(connect)
        for number in range(15):
            await client.send({"type": "req", "id": f"{number}", "method": "test.echo"})
        ids = [(await client.receive())["id"] for _ in range(16)]
        assert ids == ["c", *map(str, range(15))]


async def test_too_many_frames_before_hello(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.socket() as client:
        params = connect_params(auth={"token": "wrong"})  # its answer is held back 250 ms
        await client.send({"type": "req", "id": "c", "method": "connect", "params": params})
        for number in range(16):
            await client.send({"type": "req", "id": f"{number}", "method": "test.echo"})
        assert await client.closed() == (1008, "too many pending handshake frames")


async def test_too_many_connections_of_one_address(tmp_path: Path):
    limits = SocketLimits(max_preauth_connections_per_ip=2)
    async with (
        running_plane(tmp_path, limits=limits) as plane,
        plane.socket(),
        plane.socket() as second,
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with plane.socket():
                pass
        assert refused.value.response.status_code == 503
        await second.connect()
        async with plane.socket():  # one that is let in does not count any more
            pass


async def test_claimed_path_is_not_the_control_planes(tmp_path: Path):
    async with running_plane(tmp_path) as plane:
        with pytest.raises(InvalidStatus) as refused:
            async with plane.socket("claimed/x"):
                pass
        assert refused.value.response.status_code == 404
        async with plane.socket("any/other/path") as client:
            assert (await client.connect())["ok"]


async def test_nobody_connects_until_the_gateway_is_ready(tmp_path: Path):
    async with running_plane(tmp_path, is_open=False) as plane:
        async with plane.socket() as client:
            answer = await client.connect()
            assert answer["error"] == {
                "code": "UNAVAILABLE",
                "message": "gateway starting; retry shortly",
                "details": {"reason": "startup-sidecars"},
                "retryable": True,
                "retryAfterMs": 500,
            }
            assert await client.closed() == (1013, "gateway starting")
        plane.plane.open()
        async with plane.client() as client:
            assert client.hello


async def test_shutdown_is_announced_and_closes_everyone(tmp_path: Path):
    async with running_plane(tmp_path) as plane, plane.client() as client, plane.socket() as other:
        stopping = asyncio.create_task(plane.plane.shut_down(restart_expected_ms=1500))
        event = await client.event("shutdown")
        assert event["payload"] == {"reason": "gateway stopping", "restartExpectedMs": 1500}
        assert await client.closed() == (1012, "service restart")
        assert await other.closed() == (1012, "service restart")
        await stopping
        assert len(plane.plane) == 0
