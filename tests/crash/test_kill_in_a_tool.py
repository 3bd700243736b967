"""Kill the gateway while a model agent's tool runs: begun again, or closed, as promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.office import LOOK_UP, POST, office, said_in
from tests.fakes.provider import Say

pytestmark = pytest.mark.anyio


async def test_a_tool_that_changes_nothing_is_run_again(tmp_path: Path) -> None:
    async with office(tmp_path) as rooms:
        rooms.provider.plan(LOOK_UP, LOOK_UP, Say("Her number is in the book."))
        await rooms.killed_while("one", says="Ada's number?", entry="looked up Ada")
        answer = await rooms.say("Ada's number?", "one")  # the same request: the same run
        assert answer.json()["reply"] == "Her number is in the book."
        assert rooms.entries() == ["looked up Ada"] * 2
        told = [[role for role, _ in said_in(r)] for r in rooms.provider.requests]
        assert told == [["user"], ["user"], ["user", "assistant", "tool"]]


async def test_a_tool_that_changes_something_is_not(tmp_path: Path) -> None:
    async with office(tmp_path) as rooms:
        rooms.provider.plan(POST)
        await rooms.killed_while("one", says="Post my will.", entry="posted a will")
        answer = await rooms.say("Post my will.", "one")
        assert answer.status_code >= 500
        assert "could not safely begin again" in answer.text
        assert rooms.entries() == ["posted a will"]
        assert len(rooms.provider.requests) == 1
        rooms.provider.plan(Say("It may have been posted."))
        later = await rooms.say("Was it posted?", "two")
        assert later.json()["reply"] == "It may have been posted."
        told = said_in(rooms.provider.requests[-1])
        assert told[0] == ("user", "Post my will.")
        assert "could not safely begin again" in told[1][1]  # the model knows, too
