"""Commands that talk to a gateway, against a small real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.gateway import (
    TOKEN,
    FakeGateway,
    Peer,
    chat_text,
    echo_agent,
    running_gateway,
)

SESSION = {"key": "agent:main:main", "sessionId": "s-1", "model": "echo", "updatedAt": 1000}
ANSWERS = {
    "health": {"ok": True, "durationMs": 3, "agents": [{"agentId": "main"}], "channels": {}},
    "status": {"runtimeVersion": "9.9.9", "pid": 7, "sessions": {"count": 1, "recent": [SESSION]}},
    "sessions.list": {"count": 1, "totalCount": 3, "sessions": [SESSION]},
    "sessions.describe": {"session": SESSION},
    "sessions.reset": {"ok": True, "key": "agent:main:main"},
    "sessions.delete": {"ok": True, "key": "agent:main:main", "deleted": True},
    "chat.history": {"messages": [{"role": "user", "content": "Hi"}, chat_text("Hello")]},
    "logs.tail": {
        "file": "portico.log",
        "cursor": 10,
        "size": 10,
        "lines": ['{"event":"turn.done","level":"info","run_id":"r"}', "plain"],
    },
}


@pytest.fixture
async def gateway(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    async with running_gateway(answers=dict(ANSWERS), methods={"agent": echo_agent}) as fake:
        monkeypatch.setenv("PORTICO_GATEWAY_URL", fake.url)
        monkeypatch.setenv("PORTICO_GATEWAY_TOKEN", TOKEN)
        yield fake


@pytest.fixture
def portico(gateway, portico_async):
    return portico_async


async def test_health_for_people_and_programs(portico) -> None:
    assert "Health" in (await portico("health")).out
    assert (await portico("health", "--json")).json == ANSWERS["health"]


async def test_health_that_is_not_well_fails(gateway, portico) -> None:
    gateway.answers["health"] = {"ok": False}
    assert (await portico("health", "--probe")).code == 1
    assert gateway.called("health") == [{"probe": True}]


async def test_status_shows_version_uptime_and_sessions(portico) -> None:
    shown = await portico("status")
    assert "9.9.9" in shown.out
    assert "1 min" in shown.out
    assert "agent:main:main" in shown.out


async def test_call_prints_the_result(gateway, portico) -> None:
    shown = await portico("call", "sessions.list", "--params", '{"limit":5}')
    assert shown.json == ANSWERS["sessions.list"]
    assert gateway.called("sessions.list") == [{"limit": 5}]


async def test_call_lists_the_methods(portico) -> None:
    assert "sessions.list\n" in (await portico("call", "--list")).out
    assert "health" in (await portico("call", "--list", "--json")).json["methods"]


async def test_call_of_an_unknown_method_is_refused(portico) -> None:
    shown = await portico("call", "no.such", "--json")
    assert shown.code == 5
    assert shown.error["code"] == "gateway.unknown_method"
    assert shown.error["details"]["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("error", "exit_code", "code"),
    [
        ({"code": "FORBIDDEN", "message": "missing scope: x"}, 4, "gateway.forbidden"),
        ({"code": "INVALID_REQUEST", "message": "no"}, 5, "gateway.refused"),
        ({"code": "UNAVAILABLE", "message": "busy", "retryable": True}, 1, "gateway.failed"),
    ],
)
async def test_refusals_have_stable_exit_codes(gateway, portico, error, exit_code, code) -> None:
    async def refuse(gateway: FakeGateway, peer: Peer, request: dict) -> None:
        await peer.refuse(request, error)

    gateway.methods["no"] = refuse
    shown = await portico("call", "no", "--json")
    assert (shown.code, shown.error["code"]) == (exit_code, code)


async def test_silence_times_out(gateway, portico) -> None:
    async def never(gateway: FakeGateway, peer: Peer, request: dict) -> None:
        return

    gateway.methods["never"] = never
    shown = await portico("call", "never", "--timeout", "0.2", "--json")
    assert (shown.code, shown.error["code"]) == (1, "timeout")


async def test_gateway_that_hangs_up_is_unreachable(gateway, portico) -> None:
    async def hang_up(gateway: FakeGateway, peer: Peer, request: dict) -> None:
        await peer.socket.close(1012, "service restart")

    gateway.methods["bye"] = hang_up
    shown = await portico("call", "bye", "--json")
    assert (shown.code, shown.error["code"]) == (3, "gateway.lost")


async def test_missing_and_wrong_tokens_are_told_apart(portico, monkeypatch) -> None:
    wrong = await portico("health", "--token", "wrong", "--json")
    assert (wrong.code, wrong.error["code"]) == (4, "gateway.unauthorized")
    assert wrong.error["next_step"].startswith("Check the token")
    monkeypatch.delenv("PORTICO_GATEWAY_TOKEN")
    missing = await portico("health", "--json")
    assert missing.code == 4
    assert missing.error["next_step"].startswith("Give --token")


async def test_sessions_are_listed(portico) -> None:
    shown = await portico("sessions", "list")
    assert "agent:main:main" in shown.out
    assert "1 of 3" in shown.out


async def test_session_is_shown_with_its_messages(portico) -> None:
    shown = await portico("sessions", "show", "main")
    assert "You:\nHi" in shown.out
    assert "Agent:\nHello" in shown.out
    assert len((await portico("sessions", "show", "main", "--json")).json["messages"]) == 2


async def test_missing_session_is_refused(gateway, portico) -> None:
    gateway.answers["sessions.describe"] = {"session": None}
    shown = await portico("sessions", "show", "none", "--json")
    assert (shown.code, shown.error["code"]) == (5, "session.not_found")


@pytest.mark.parametrize("verb", ["reset", "delete"])
async def test_change_of_a_session_needs_a_yes(gateway, portico, verb: str) -> None:
    unsure = await portico("sessions", verb, "main", "--json")
    assert (unsure.code, unsure.error["code"]) == (5, "not_confirmed")
    assert gateway.called(f"sessions.{verb}") == []
    done = await portico("sessions", verb, "main", "--yes")
    assert done.code == 0
    assert gateway.called(f"sessions.{verb}") == [{"key": "agent:main:main"}]


async def test_logs_are_readable_and_machine_readable(portico) -> None:
    shown = await portico("logs", "tail", "-n", "2")
    assert "turn.done  run_id=r" in shown.out
    assert "plain" in shown.out
    lines = (await portico("logs", "tail", "--json")).out.splitlines()
    assert '"event": "turn.done"' in lines[0]
    assert lines[1] == '{"line": "plain"}'


async def test_agent_prints_the_final_answer(gateway, portico) -> None:
    shown = await portico("agent", "--message", "Hello", "--timeout", "30")
    assert shown.out == "Echo: Hello\n"
    params = gateway.called("agent")[0]
    assert params["sessionKey"] == "main"
    assert params["timeout"] == 30
    as_json = await portico("agent", "-m", "Hello", "--agent", "main", "--deliver", "--json")
    assert as_json.json["result"]["payloads"] == [{"text": "Echo: Hello"}]
    assert gateway.called("agent")[1]["deliver"] is True


async def test_agent_run_that_fails_is_a_failure(gateway, portico) -> None:
    gateway.methods.pop("agent")
    gateway.answers["agent"] = {"runId": "r", "status": "timeout", "summary": "aborted"}
    shown = await portico("agent", "-m", "Hello")
    assert shown.code == 1
    assert "aborted" in shown.err
    assert (await portico("agent", "-m", "Hello", "--json")).code == 1


async def test_probe_says_what_answers(gateway, portico, monkeypatch) -> None:
    shown = await portico("gateway", "probe", "--json")
    assert shown.code == 0
    assert shown.json["protocol"] == 4
    assert shown.json["version"] == "9.9.9"
    assert shown.json["auth"]["accepted"] is True
    client = gateway.connects[0].client
    assert (client.id, client.mode) == ("openclaw-probe", "probe")
    assert (await portico("gateway", "probe", "--token", "wrong")).code == 4
    monkeypatch.delenv("PORTICO_GATEWAY_TOKEN")
    stranger = await portico("gateway", "probe", "--json")
    assert stranger.code == 0
    assert stranger.json["auth"]["code"] == "AUTH_TOKEN_MISSING"


async def test_status_of_a_remote_gateway(gateway, portico) -> None:
    shown = await portico("gateway", "status", "--url", gateway.url, "--json")
    assert shown.code == 0
    assert shown.json["running"] is True
    assert shown.json["health"]["ok"] is True


async def test_doctor_notices_another_version(gateway, portico) -> None:
    shown = await portico("doctor", "--url", gateway.url)
    assert shown.code == 1
    assert "runs version 9.9.9" in shown.out
