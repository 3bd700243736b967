"""The published JavaScript client of the protocol, unchanged, against a real gateway."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.gateway import GatewayProcess
from tests.e2e.node_client import INSTALLED, NodeClient

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(
        not INSTALLED.exists() and "PORTICO_REQUIRE_CLIENTS" not in os.environ,
        reason="the JavaScript client is not installed: `make e2e` or `make test` does it",
    ),
]
# What the client is allowed to do over a shared secret only with a device of its own.
OPERATOR = {"scopes": ["operator.admin", "operator.read", "operator.write"]}
SESSION = "agent:main:official"


@pytest.fixture
def client() -> Iterator[NodeClient]:
    node = NodeClient()
    yield node
    node.close()


def connect(client: NodeClient, gateway: GatewayProcess) -> None:
    client.start(gateway.ws_url, gateway.token, withDevice=True, **OPERATOR)
    client.wait("hello")


def say(client: NodeClient, text: str, key: str) -> str:
    """Send a message, wait for its final, and return the final text."""
    since = len(client.reports)
    params = {"sessionKey": SESSION, "message": text, "idempotencyKey": key}
    accepted = client.call("chat.send", params)
    assert accepted | {"runId": key, "status": "started"} == accepted
    final = client.wait(
        "event",
        lambda report: (
            report["event"] == "chat"
            and report["payload"]["runId"] == key
            and report["payload"]["state"] == "final"
        ),
        since=since,
    )
    return text_of(final["payload"]["message"])


def text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def test_connects_and_reads_the_whole_hello(client: NodeClient, gateway: GatewayProcess) -> None:
    client.start(gateway.ws_url, gateway.token, withDevice=True, **OPERATOR)
    hello = client.wait("hello")["hello"]
    assert hello["type"] == "hello-ok"
    assert hello["protocol"] == 4
    assert {"health", "chat.send", "agent", "sessions.list"} <= set(hello["features"]["methods"])
    assert hello["auth"]["role"] == "operator"
    assert client.wait("device-token")["role"] == "operator"
    assert client.call("health")["ok"] is True


def test_chat_streams_deltas_and_a_final(client: NodeClient, gateway: GatewayProcess) -> None:
    connect(client, gateway)
    text = say(client, "/sim words=40 delay_ms=20\n", "official-1")
    assert text == " ".join(f"word{number}" for number in range(40))
    states = [event["payload"]["state"] for event in client.events("chat")]
    assert states.count("final") == 1
    assert states[-1] == "final"
    assert states[:-1].count("delta") >= 2
    written = [
        event["payload"]["message"]["content"][0]["text"]
        for event in client.events("chat")
        if event["payload"]["state"] == "delta"
    ]
    assert all(text.startswith(part) for part in written)
    history = client.call("chat.history", {"sessionKey": SESSION})["messages"]
    assert [message["role"] for message in history] == ["user", "assistant"]


def test_an_agent_call_is_accepted_and_then_answered(
    client: NodeClient, gateway: GatewayProcess
) -> None:
    connect(client, gateway)
    params = {"message": "hello", "sessionKey": SESSION, "idempotencyKey": "agent-1"}
    answer = client.request("agent", params, expect_final=True)
    accepted = client.wait("accepted")
    assert accepted["payload"]["status"] == "accepted"
    assert answer["ok"], answer
    assert answer["payload"]["status"] == "ok"
    assert answer["payload"]["runId"] == accepted["payload"]["runId"] == "agent-1"
    assert answer["payload"]["result"]["payloads"][0]["text"] == "Echo: hello"
    waited = client.call("agent.wait", {"runId": "agent-1", "timeoutMs": 30_000})
    assert waited["status"] == "ok"


def test_reconnects_after_a_restart_and_goes_on(
    client: NodeClient, gateway: GatewayProcess
) -> None:
    connect(client, gateway)
    assert say(client, "before", "before-1") == "Echo: before"
    since = len(client.reports)
    gateway.restart()
    assert client.wait("event", lambda report: report["event"] == "shutdown", since=since)
    assert client.wait("close", since=since)["code"] == 1012
    client.wait("hello", since=since)
    assert say(client, "after", "after-1") == "Echo: after"
    history = client.call("chat.history", {"sessionKey": SESSION})["messages"]
    texts = [text_of(message) for message in history]
    assert texts == ["before", "Echo: before", "after", "Echo: after"]


def test_events_have_no_gap(client: NodeClient, gateway: GatewayProcess) -> None:
    connect(client, gateway)
    for number in range(5):
        say(client, f"/sim words=20 tools=2\n{number}", f"gapless-{number}")
    came = [
        report["seq"] for report in client.reports if report["on"] == "event" and "seq" in report
    ]
    assert came == list(range(1, len(came) + 1))
    assert not [report for report in client.reports if report["on"] == "gap"]


def test_a_wrong_token_stops_the_client_with_the_reason(
    client: NodeClient, gateway: GatewayProcess
) -> None:
    client.start(gateway.ws_url, "not-the-token", **OPERATOR)
    error = client.wait("connect-error")["error"]
    assert error["code"] == "INVALID_REQUEST"
    assert error["details"]["code"] == "AUTH_TOKEN_MISMATCH"
    assert error["message"].startswith("unauthorized: gateway token mismatch")
    paused = client.wait("paused")
    assert paused["code"] == 1008
    assert paused["detailCode"] == "AUTH_TOKEN_MISMATCH"


def test_errors_reach_the_caller_as_the_protocol_names_them(
    client: NodeClient, gateway: GatewayProcess
) -> None:
    connect(client, gateway)
    unknown = client.request("no.such.method")
    assert unknown["error"]["code"] == "INVALID_REQUEST"
    assert unknown["error"]["message"] == "unknown method: no.such.method"
    bad = client.request("chat.send", {"sessionKey": SESSION})
    assert bad["error"]["code"] == "INVALID_REQUEST"
    assert bad["error"]["message"].startswith("invalid chat.send params: ")
    assert client.call("health")["ok"] is True


def test_without_a_device_a_backend_on_this_machine_keeps_its_scopes(
    client: NodeClient, gateway: GatewayProcess
) -> None:
    client.start(gateway.ws_url, gateway.token, **OPERATOR)
    client.wait("hello")
    assert say(client, "hi", "backend-1") == "Echo: hi"
