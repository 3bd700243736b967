"""Asking people, and waiting for what they say.

Guarantees: a question is on disk before anybody is told of it; it ends once, whoever answers first;
at most so many wait. A restart loses none: those that wait go on waiting, and end in their time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from portico.approvals.questions.model import (
    Answers,
    Asked,
    Question,
    check_questions,
    checked,
)
from portico.clock import Clock
from portico.events.hub import Hub
from portico.ids import new_id
from portico.store import Store, Work, documents
from portico.tasks import Tasks

OWNER = "questions"
KEPT_MS = 86_400_000
"""How long an answered one can be read."""
LOOK_S = 1.0
MAX_WAITING = 50
USUAL_MS = 600_000
LONGEST_MS = 86_400_000


class TooManyQuestions(Exception):
    """Too many wait for an answer."""


class QuestionExists(Exception):
    """There is one of that id."""


class UnknownQuestion(LookupError):
    """There is none of that id."""


class AlreadyOver(Exception):
    """It was answered, cancelled, or its time was up."""


class Questions:
    """What agents ask people."""

    def __init__(self, *, store: Store, clock: Clock, hub: Hub, tasks: Tasks) -> None:
        self._store = store
        self._clock = clock
        self._hub = hub
        self._tasks = tasks
        self._ended: dict[str, asyncio.Event] = {}

    async def start(self) -> None:
        """Go on with those that wait."""
        for asked in await self.pending():
            self._watch(asked)

    async def ask(
        self,
        questions: tuple[Question, ...],
        *,
        question_id: str | None = None,
        agent_id: str | None = None,
        session_key: str | None = None,
        run_id: str | None = None,
        timeout_ms: int | None = None,
    ) -> Asked:
        """Ask people; return at once.

        Raises:
            ValueError: it cannot be asked.
            TooManyQuestions, QuestionExists: that is why it is not.
        """
        check_questions(questions)
        now = self._clock.now_ms()
        asked = Asked(
            id=question_id or new_id("qst"),
            questions=questions,
            agent_id=agent_id,
            session_key=session_key,
            run_id=run_id,
            created_at_ms=now,
            expires_at_ms=now + min(timeout_ms or USUAL_MS, LONGEST_MS),
            status="pending",
        )
        await self._store.write(_put_new, asked, now=now)
        self._hub.publish("question.requested", msgspec.to_builtins(asked))
        self._watch(asked)
        return asked

    def has_audience(self) -> bool:
        """Whether somebody is connected here who could answer."""
        return bool(self._hub.receivers("question.requested"))

    async def get(self, question_id: str) -> Asked:
        """Return one.

        Raises:
            UnknownQuestion: there is none, or no longer.
        """
        found = await self._store.read(_find, question_id)
        if found is None:
            raise UnknownQuestion(question_id)
        return found

    async def pending(self) -> list[Asked]:
        """Return those that wait, the oldest first."""
        now = self._clock.now_ms()
        return [
            one
            for one in await self._store.read(_all)
            if one.status == "pending" and one.expires_at_ms > now
        ]

    async def answer(self, question_id: str, given: Mapping[str, list[str]], *, by: str) -> Asked:
        """Answer all that is asked.

        Raises:
            UnknownQuestion, AlreadyOver: there is nothing to answer.
            BadAnswer: it is none.
        """
        asked = await self.get(question_id)
        return await self._end(question_id, "answered", checked(asked, given), by)

    async def cancel(self, question_id: str, *, by: str) -> Asked:
        """Leave it unanswered.

        Raises:
            UnknownQuestion, AlreadyOver: there is nothing to cancel.
        """
        return await self._end(question_id, "cancelled", None, by)

    async def wait(self, question_id: str, *, timeout_s: float | None = None) -> Asked:
        """Return it when it is over, or as it is when the time is up.

        Raises:
            UnknownQuestion: there is none.
        """
        asked = await self.get(question_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while asked.status == "pending":
                    await self._look_later(question_id)
                    asked = await self.get(question_id)
        return asked

    async def forget(self) -> int:
        """Delete those that are over for long; return how many."""
        before = self._clock.now_ms() - KEPT_MS
        return await self._store.write(_forget, before_ms=before)

    async def _look_later(self, question_id: str) -> None:
        """Wait until it has ended here, or until another process may have ended it."""
        ended = self._ended.get(question_id)
        if ended is None:
            await asyncio.sleep(LOOK_S)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await ended.wait()

    def _watch(self, asked: Asked) -> None:
        self._ended[asked.id] = asyncio.Event()
        self._tasks.start(self._expire(asked), name=f"question:{asked.id}")

    async def _expire(self, asked: Asked) -> None:
        """End it when its time is up."""
        try:
            while (left_ms := asked.expires_at_ms - self._clock.now_ms()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_ms / 1000):
                        await self._ended[asked.id].wait()
                        return
            with contextlib.suppress(AlreadyOver, UnknownQuestion):
                await self._end(asked.id, "expired", None, None)
        finally:
            if (ended := self._ended.pop(asked.id, None)) is not None:
                ended.set()

    async def _end(
        self,
        question_id: str,
        status: Literal["answered", "cancelled", "expired"],
        answers: Answers | None,
        by: str | None,
    ) -> Asked:
        now = self._clock.now_ms()
        over = await self._store.write(_end, question_id, status, answers, by, now=now)
        told: dict[str, Any] = {"id": question_id, "status": status}
        if answers is not None:
            told["answers"] = msgspec.to_builtins(answers)
        self._hub.publish("question.resolved", told)
        if (ended := self._ended.get(question_id)) is not None:
            ended.set()
        return over


def _find(question_id: str) -> Work[Asked | None]:
    found = yield from documents.find(OWNER, question_id)
    return None if found is None else msgspec.convert(found, Asked)


def _all() -> Work[list[Asked]]:
    found = yield from documents.list_of(OWNER)
    return [msgspec.convert(one, Asked) for one in found.values()]


def _put_new(asked: Asked, *, now: int) -> Work[None]:
    known = yield from _all()
    if any(one.id == asked.id for one in known):
        raise QuestionExists(asked.id)
    waiting = [one for one in known if one.status == "pending" and one.expires_at_ms > now]
    if len(waiting) >= MAX_WAITING:
        raise TooManyQuestions
    yield from documents.put(OWNER, asked.id, msgspec.to_builtins(asked), now=now)


def _end(
    question_id: str,
    status: Literal["answered", "cancelled", "expired"],
    answers: Answers | None,
    by: str | None,
    *,
    now: int,
) -> Work[Asked]:
    asked = yield from _find(question_id)
    if asked is None:
        raise UnknownQuestion(question_id)
    if asked.status != "pending" or (status != "expired" and asked.expires_at_ms <= now):
        raise AlreadyOver(question_id)
    over = msgspec.structs.replace(asked, status=status, answers=answers, resolved_by=by)
    yield from documents.put(OWNER, question_id, msgspec.to_builtins(over), now=now)
    return over


def _forget(*, before_ms: int) -> Work[int]:
    gone = 0
    for one in (yield from _all()):
        if one.expires_at_ms < before_ms:
            yield from documents.remove(OWNER, one.id)
            gone += 1
    return gone
