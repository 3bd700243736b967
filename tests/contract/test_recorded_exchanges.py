"""The exchanges recorded from a real gateway, with ours: the same shapes, codes and order."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.contract import recorded
from tests.contract.shapes import misfits
from tests.e2e.comers import NODE, comes
from tests.e2e.gateway import GatewayProcess, Operator, Refused
from tests.fakes.control_plane import Device

SCOPES = ["operator.read", "operator.write"]
keys = itertools.count(1)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    running = GatewayProcess(tmp_path_factory.mktemp("recorded") / "state").start()
    yield running
    assert running.stop() == 0
    assert running.tracebacks() == []


@pytest.fixture
def operator(gateway: GatewayProcess) -> Iterator[Operator]:
    with Operator(gateway) as connected:
        yield connected


def run(operator: Operator, text: str, session: str) -> str:
    """Send a message and return its run."""
    key = f"recorded-{next(keys)}"
    accepted = operator.call("chat.send", sessionKey=session, message=text, idempotencyKey=key)
    assert misfits(recorded.STARTED, accepted) == []
    return key


def kind(frame: dict[str, Any]) -> str:
    payload = frame.get("payload") or {}
    words = [frame["event"], payload.get("state") or payload.get("stream")]
    if payload.get("stream") == "lifecycle":
        words.append(payload["data"].get("phase"))
    return ":".join(word for word in words if word)


def order(operator: Operator, run_id: str, event: str) -> str:
    """Return what happened in a run, as words: `status status delta final `."""
    frames = [
        frame
        for frame in operator.events
        if frame["event"] == event and frame["payload"].get("runId") == run_id
    ]
    return "".join(f"{kind(frame).partition(':')[2]} " for frame in frames)


def shapes_of_events(operator: Operator) -> dict[str, list[str]]:
    return {
        name: wrong
        for frame in operator.events
        if (name := kind(frame)) in recorded.EVENTS
        and (wrong := misfits(recorded.EVENTS[name], frame["payload"]))
    }


def test_hello(gateway: GatewayProcess) -> None:
    with Operator(gateway) as operator:
        assert misfits(recorded.HELLO, operator.hello) == []


def test_answers(gateway: GatewayProcess, operator: Operator) -> None:
    wrong = {}
    done = run(operator, "hello", recorded.SPOKEN)
    operator.wait_event("chat", runId=done, state="final")
    operator.call("agent.wait", runId=done)
    missing = {method for method, _, _ in recorded.ANSWERS}
    missing -= set(operator.hello["features"]["methods"])
    assert missing == set()
    for method, params, shape in recorded.ANSWERS:
        if found := misfits(shape, operator.call(method, **params)):
            wrong[f"{method} {params}"] = found
    assert wrong == {}


@pytest.mark.parametrize(("method", "params", "code", "text"), recorded.REFUSALS)
def test_refusals(
    operator: Operator, method: str, params: dict[str, Any], code: str, text: str
) -> None:
    with pytest.raises(Refused) as refused:
        operator.call(method, **params)
    assert (refused.value.error["code"], refused.value.error["message"]) == (code, text)
    assert operator.call("health")["ok"]


def test_an_answered_message(operator: Operator) -> None:
    done = run(operator, "/sim words=30 delay_ms=10", "agent:main:answered")
    operator.wait_event("chat", runId=done, state="final")
    operator.call("agent.wait", runId=done)
    assert re.fullmatch(recorded.ANSWERED["chat"], order(operator, done, "chat"))
    assert re.fullmatch(recorded.ANSWERED["agent"], order(operator, done, "agent"))
    assert shapes_of_events(operator) == {}


def test_an_aborted_message(operator: Operator) -> None:
    session = "agent:main:aborted"
    begun = run(operator, "/sim words=100 delay_ms=100", session)
    operator.wait_event("chat", runId=begun, state="delta")
    answer = operator.call("chat.abort", sessionKey=session, runId=begun)
    assert answer == {"ok": True, "aborted": True, "runIds": [begun]}
    operator.wait_event("chat", runId=begun, state="aborted")
    operator.call("agent.wait", runId=begun)
    assert re.fullmatch(recorded.ABORTED["chat"], order(operator, begun, "chat"))
    assert re.fullmatch(recorded.ABORTED["agent"], order(operator, begun, "agent"))
    assert shapes_of_events(operator) == {}


def test_an_agent_call_answers_twice(operator: Operator) -> None:
    request = operator.send(
        "agent", sessionKey="agent:main:twice", message="hello", idempotencyKey="recorded-twice"
    )
    assert misfits(recorded.RUN_ACCEPTED, operator.answer(request)) == []
    assert misfits(recorded.RUN_DONE, operator.answer(request)) == []
    assert re.fullmatch(recorded.ANSWERED["chat"], order(operator, "recorded-twice", "chat"))


def test_two_observers_see_the_same(gateway: GatewayProcess, operator: Operator) -> None:
    with Operator(gateway) as other:
        done = run(operator, "/sim words=10", "agent:main:observed")
        seen = []
        for one in (operator, other):
            one.wait_event("chat", runId=done, state="final")
            chat = [frame["payload"] for frame in one.events if frame["event"] == "chat"]
            seen.append([payload for payload in chat if payload["runId"] == done])
        assert seen[0] == seen[1]


def test_a_short_key_is_an_agents_own(operator: Operator) -> None:
    done = run(operator, "hello", "short")
    final = operator.wait_event("chat", runId=done, state="final")
    assert final["sessionKey"] == "agent:main:short"


def open_socket(gateway: GatewayProcess, **options: Any) -> ClientConnection:
    return connect(gateway.ws_url, open_timeout=30, **options)


def ask(socket: ClientConnection, frame: dict[str, Any] | str | bytes) -> dict[str, Any]:
    socket.send(json.dumps(frame) if isinstance(frame, dict) else frame)
    while True:
        answer: dict[str, Any] = json.loads(socket.recv(timeout=30))
        if answer["type"] == "res":
            return answer


def connect_frame(gateway: GatewayProcess, changes: dict[str, Any]) -> dict[str, Any]:
    params = {
        "minProtocol": 4,
        "maxProtocol": 4,
        "client": recorded.BACKEND,
        "role": "operator",
        "scopes": SCOPES,
        "caps": [],
        "auth": {"token": gateway.token},
    } | changes
    kept = {name: value for name, value in params.items() if value is not recorded.DROP}
    return {"type": "req", "id": "r1", "method": "connect", "params": kept}


@pytest.mark.parametrize("case", recorded.CONNECT_REFUSALS)
def test_refused_connects(gateway: GatewayProcess, case: str) -> None:
    changes, (close_code, code, detail, text) = recorded.CONNECT_REFUSALS[case]
    with open_socket(gateway) as socket:
        answer = ask(socket, connect_frame(gateway, changes))
        error = answer["error"]
        details = error.get("details") or {}
        assert (error["code"], details.get("code"), error["message"]) == (code, detail, text)
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
        assert (socket.close_code, socket.close_reason) == (close_code, text)


def test_a_page_of_another_site_is_refused(gateway: GatewayProcess) -> None:
    with open_socket(gateway, origin="https://elsewhere.example") as socket:
        error = ask(socket, connect_frame(gateway, {}))["error"]
        assert error["message"] == recorded.ORIGIN_TEXT
        assert error["details"] == {
            "code": "CONTROL_UI_ORIGIN_NOT_ALLOWED",
            "reason": "origin not allowed",
        }


@pytest.mark.parametrize("case", recorded.KEPT_SCOPES)
def test_scopes_without_a_device(gateway: GatewayProcess, case: str) -> None:
    client, scopes = recorded.KEPT_SCOPES[case]
    with open_socket(gateway) as socket:
        answer = ask(socket, connect_frame(gateway, {"client": client}))
        assert answer["payload"]["auth"]["scopes"] == scopes


@pytest.mark.parametrize(
    ("frame", "close_code", "reason"),
    [
        ('{"hello": 1}', 1008, "invalid request frame"),
        (
            '{"type": "req", "id": "1", "method": "health", "params": {}}',
            1008,
            "invalid handshake: first request must be connect",
        ),
        (
            '{"type": "req", "id": "1", "method": "connect"}',
            1008,
            "invalid connect params: must be object",
        ),
        (
            '{"type": "req", "id": "1", "method": "connect", "params": {}}',
            1008,
            "invalid connect params: must have required property 'minProtocol'",
        ),
        ("this is not json", 1000, ""),
        (f'{{"type": "req", "id": "1", "method": "connect", "x": "{"a" * 70_000}"}}', 1009, None),
    ],
)
def test_first_frames_that_end_a_connection(
    gateway: GatewayProcess, frame: str, close_code: int, reason: str | None
) -> None:
    with open_socket(gateway) as socket:
        socket.send(frame)
        socket.recv(timeout=30)  # the challenge
        with pytest.raises(ConnectionClosed):
            all(socket.recv(timeout=30) for _ in range(2))  # perhaps an answer, then the end
        assert socket.close_code == close_code
        assert reason is None or socket.close_reason == reason


@pytest.mark.parametrize(
    ("frame", "id_", "text"),
    [
        (
            '{"type": "event", "event": "x", "payload": {}}',
            "invalid",
            (
                "must have required property 'id'; at root: unexpected property 'event';"
                " at /type: must be equal to constant"
            ),
        ),
        (
            '{"a": 1}',
            "invalid",
            "must have required property 'type'; at root: unexpected property 'a'",
        ),
        ('{"type": "req", "id": "x"}', "x", "must have required property 'method'"),
        ('{"type": "req", "method": "health"}', "invalid", "must have required property 'id'"),
        ("[]", "invalid", "must be object"),
        ("7", "invalid", "must be object"),
        ("null", "invalid", "must be object"),
    ],
)
def test_later_frames_that_are_not_requests(
    gateway: GatewayProcess, frame: str, id_: str, text: str
) -> None:
    with open_socket(gateway) as socket:
        assert ask(socket, connect_frame(gateway, {}))["ok"]
        answer = ask(socket, frame)
        assert answer["id"] == id_
        assert answer["error"]["message"] == f"invalid request frame: {text}"
        assert ask(socket, {"type": "req", "id": "h", "method": "health"})["ok"]


def test_garbage_is_ignored_and_binary_frames_are_read(gateway: GatewayProcess) -> None:
    with open_socket(gateway) as socket:
        assert ask(socket, connect_frame(gateway, {}))["ok"]
        socket.send("garbage")
        answer = ask(socket, b'{"type": "req", "id": "b", "method": "health", "params": {}}')
        assert (answer["id"], answer["ok"]) == ("b", True)


def test_the_challenge(gateway: GatewayProcess) -> None:
    with open_socket(gateway) as socket:
        frame = json.loads(socket.recv(timeout=30))
    assert frame["event"] == "connect.challenge"
    assert misfits(recorded.CHALLENGE, frame["payload"]) == []
    assert "seq" not in frame


def test_a_device_comes_and_comes_back(gateway: GatewayProcess, operator: Operator) -> None:
    device, node = Device(), Device()
    first = comes(gateway, device, is_local=True)["payload"]["auth"]
    assert misfits(recorded.DEVICE_AUTH, first) == []
    again = comes(gateway, device, is_local=True)["payload"]["auth"]
    assert again == first
    as_node = comes(
        gateway,
        node,
        is_local=True,
        client={**NODE, "deviceFamily": "Linux"},
        role="node",
        scopes=[],
    )
    assert misfits(recorded.DEVICE_AUTH, as_node["payload"]["auth"]) == []
    paired = operator.call("device.pair.list")["paired"]
    assert {one["deviceId"] for one in paired} == {device.id, node.id}
    assert [found for one in paired if (found := misfits(recorded.PAIRED_DEVICE, one))] == []


@pytest.mark.parametrize("case", recorded.DEVICE_REFUSALS)
def test_a_device_that_proves_nothing(gateway: GatewayProcess, case: str) -> None:
    broken, code, reason, text = recorded.DEVICE_REFUSALS[case]
    error = comes(gateway, Device(), is_local=True, broken=broken)["error"]
    assert error == {
        "code": "INVALID_REQUEST",
        "message": text,
        "details": {"code": code, "reason": reason},
    }
