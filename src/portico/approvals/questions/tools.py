"""The tool with which an agent asks its people something, and waits for the answer."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, tool
from portico.approvals.questions.model import Option, Question
from portico.approvals.questions.service import (
    AlreadyOver,
    Questions,
    TooManyQuestions,
    UnknownQuestion,
)

USUAL_S = 300
LONGEST_S = 3_600


class AskArgs(ToolArgs, frozen=True, kw_only=True):
    """What `ask` takes."""

    question: Annotated[
        str, msgspec.Meta(min_length=1, max_length=4_000, description="One clear question.")
    ]
    options: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=200)], ...],
        msgspec.Meta(max_length=4, description="Answers to choose from; none: a free answer."),
    ] = ()
    other: Annotated[
        bool, msgspec.Meta(description="Whether another answer than the options is fine.")
    ] = True
    several: Annotated[bool, msgspec.Meta(description="Whether several may be chosen.")] = False
    seconds: Annotated[
        int, msgspec.Meta(ge=10, le=LONGEST_S, description="How long to wait for the answer.")
    ] = USUAL_S


class QuestionTools:
    """`ask`."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    @tool("ask", group="people", timeout_s=LONGEST_S + 30)
    async def ask(self, call: ToolCall, args: AskArgs) -> dict[str, Any]:
        """Ask the person at the gateway's page a question and wait for the answer.

        For a decision you cannot make yourself. People who write through channels do not see it:
        ask them in your answer.
        """
        question = Question(
            question_id="q",
            header="Question",
            question=args.question,
            options=tuple(Option(label=one) for one in dict.fromkeys(args.options)),
            multi_select=args.several or None,
            is_other=args.other or None,
        )
        if not self._questions.has_audience():
            raise ToolError("Nobody is at the page now. Ask the question in your answer.")
        try:
            asked = await self._questions.ask(
                (question,),
                agent_id=call.agent_id,
                session_key=call.session_key,
                run_id=call.run_id,
                timeout_ms=args.seconds * 1000,
            )
        except TooManyQuestions:
            raise ToolError("Too many questions wait for an answer already.") from None
        try:
            over = await self._questions.wait(asked.id)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_up(asked.id))
            raise
        if over.answers is None:
            return {"status": over.status}
        return {"status": "answered", "answers": over.answers.answers["q"]}

    async def _give_up(self, question_id: str) -> None:
        try:
            await self._questions.cancel(question_id, by="agent")
        except (AlreadyOver, UnknownQuestion):
            return
