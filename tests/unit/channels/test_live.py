"""Typing and previews while a run runs; and the final message takes the preview's place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from portico.agents.runtime import AgentEvent, TextDelta
from portico.channels.contract import Outgoing, RateLimited, Receipt
from portico.channels.live import LiveReplies, PreviewGate
from portico.channels.model import ReplyRoute
from portico.clock import SystemClock
from portico.tasks import Tasks
from tests.support.accounts import said
from tests.support.path import route
from tests.support.waiting import eventually, loop_turns

LONG = "This is the beginning of an answer"


class Runs:
    """One run, as a test tells it."""

    def __init__(self, *, answers: bool = True) -> None:
        self.steps: asyncio.Queue[AgentEvent | str | None] = asyncio.Queue()
        self.answers = answers

    async def follow(self, run_id: str) -> AsyncIterator[AgentEvent | None]:
        while (step := await self.steps.get()) != "end":
            assert not isinstance(step, str)
            yield step

    async def has_answer(self, run_id: str) -> bool:
        return self.answers

    def say(self, *steps: AgentEvent | str | None) -> None:
        for step in steps:
            self.steps.put_nowait(step)


class Showing:
    """An account that shows everything."""

    def __init__(self) -> None:
        self.typings: list[bool] = []
        self.shown: list[str] = []
        self.dropped: list[str] = []
        self.trouble: list[Exception] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self) -> None: ...

    async def send(self, message: Outgoing) -> Receipt:
        self.shown.append(f"final: {message.text}")
        return Receipt("1")

    async def typing(self, route: ReplyRoute, *, on: bool) -> None:
        self.typings.append(on)

    async def preview(self, route: ReplyRoute, run_id: str, text: str) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        await self.gate.wait()
        self.shown.append(text)

    async def drop_preview(self, run_id: str) -> None:
        self.dropped.append(run_id)


class Account:
    def __init__(self, live: object) -> None:
        self.live = live
        self.shows_previews = True
        self.previews = PreviewGate()


class Scene:
    def __init__(self, *, answers: bool = True, every_s: float = 0.02) -> None:
        self.failures: list[BaseException] = []
        self.tasks = Tasks(lambda _name, error: self.failures.append(error))
        self.runs = Runs(answers=answers)
        self.showing = Showing()
        self.account = Account(self.showing)
        self.live = LiveReplies(
            runs=self.runs,
            clock=SystemClock(),
            tasks=self.tasks,
            typing_every_s=0.05,
            preview_every_s=every_s,
        )
        self.live.watch(self.account, said("k", sender="ann"), "r1")  # type: ignore[arg-type]  # as far as needed

    async def over(self) -> None:
        await eventually(lambda: not len(self.tasks))


@pytest.fixture
async def scene():
    scene = Scene()
    yield scene
    await scene.tasks.stop()
    assert scene.failures == []


async def test_typing_is_shown_from_the_beginning_of_the_run_to_its_end(scene: Scene) -> None:
    await loop_turns()
    assert scene.showing.typings == []  # it waits in its lane
    scene.runs.say(None)
    await eventually(lambda: len(scene.showing.typings) >= 3)  # and is renewed
    scene.runs.say("end")
    await scene.over()
    assert scene.showing.typings[-1] is False
    assert all(scene.showing.typings[:-1])


async def test_text_is_previewed_as_it_grows_and_not_too_often(scene: Scene) -> None:
    scene.runs.say(None, TextDelta("Hi"))
    await loop_turns(50)
    assert scene.showing.shown == []  # a word is not worth it
    scene.runs.say(TextDelta(LONG))
    await eventually(lambda: scene.showing.shown == [f"Hi{LONG}"])
    for _ in range(50):
        scene.runs.say(TextDelta("."))
        await asyncio.sleep(0)
    await eventually(lambda: scene.showing.shown[-1] == f"Hi{LONG}{'.' * 50}")
    assert len(scene.showing.shown) < 10
    scene.runs.say("end")
    await scene.over()
    assert scene.showing.dropped == []


async def test_the_final_message_waits_for_a_preview_and_none_follows(scene: Scene) -> None:
    scene.showing.gate.clear()
    scene.runs.say(None, TextDelta(LONG))
    await eventually(lambda: scene.showing.typings)
    await loop_turns(50)

    async def final() -> None:
        async with scene.account.previews.final("r1"):
            await scene.showing.send(Outgoing("d", route(), "all of it", run_id="r1"))

    sending = asyncio.ensure_future(final())
    await loop_turns(50)
    assert scene.showing.shown == []
    scene.showing.gate.set()
    await sending
    scene.runs.say(TextDelta(" and more"))
    await asyncio.sleep(0.1)
    assert scene.showing.shown == [LONG, "final: all of it"]
    scene.runs.say("end")
    await scene.over()


async def test_a_preview_that_nothing_replaces_is_taken_back() -> None:
    scene = Scene(answers=False)
    scene.runs.say(None, TextDelta(LONG))
    await eventually(lambda: scene.showing.shown)
    scene.runs.say("end")
    await scene.over()
    assert scene.showing.dropped == ["r1"]


async def test_a_limit_is_kept_and_troubles_end_it(scene: Scene) -> None:
    scene.showing.trouble = [RateLimited("slow", retry_after_s=0.15)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    scene.runs.say(None, TextDelta(LONG))
    await eventually(lambda: scene.showing.shown)
    assert loop.time() - began >= 0.14
    scene.showing.trouble = [ValueError(str(n)) for n in range(9)]

    def has_given_up() -> bool:
        scene.runs.say(TextDelta("."))
        return len(scene.showing.trouble) == 6

    await eventually(has_given_up)
    for _ in range(20):
        scene.runs.say(TextDelta("."))
        await asyncio.sleep(0.005)
    assert len(scene.showing.trouble) == 6
    scene.runs.say("end")
    await scene.over()


async def test_an_account_that_shows_nothing_is_not_followed() -> None:
    tasks = Tasks(lambda _name, _error: None)
    live = LiveReplies(runs=Runs(), clock=SystemClock(), tasks=tasks)
    for useless in (object(), None):
        live.watch(Account(useless), said("k"), "r1")  # type: ignore[arg-type]  # as far as needed
    assert len(tasks) == 0


async def test_previews_can_be_switched_off(scene: Scene) -> None:
    scene.account.shows_previews = False
    scene.runs.say(None, TextDelta(LONG))
    await eventually(lambda: len(scene.showing.typings) > 2)
    assert scene.showing.shown == []
    scene.runs.say("end")
    await scene.over()
