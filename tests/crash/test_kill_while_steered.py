"""Kill the gateway while a turn is under way that somebody has said more to: nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.crash.office import LOOK_UP, Office, office, said_in
from tests.e2e.gateway import Operator
from tests.fakes.provider import Reply, Say, Stall
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

T = TypeVar("T")
FIRST, MORE = "Ada's number?", "And be brief."
ANSWER = "It is in the book."


async def with_operator(rooms: Office, does: Callable[[Operator], T]) -> T:
    def work() -> T:
        with Operator(rooms.gateway) as operator:
            return does(operator)

    return await asyncio.to_thread(work)


async def say(rooms: Office, text: str, run_id: str) -> dict[str, Any]:
    def send(operator: Operator) -> dict[str, Any]:
        params = {"sessionKey": "main", "message": text, "idempotencyKey": run_id}
        return dict(operator.call("chat.send", **params, queueMode="steer"))

    return await with_operator(rooms, send)


async def history(rooms: Office) -> list[tuple[str, str]]:
    shown = await with_operator(rooms, lambda o: o.call("chat.history", sessionKey="main"))
    return [(m["role"], _text(m["content"])) for m in shown["messages"]]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def reply_to(request: dict[str, Any]) -> Reply:
    """What the model says after the restart: it looks the number up, then answers."""
    told = said_in(request)
    since = next(n for n in reversed(range(len(told))) if told[n] == ("user", FIRST))
    if any(role in {"tool", "assistant"} for role, _ in told[since:]):
        return Say(ANSWER)
    return LOOK_UP


async def ended(rooms: Office, run_id: str) -> dict[str, Any]:
    def wait(operator: Operator) -> dict[str, Any]:
        return dict(operator.call("agent.wait", runId=run_id, timeoutMs=50_000))

    return await with_operator(rooms, wait)


async def held_up(rooms: Office, *, is_taken: bool) -> None:
    """Say two things; return while the clerk works, or while the model answers both of them."""
    await say(rooms, FIRST, "one")
    await eventually(lambda: rooms.entries(), within_s=60)
    await say(rooms, MORE, "two")
    if is_taken:
        rooms.let_the_clerk_go_on()
        await eventually(lambda: len(rooms.provider.requests) == 2, within_s=60)
        assert said_in(rooms.provider.requests[1])[-1] == ("user", MORE)


@pytest.mark.parametrize("is_taken", [False, True], ids=["while it waits", "after it was taken"])
async def test_what_was_said_into_a_turn_is_answered_once(tmp_path: Path, is_taken: bool) -> None:
    async with office(tmp_path) as rooms:
        rooms.provider.plan(LOOK_UP, *([Stall("It is")] if is_taken else []))
        rooms.provider.default = reply_to
        await held_up(rooms, is_taken=is_taken)
        await asyncio.to_thread(rooms.gateway.kill)
        rooms.let_the_clerk_go_on()
        asked_before = len(rooms.provider.requests)
        await asyncio.to_thread(rooms.gateway.start)
        assert [(await ended(rooms, run_id))["status"] for run_id in ("one", "two")] == ["ok"] * 2
        asked = rooms.provider.requests[asked_before:]
        assert any(("user", MORE) in said_in(request) for request in asked)
        said = await history(rooms)
        for text, run_id in ((FIRST, "one"), (MORE, "two")):  # who is not sure sends it again
            await say(rooms, text, run_id)
            assert (await ended(rooms, run_id))["status"] == "ok"

        assert [text for role, text in said if role == "user"] == [FIRST, MORE]
        assert await history(rooms) == said
        assert rooms.provider.requests[asked_before:] == asked
        last = [content for role, content in said_in(asked[-1]) if role == "user"]
        assert last == [FIRST, MORE]
