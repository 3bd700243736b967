"""Whether what a provider streamed is an answer: said to be done, with something in it, in JSON.

Theory of operation: a connection that is closed looks like the end of the answer, so only the
provider's word counts: a finish reason. A reason we do not know is a word too, unless the response
is suspended; `error` is the word that it failed. A provider that gives its word and then breaks
the connection has answered. And an answer without text and without a tool call is none: what a
model thought is not for the person.

Where the caller wants JSON, only JSON is an answer: some providers ignore the wish, and some models
put Markdown around it. Whether it keeps to a schema is not looked at.
"""

from __future__ import annotations

import re

import msgspec
from pydantic_ai.messages import ModelResponse

_FAILED = "error"
_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*", re.DOTALL | re.IGNORECASE)


class Unfinished(Exception):
    """The stream ended before the provider said that the answer is complete."""


class NothingSaid(Exception):
    """The answer is complete and empty.

    Attributes:
        at_limit: the longest answer was used up before anything was said.
    """

    def __init__(self, *, at_limit: bool) -> None:
        super().__init__("the answer is empty" + (" and at its limit" if at_limit else ""))
        self.at_limit = at_limit


class NotJson(Exception):
    """The answer is complete, and not the JSON that was wanted."""


def is_done(answer: ModelResponse) -> bool:
    """Whether the provider said, in words we know, that this is all of it."""
    return answer.finish_reason not in {None, _FAILED}


def check_done(answer: ModelResponse) -> None:
    """Refuse an answer that is not all of it.

    Raises:
        Unfinished: it was not said to be complete, or was said to have failed.
    """
    if not is_done(answer) and not _has_ended_otherwise(answer):
        raise Unfinished("the stream ended before the answer was complete")


def check_says_something(answer: ModelResponse, *, may_be_silent: bool) -> None:
    """Refuse an empty answer.

    Args:
        may_be_silent: something was done or said before, so that saying nothing is an answer.

    Raises:
        NothingSaid: it is empty.
    """
    says_something = bool(answer.tool_calls) or bool((answer.text or "").strip())
    if says_something or may_be_silent or answer.finish_reason == "content_filter":
        return
    raise NothingSaid(at_limit=answer.finish_reason == "length")


def as_json(text: str, *, is_object: bool) -> str:
    """Return the JSON that an answer is, without Markdown around it.

    Args:
        is_object: whether it must be an object.

    Raises:
        NotJson: it is something else.
    """
    fenced = _FENCED.fullmatch(text)
    inner = fenced.group(1) if fenced else text
    try:
        value = msgspec.json.decode(inner)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotJson(f"the answer is not JSON: {error}") from error
    if is_object and not isinstance(value, dict):
        raise NotJson("the answer is JSON, but no object")
    return inner


def _has_ended_otherwise(answer: ModelResponse) -> bool:
    """Whether it ended for a reason of the provider's own, such as `eos_token`."""
    reason = (answer.provider_details or {}).get("finish_reason")
    is_word = isinstance(reason, str) and reason.lower() != _FAILED
    return answer.finish_reason is None and answer.state == "complete" and is_word
