"""Questions to people: on both databases, over restarts, and by the tool of agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from portico.agents.tools.contract import ToolCall, ToolError
from portico.approvals.questions.model import Answers, BadAnswer, Option, Question
from portico.approvals.questions.service import (
    MAX_WAITING,
    AlreadyOver,
    QuestionExists,
    Questions,
    TooManyQuestions,
    UnknownQuestion,
)
from portico.approvals.questions.tools import AskArgs, QuestionTools
from portico.clock import SystemClock
from portico.events.hub import Hub, Subscription
from portico.ids import ConnId
from portico.protocol.scopes import Role, expand
from portico.store import Store, open_store
from portico.tasks import Tasks
from tests.support.waiting import eventually

COLOUR = Question(
    question_id="colour",
    header="Colour",
    question="Which one?",
    options=(Option(label="Red"), Option(label="Blue")),
)
WHY = Question(question_id="why", header="Why", question="Why?", options=())
CALL = ToolCall(agent_id="main", session_key="agent:main:main", call_id="c1", run_id="r1")


class Desk:
    """A process that asks."""

    def __init__(self, store: Store) -> None:
        self.failures: list[BaseException] = []
        self.tasks = Tasks(lambda _name, error: self.failures.append(error))
        self.hub = Hub(epoch="boot_test", window=100, window_bytes=1 << 20)
        self.events: list[tuple[str, Any]] = []
        for name in ("question.requested", "question.resolved"):
            self.hub.listen(name, lambda *event: self.events.append(event))
        self.questions = Questions(store=store, clock=SystemClock(), hub=self.hub, tasks=self.tasks)

    def sit_down(self) -> None:
        """Somebody who may answer connects."""
        self.hub.subscribe(
            Subscription(
                conn_id=ConnId("conn-1"),
                sink=self,
                role=Role.OPERATOR,
                scopes=expand(frozenset({"operator.questions"})),
            )
        )

    def send_event(self, frame: bytes, *, droppable: bool) -> bool:
        return True

    async def ask(self, *questions: Question, **more: Any) -> str:
        return (await self.questions.ask(questions or (COLOUR,), **more)).id


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    opened = open_store(database_url)
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
async def desk(store: Store) -> AsyncIterator[Desk]:
    made = Desk(store)
    yield made
    await made.tasks.stop()
    assert made.failures == []


async def test_an_answer_reaches_whoever_waits(desk: Desk) -> None:
    asked = await desk.ask(COLOUR, WHY, agent_id="main")
    waiting = asyncio.ensure_future(desk.questions.wait(asked))
    assert [one.id for one in await desk.questions.pending()] == [asked]
    given = {"colour": [" Blue "], "why": ["It is calm."]}
    await desk.questions.answer(asked, given, by="ann")
    over = await asyncio.wait_for(waiting, 30)
    assert over.answers == Answers({"colour": ["Blue"], "why": ["It is calm."]})
    assert (over.status, over.resolved_by) == ("answered", "ann")
    assert [name for name, _ in desk.events] == ["question.requested", "question.resolved"]
    assert await desk.questions.pending() == []
    with pytest.raises(AlreadyOver):
        await desk.questions.cancel(asked, by="bob")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "an answer is needed"),
        ({"colour": [""]}, "an answer is needed"),
        ({"colour": ["Green"]}, "none of the options"),
        ({"colour": ["Red", "Blue"]}, "one answer"),
        ({"colour": ["Red"], "else": ["x"]}, "no such question"),
        ({"colour": ["x" * 9_000]}, "more than"),
    ],
)
async def test_what_is_no_answer_is_refused_and_it_waits_on(
    desk: Desk, given: dict[str, list[str]], problem: str
) -> None:
    asked = await desk.ask()
    with pytest.raises(BadAnswer, match=problem):
        await desk.questions.answer(asked, given, by="ann")
    assert (await desk.questions.get(asked)).status == "pending"


async def test_two_who_answer_at_once_are_told_apart(desk: Desk) -> None:
    asked = await desk.ask()
    both = [desk.questions.answer(asked, {"colour": ["Red"]}, by=who) for who in ("ann", "bob")]
    results = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["AlreadyOver", "Asked"]
    assert len([1 for name, _ in desk.events if name == "question.resolved"]) == 1


async def test_its_time_runs_out(desk: Desk) -> None:
    asked = await desk.ask(timeout_ms=50)
    over = await asyncio.wait_for(desk.questions.wait(asked), 30)
    assert over.status == "expired"
    await eventually(
        lambda: desk.events[-1] == ("question.resolved", {"id": asked, "status": "expired"})
    )
    with pytest.raises(AlreadyOver):
        await desk.questions.answer(asked, {"colour": ["Red"]}, by="ann")


async def test_a_restart_loses_no_question(desk: Desk, store: Store) -> None:
    stays, ends = await desk.ask(), await desk.ask(timeout_ms=300)
    await desk.tasks.stop()
    again = Desk(store)
    await again.questions.start()
    over = await asyncio.wait_for(again.questions.wait(ends), 30)
    assert over.status == "expired"
    await again.questions.answer(stays, {"colour": ["Red"]}, by="ann")
    assert (await desk.questions.wait(stays, timeout_s=5)).status == "answered"
    await again.tasks.stop()
    assert again.failures == []


async def test_another_process_hears_of_the_answer(desk: Desk, store: Store) -> None:
    other = Desk(store)
    asked = await desk.ask()
    waiting = asyncio.ensure_future(desk.questions.wait(asked))
    await other.questions.answer(asked, {"colour": ["Red"]}, by="ann")
    assert (await asyncio.wait_for(waiting, 30)).status == "answered"


async def test_they_are_bounded_and_named_once(desk: Desk) -> None:
    await desk.ask(question_id="mine")
    with pytest.raises(QuestionExists):
        await desk.ask(question_id="mine")
    for _ in range(MAX_WAITING - 1):
        await desk.ask()
    with pytest.raises(TooManyQuestions):
        await desk.ask()
    with pytest.raises(ValueError, match="each once"):
        await desk.ask(COLOUR, COLOUR)
    with pytest.raises(UnknownQuestion):
        await desk.questions.get("absent")


async def test_an_agent_asks_and_is_answered(desk: Desk) -> None:
    tools = QuestionTools(desk.questions)
    with pytest.raises(ToolError, match="Nobody is at the page"):
        await tools.ask(CALL, AskArgs(question="Which?"))
    desk.sit_down()
    asking = asyncio.ensure_future(
        tools.ask(CALL, AskArgs(question="Which?", options=("A", "B"), other=False))
    )
    await eventually(lambda: len(desk.events) == 1)
    asked = (await desk.questions.pending())[0]
    assert (asked.agent_id, asked.run_id) == ("main", "r1")
    await desk.questions.answer(asked.id, {"q": ["B"]}, by="ann")
    assert await asyncio.wait_for(asking, 30) == {"status": "answered", "answers": ["B"]}


async def test_a_question_of_a_cancelled_turn_is_taken_back(desk: Desk) -> None:
    desk.sit_down()
    asking = asyncio.ensure_future(QuestionTools(desk.questions).ask(CALL, AskArgs(question="?")))
    await eventually(lambda: len(desk.events) == 1)
    asking.cancel()
    await asyncio.wait([asking])
    assert await desk.questions.pending() == []
    assert desk.events[-1][1]["status"] == "cancelled"
