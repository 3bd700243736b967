"""The streams of the gateway message API over a real socket (behaviours 26-37, and resume)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from portico.agents.runtime import Failed, Final, ModelUsed, TextDelta, Usage
from tests.support.http import (
    STREAM,
    TOKEN,
    House,
    Scripted,
    events_of,
    house,
    listening,
    settings,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

HELLO = (TextDelta("Hel"), TextDelta("lo"), ModelUsed(Usage(3, 2, context=3)), Final())


@asynccontextmanager
async def served(
    folder: Path, runtime: Scripted, config: dict[str, Any] | None = None
) -> AsyncIterator[tuple[House, httpx2.AsyncClient]]:
    async with house(folder, config, runtime=runtime) as inside, listening(inside.gateway) as url:
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
            yield inside, client
            runtime.go.set()


async def whole(client: httpx2.AsyncClient, **fields: Any) -> list[tuple[str, str, dict[str, Any]]]:
    answer = await client.post(STREAM, json={"from": "ann", "text": "hi", **fields})
    assert answer.status_code == 200, answer.text
    return events_of(answer.text)


def names(events: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
    return [name for _, name, _ in events]


async def read_until(lines: AsyncIterator[str], wanted: str) -> str:
    async for line in lines:
        if line.startswith(wanted):
            return line
    raise AssertionError(f"the stream ended before {wanted}")


async def test_a_stream_from_start_to_end(tmp_path: Path) -> None:
    async with served(tmp_path, Scripted(*HELLO)) as (_, client):
        async with client.stream("POST", STREAM, json={"from": "ann", "text": "hi"}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"].startswith("no-cache")
            assert answer.headers["x-content-type-options"] == "nosniff"
            events = events_of((await answer.aread()).decode())
        assert names(events) == [
            "run.started",
            "run.progress",
            "message.delta",
            "message.delta",
            "message.completed",
            "run.completed",
        ]
        assert all(data["type"] == name for _, name, data in events)
        assert len({event_id for event_id, _, _ in events}) == len(events)
        assert events[-2][2]["reply"] == "Hello"
        usage = {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "last_prompt_tokens": 3,
        }
        assert events[-2][2]["usage"] == events[-1][2]["usage"] == usage
        assert events[0][2]["session_id"] == "http:dm:ann"


async def test_a_failing_run_ends_with_run_error(tmp_path: Path) -> None:
    async with served(tmp_path, Scripted(Failed("No words."))) as (_, client):
        events = await whole(client)
        assert names(events) == ["run.started", "run.progress", "run.error"]
        assert events[-1][2]["error"] == {"type": "internal_error", "message": "No words."}


async def test_an_ignored_message_is_a_short_stream(tmp_path: Path) -> None:
    config = settings({"messages": {"requireMention": True, "mentionPatterns": ["@bot"]}})
    async with served(tmp_path, Scripted(), config) as (_, client):
        events = await whole(client, thread="T")
        assert names(events) == ["run.ignored", "run.completed"]
        assert events[0][2] == {"type": "run.ignored", "ignored": True}


async def test_what_is_wrong_with_the_request_is_no_stream(tmp_path: Path) -> None:
    async with served(tmp_path, Scripted()) as (_, client):
        answer = await client.post(STREAM, json={"from": "ann"})
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request")
        refused = await client.delete(STREAM)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, POST")


async def test_progress_after_text_is_an_option(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        for number, options in enumerate((None, {}, {"progress_after_text_delta": False})):
            answer = await inside.client.post(
                STREAM,
                json={
                    "from": "ann",
                    "text": "hi",
                    "request_id": f"{number}",
                    "stream_options": options,
                },
            )
            assert names(events_of(answer.text)).count("run.progress") == 1


async def test_a_queued_stream_says_where_it_stands(tmp_path: Path) -> None:
    runtime = Scripted(*HELLO, held=True)
    async with served(tmp_path, runtime) as (inside, client):
        inside.gateway.ground.tasks.start(inside.say("one", request_id="first"), name="first")
        await eventually(lambda: runtime.running == 1)
        body = {"from": "ann", "text": "two", "request_id": "second"}
        async with client.stream("POST", STREAM, json=body) as answer:
            lines = answer.aiter_lines()
            await read_until(lines, "event: run.queued")
            assert '"position":1' in await read_until(lines, "data:")
            runtime.go.set()
            await read_until(lines, "event: run.started")
            await read_until(lines, "event: run.completed")
        assert runtime.most_running == 1


@pytest.mark.parametrize("waits", [False, True])
async def test_cancel_ends_the_stream(tmp_path: Path, waits: bool) -> None:
    runtime = Scripted(held=True)
    async with served(tmp_path, runtime) as (inside, client):
        if waits:
            inside.gateway.ground.tasks.start(inside.say("one", request_id="first"), name="first")
            await eventually(lambda: runtime.running == 1)
        body = {"from": "ann", "text": "hi", "request_id": "r"}
        async with client.stream("POST", STREAM, json=body) as answer:
            lines = answer.aiter_lines()
            await read_until(lines, "event: run.queued" if waits else "event: run.progress")
            assert (await inside.cancel(request_id="r"))["canceled"]
            await read_until(lines, "event: run.canceled")
            assert not [line async for line in lines if line.startswith("event:")]
        assert len(runtime.seen) == 1


async def test_silence_is_filled_with_comments(tmp_path: Path) -> None:
    config = settings({"messages": {"sseHeartbeatMs": 100}})
    runtime = Scripted(*HELLO, held=True)
    async with served(tmp_path, runtime, config) as (_, client):
        body = {"from": "ann", "text": "hi"}
        async with client.stream("POST", STREAM, json=body) as answer:
            lines = answer.aiter_lines()
            await read_until(lines, ": keep-alive")
            await read_until(lines, ": keep-alive")
            runtime.go.set()
            await read_until(lines, "event: run.completed")


async def test_a_client_that_comes_back_gets_the_rest(tmp_path: Path) -> None:
    async with served(tmp_path, Scripted(*HELLO)) as (_, client):
        everything = await whole(client, request_id="r")
        for seen in range(len(everything)):
            last = everything[seen][0]
            again = await client.post(
                STREAM,
                json={"from": "ann", "text": "hi", "request_id": "r"},
                headers={"last-event-id": last},
            )
            rest = [(event_id, name) for event_id, name, _ in events_of(again.text)]
            assert rest == [(event_id, name) for event_id, name, _ in everything[seen + 1 :]]
            got = await client.get(STREAM, params={"request_id": "r", "last_event_id": last})
            assert [(event_id, name) for event_id, name, _ in events_of(got.text)] == rest


async def test_a_stream_can_be_resumed_while_it_runs(tmp_path: Path) -> None:
    runtime = Scripted(*HELLO, held=True)
    async with served(tmp_path, runtime) as (inside, client):
        body = {"from": "ann", "text": "hi", "request_id": "r"}
        async with client.stream("POST", STREAM, json=body) as answer:
            await read_until(answer.aiter_lines(), "event: run.progress")
        assert (await inside.status("r")).json()["state"] == "running"
        params = {"request_id": "r", "last_event_id": "1.2"}
        async with client.stream("GET", STREAM, params=params) as answer:
            runtime.go.set()
            events = events_of((await answer.aread()).decode())
        assert names(events)[0] == "message.delta"
        assert names(events)[-1] == "run.completed"
        assert len(runtime.seen) == 1


async def test_a_finished_stream_can_be_read_after_a_restart(tmp_path: Path) -> None:
    async with served(tmp_path, Scripted(*HELLO)) as (_, client):
        await whole(client, request_id="r")
    async with served(tmp_path, Scripted()) as (_, client):
        got = await client.get(STREAM, params={"request_id": "r"})
        assert names(events_of(got.text)) == [
            "run.started",
            "run.progress",
            "message.completed",
            "run.completed",
        ]
        assert (await client.get(STREAM, params={"request_id": "nobody"})).status_code == 404
        assert (await client.get(STREAM)).status_code == 400


@pytest.mark.parametrize("path", ["/v1/gateway/messages", STREAM])
@pytest.mark.parametrize("cancels", [False, True])
async def test_a_client_that_leaves(tmp_path: Path, path: str, cancels: bool) -> None:
    runtime = Scripted(*HELLO, held=True)
    async with served(tmp_path, runtime) as (inside, client):
        body = {"from": "ann", "text": "hi", "request_id": "r", "cancel_on_disconnect": cancels}
        with pytest.raises(httpx2.TimeoutException):
            await client.post(path, json=body, timeout=httpx2.Timeout(20, read=0.2))
        if cancels:
            await inside.until("r", "cancelled")
            return
        assert (await inside.status("r")).json()["state"] == "running"
        runtime.go.set()
        assert (await inside.until("r", "succeeded"))["reply"] == "Hello"


async def test_following_a_run_leaves_nothing_behind(tmp_path: Path) -> None:
    runtime = Scripted(*HELLO, held=True)
    async with served(tmp_path, runtime) as (inside, client):
        before = len(inside.gateway.ground.tasks)
        body = {"from": "ann", "text": "hi", "request_id": "r"}
        for _ in range(5):
            async with client.stream("POST", STREAM, json=body) as answer:
                await read_until(answer.aiter_lines(), "event: run.progress")
        runtime.go.set()
        await inside.until("r", "succeeded")
        await eventually(lambda: len(inside.gateway.ground.tasks) <= before)
        assert len(runtime.seen) == 1
