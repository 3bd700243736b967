"""RPC methods of questions to people.

Source: OpenClaw gateway protocol, "question.*".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from portico.approvals.questions.model import Answers, Asked, BadAnswer, Question, Status
from portico.approvals.questions.service import (
    AlreadyOver,
    QuestionExists,
    Questions,
    TooManyQuestions,
    UnknownQuestion,
)
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
LONGEST_WAIT_MS = 300_000


class Request(Params, frozen=True, kw_only=True):
    """`{questions, id?, agentId?, sessionKey?, runId?, timeoutMs?}`."""

    questions: Annotated[tuple[Question, ...], msgspec.Meta(min_length=1, max_length=3)]
    id: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    session_key: NonEmpty | None = None
    run_id: NonEmpty | None = None
    timeout_ms: Positive | None = None


class Named(Params, frozen=True):
    """`{id}`."""

    id: NonEmpty


class Wait(Params, frozen=True, kw_only=True):
    """`{id, timeoutMs?, includeResolutionId?}`."""

    id: NonEmpty
    timeout_ms: Positive | None = None
    include_resolution_id: bool | None = None


class Given(Params, frozen=True):
    """`{answers: {<questionId>: [text]}}`."""

    answers: dict[str, list[str]]


class Resolve(Params, frozen=True, kw_only=True):
    """`{id, answers}` or `{id, cancel: true}`."""

    id: NonEmpty
    answers: Given | None = None
    cancel: Literal[True] | None = None
    secret_store_allowed_hosts: list[str] | None = None
    resolved_by: NonEmpty | None = None
    resolution_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None


class Requested(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What was asked waits until then."""

    id: str
    expires_at_ms: int


class Shown(Result, frozen=True, omit_defaults=False):
    """One request."""

    question: Asked


class Listed(Result, frozen=True, omit_defaults=False):
    """Those that wait."""

    questions: list[Asked]


class State(Result, frozen=True, kw_only=True):
    """How it stands, and what was answered."""

    status: Status = msgspec.field()
    answers: Answers | None = None


class QuestionMethods:
    """`question.*`."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    @method("question.request", scope=Scope.QUESTIONS)
    async def request(self, call: Call, params: Request) -> Requested:
        """Ask people one to three questions; the answer comes by question.waitAnswer."""
        try:
            asked = await self._questions.ask(
                params.questions,
                question_id=params.id,
                agent_id=params.agent_id,
                session_key=params.session_key,
                run_id=params.run_id,
                timeout_ms=params.timeout_ms,
            )
        except ValueError as error:
            raise InvalidRequest(f"invalid question.request params: {error}") from None
        except QuestionExists:
            raise InvalidRequest(f"question id already used: {params.id}") from None
        except TooManyQuestions:
            raise Unavailable("too many questions wait for an answer", retryable=True) from None
        return Requested(id=asked.id, expires_at_ms=asked.expires_at_ms)

    @method("question.waitAnswer", scope=Scope.QUESTIONS)
    async def wait(self, call: Call, params: Wait) -> State:
        """Wait until a question is answered, cancelled or expired, or for the time given."""
        most_ms = min(params.timeout_ms or LONGEST_WAIT_MS, LONGEST_WAIT_MS)
        try:
            asked = await self._questions.wait(params.id, timeout_s=most_ms / 1000)
        except UnknownQuestion:
            raise _unknown(params.id) from None
        return State(status=asked.status, answers=asked.answers)

    @method("question.resolve", scope=Scope.QUESTIONS)
    async def resolve(self, call: Call, params: Resolve) -> State:
        """Answer a question, or leave it unanswered."""
        if (params.answers is None) == (params.cancel is None):
            raise InvalidRequest("invalid question.resolve params: answers or cancel is needed")
        by = call.principal.subject
        try:
            if params.answers is None:
                over = await self._questions.cancel(params.id, by=by)
            else:
                over = await self._questions.answer(params.id, params.answers.answers, by=by)
        except BadAnswer as error:
            raise InvalidRequest(f"invalid question.resolve params: at /answers: {error}") from None
        except UnknownQuestion:
            raise _unknown(params.id) from None
        except AlreadyOver:
            raise InvalidRequest(
                f"question is over: {params.id}", details={"code": "QUESTION_ALREADY_RESOLVED"}
            ) from None
        return State(status=over.status, answers=over.answers)

    @method("question.get", scope=Scope.QUESTIONS)
    async def get(self, call: Call, params: Named) -> Shown:
        """Show one question, also one that was answered within the last day."""
        try:
            return Shown(await self._questions.get(params.id))
        except UnknownQuestion:
            raise _unknown(params.id) from None

    @method("question.list", scope=Scope.QUESTIONS)
    async def list(self, call: Call, params: Empty) -> Listed:
        """List the questions that wait for an answer, the oldest first."""
        return Listed(await self._questions.pending())


def _unknown(question_id: str) -> InvalidRequest:
    details: dict[str, Any] = {"code": "QUESTION_NOT_FOUND"}
    return InvalidRequest(f"unknown question: {question_id}", details=details)
