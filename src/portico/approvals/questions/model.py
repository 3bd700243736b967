"""Questions to a person, and what may be answered. No I/O.

Theory of operation: a request holds one to three questions. It is pending until somebody answers
all of them, somebody cancels it, or its time is up; then it never changes again.

Source: OpenClaw gateway protocol, "question.*" (`QuestionRecord`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from portico.protocol.validation import Params

Status = Literal["pending", "answered", "cancelled", "expired"]
MAX_ANSWER_CHARS = 8_000
MAX_ANSWERS = 16
NonEmpty = Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]


class Option(Params, frozen=True, kw_only=True, omit_defaults=True):
    """One answer to choose."""

    label: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    description: Annotated[str, msgspec.Meta(max_length=1_000)] | None = None


class Question(Params, frozen=True, kw_only=True, omit_defaults=True):
    """One question.

    Attributes:
        header: a word or two above it.
        is_other: another answer than the options may be written; without options always.
    """

    question_id: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    header: Annotated[str, msgspec.Meta(max_length=12)] = msgspec.field()
    question: NonEmpty
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)] | None = None
    options: Annotated[tuple[Option, ...], msgspec.Meta(max_length=4)] = msgspec.field()
    multi_select: bool | None = None
    is_other: bool | None = None
    is_secret: bool | None = None
    secret_store: dict[str, Any] | None = None


class Answers(msgspec.Struct, frozen=True, rename="camel"):
    """What was answered, by the id of the question."""

    answers: dict[str, list[str]]


class Asked(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A request, as it is kept and shown. Times are milliseconds UTC."""

    id: str
    questions: tuple[Question, ...]
    agent_id: str | None = None
    session_key: str | None = None
    run_id: str | None = None
    created_at_ms: int
    expires_at_ms: int
    status: Status = msgspec.field()
    answers: Answers | None = None
    resolved_by: str | None = None


class BadAnswer(ValueError):
    """Something that is no answer; the text says why."""


def check_questions(questions: tuple[Question, ...]) -> None:
    """Check what is to be asked.

    Raises:
        ValueError: it cannot be asked.
    """
    ids = [one.question_id for one in questions]
    if len(set(ids)) != len(ids):
        raise ValueError("questionId: each once")
    if any(one.is_secret or one.secret_store for one in questions):
        raise ValueError("secrets are not asked for here: set them with portico config set")
    for one in questions:
        labels = [option.label for option in one.options]
        if len(set(labels)) != len(labels):
            raise ValueError(f"{one.question_id}: each option once")


def checked(asked: Asked, given: Mapping[str, list[str]]) -> Answers:
    """Return answers to all of the questions.

    Raises:
        BadAnswer: one is missing, too many, or none of the options.
    """
    if unknown := given.keys() - {one.question_id for one in asked.questions}:
        raise BadAnswer(f"no such question: {', '.join(sorted(unknown))}")
    return Answers({one.question_id: _answers_to(one, given) for one in asked.questions})


def _answers_to(question: Question, given: Mapping[str, list[str]]) -> list[str]:
    name = question.question_id
    answers = [text.strip() for text in given.get(name, ())]
    answers = list(dict.fromkeys(text for text in answers if text))
    if not answers:
        raise BadAnswer(f"{name}: an answer is needed")
    if len(answers) > (MAX_ANSWERS if question.multi_select else 1):
        raise BadAnswer(f"{name}: one answer is asked for")
    if any(len(text) > MAX_ANSWER_CHARS for text in answers):
        raise BadAnswer(f"{name}: more than {MAX_ANSWER_CHARS} characters")
    labels = {option.label for option in question.options}
    is_free = bool(question.is_other) or not labels
    if not is_free and (other := [text for text in answers if text not in labels]):
        raise BadAnswer(f"{name}: {other[0][:100]!r} is none of the options")
    return answers
