"""The terminal chat, as a process, through a pipe."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from tests.fakes.gateway import (
    TOKEN,
    FakeGateway,
    Peer,
    chat_text,
    echo_chat,
    running_gateway,
)


async def start(gateway: FakeGateway, home: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "portico",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "HOME": str(home),
            "PORTICO_GATEWAY_URL": gateway.url,
            "PORTICO_GATEWAY_TOKEN": TOKEN,
        },
    )


async def chat(
    gateway: FakeGateway, home: Path, text: str, *options: str
) -> tuple[int | None, str, str]:
    process = await start(gateway, home, "chat", *options)
    async with asyncio.timeout(30):
        out, err = await process.communicate(text.encode())
    return process.returncode, out.decode(), err.decode()


async def test_each_line_waits_for_its_answer(tmp_path: Path) -> None:
    async with running_gateway(methods={"chat.send": echo_chat}) as gateway:
        code, out, err = await chat(gateway, tmp_path, "one\n\ntwo\n")
    assert (code, err) == (0, "")
    assert out == "You said: one\nYou said: two\n"


async def test_answers_as_json(tmp_path: Path) -> None:
    async with running_gateway(methods={"chat.send": echo_chat}) as gateway:
        _, out, _ = await chat(gateway, tmp_path, "one\ntwo\n", "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["text"] for answer in answers] == ["You said: one", "You said: two"]
    assert {answer["state"] for answer in answers} == {"final"}


async def test_commands_of_the_chat(tmp_path: Path) -> None:
    answers = {"sessions.reset": {"ok": True, "key": "k"}}
    async with running_gateway(methods={"chat.send": echo_chat}, answers=answers) as gateway:
        lines = "/new\n/session other\nhi\n/help\n/quit\nnever\n"
        code, out, err = await chat(gateway, tmp_path, lines)
    assert code == 0
    assert out == "You said: hi\n"
    assert "/stop" in err
    assert gateway.called("sessions.reset") == [{"key": "main", "reason": "new"}]
    assert [call["sessionKey"] for call in gateway.called("chat.send")] == ["other"]


async def test_refused_message_does_not_end_the_chat(tmp_path: Path) -> None:
    async with running_gateway() as gateway:
        code, _, err = await chat(gateway, tmp_path, "hi\n")
    assert code == 0
    assert "refused: unknown method: chat.send" in err


async def test_interrupt_stops_the_answer_and_the_second_one_leaves(tmp_path: Path) -> None:
    runs: list[str] = []
    began = asyncio.Event()
    stopped = asyncio.Event()

    async def begin(gateway: FakeGateway, peer: Peer, request: dict) -> None:
        runs.append(request["params"]["idempotencyKey"])
        await peer.answer(request, {"runId": runs[0], "status": "started"})
        delta = {"runId": runs[0], "sessionKey": "k", "state": "delta", "deltaText": "Well, "}
        await peer.event("chat", delta)
        began.set()

    async def abort(gateway: FakeGateway, peer: Peer, request: dict) -> None:
        await peer.answer(request, {"ok": True, "aborted": True, "runIds": runs})
        ended = {"runId": runs[0], "sessionKey": "k", "state": "aborted"}
        await peer.event("chat", {**ended, "message": chat_text("Well, ")})
        stopped.set()

    async with running_gateway(methods={"chat.send": begin, "chat.abort": abort}) as gateway:
        process = await start(gateway, tmp_path, "chat")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"talk\n")
        async with asyncio.timeout(30):
            await began.wait()
            assert await process.stdout.readexactly(6) == b"Well, "
            process.send_signal(signal.SIGINT)
            await stopped.wait()
            assert await process.stdout.readline() == b"\n"
            assert await process.stdout.readline() == b"(stopped)\n"
            process.send_signal(signal.SIGINT)
            await process.communicate()
    assert process.returncode == 0


async def test_interrupted_agent_run_is_aborted(tmp_path: Path) -> None:
    began = asyncio.Event()

    async def begin(gateway: FakeGateway, peer: Peer, request: dict) -> None:
        run_id = request["params"]["idempotencyKey"]
        accepted = {"runId": run_id, "status": "accepted", "sessionKey": "agent:main:main"}
        await peer.answer(request, accepted)
        began.set()

    answers = {"chat.abort": {"ok": True, "aborted": True, "runIds": []}}
    async with running_gateway(methods={"agent": begin}, answers=answers) as gateway:
        process = await start(gateway, tmp_path, "agent", "-m", "talk")
        async with asyncio.timeout(30):
            await began.wait()
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
        run_id = gateway.called("agent")[0]["idempotencyKey"]
        assert gateway.called("chat.abort")[0]["runId"] == run_id
    assert process.returncode == 130
    assert b"(stopped)" in err
