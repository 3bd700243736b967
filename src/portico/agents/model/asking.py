"""One model call: retries, fallbacks, the stream of it as agent events.

Guarantees:
    - A call ends: silence longer than the provider's limit is a timeout, opening included.
    - A call is repeated only while nothing of its answer was shown; after that it ends the turn.
    - What is cut off, fails on the way, is empty, or is not the JSON that was wanted is never taken
      for an answer (finish.py). JSON is shown in one piece, once it is known to be some: what was
      shown cannot be taken back.
    - What a call used is told, of one that is cut off as far as it can be known.
    - A provider's Retry-After is obeyed; when it is longer than we wait, it is told instead.
    - A cancelled or abandoned call closes its connection.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import structlog
from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
)
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from portico.agents.model.catalog import Choice
from portico.agents.model.clients import Clients
from portico.agents.model.cooldown import Cooldowns
from portico.agents.model.finish import as_json, check_done, check_says_something, is_done
from portico.agents.model.memory import CHARS_PER_TOKEN, text_tokens
from portico.agents.model.prompt import prompt_tokens
from portico.agents.model.troubles import Trouble, judge
from portico.agents.model.wishes import Wishes
from portico.agents.runtime import (
    AgentEvent,
    ModelAnswering,
    ModelUsed,
    Progress,
    TextDelta,
    ThinkingDelta,
    Usage,
)

log = structlog.get_logger()

ATTEMPTS_ALONE = 3
ATTEMPTS_WITH_OTHERS = 2
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 20.0
MAX_LOGGED = 500
_THINKING_OFF = frozenset({"off", "none"})
_THINKING = frozenset({"minimal", "low", "medium", "high", "xhigh", "max"})


class NoAnswer(Exception):
    """No model answered; `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


@dataclass(slots=True)
class Question:
    """What is asked; the answer is put beside it.

    Attributes:
        max_tokens: the longest answer; `None`: what the model is configured with.
        wishes: what the caller wants of the answer.
        may_be_silent: whether an answer without text and tool calls is one.
        shown: whether something of the answer was yielded.
    """

    parameters: ModelRequestParameters
    thinking: str | None = None
    max_tokens: int | None = None
    wishes: Wishes = field(default_factory=Wishes)
    may_be_silent: bool = False
    shown: bool = False
    answer: ModelResponse | None = None


class Asking:
    """Asks models.

    Args:
        first_wait_s: the pause before the first repetition; it doubles.
    """

    def __init__(
        self, clients: Clients, cooldowns: Cooldowns, *, first_wait_s: float = FIRST_WAIT_S
    ) -> None:
        self._clients = clients
        self._cooldowns = cooldowns
        self._first_wait_s = first_wait_s

    async def ask(
        self, question: Question, messages: Sequence[ModelMessage], choices: Sequence[Choice]
    ) -> AsyncGenerator[AgentEvent, None]:
        """Yield the events of an answer, from the first choice that gives one.

        Raises:
            NoAnswer: none did.
        """
        trouble: Trouble | None = None
        ordered = self._cooldowns.order(choices)
        for position, choice in enumerate(ordered):
            attempts = ATTEMPTS_ALONE if len(ordered) == 1 else ATTEMPTS_WITH_OTHERS
            for attempt in range(1, attempts + 1):
                try:
                    async with aclosing(self._once(question, messages, choice)) as events:
                        async for event in events:
                            yield event
                    self._cooldowns.succeeded(choice)
                    return
                except Exception as error:  # noqa: BLE001  # SDKs raise many kinds; each is judged
                    trouble = judge(error, choice.name, choice.provider.timeout_s)
                    _report(error, choice, attempt)
                if question.shown or trouble.kind == "context_length":
                    raise NoAnswer(_broken_off(trouble) if question.shown else trouble)
                wait_s = self._wait_s(trouble, attempt)
                if not trouble.again or attempt == attempts or wait_s > LONGEST_WAIT_S:
                    break
                yield Progress("retrying", f"{trouble.message} Trying again in {wait_s:.1f} s.")
                await asyncio.sleep(wait_s)
            if trouble is None or trouble.rests:
                self._cooldowns.failed(choice, trouble.retry_after_s if trouble else None)
            if position + 1 < len(ordered):
                following = ordered[position + 1].name
                yield Progress("fallback", f"{choice.name} did not answer; asking {following}.")
        raise NoAnswer(trouble or Trouble("This agent has no model."))

    def _wait_s(self, trouble: Trouble, attempt: int) -> float:
        if trouble.retry_after_s is not None:
            return trouble.retry_after_s
        return math.ldexp(self._first_wait_s, attempt - 1)

    async def _once(
        self, question: Question, messages: Sequence[ModelMessage], choice: Choice
    ) -> AsyncGenerator[AgentEvent, None]:
        await self._clients.prepare(choice)
        async with asyncio.timeout(choice.provider.timeout_s):
            stream, response = await self._open(question, messages, choice, question.wishes)
        asked_tokens = partial(_asked_tokens, question, messages)
        is_held = question.wishes.wants_json
        error: BaseException | None = None
        try:
            yield _answering(response, choice, asked_tokens)
            async for event in _with_limit(aiter(response), choice.provider.timeout_s):
                shown = shown_of(event)
                if shown is not None and not (is_held and isinstance(shown, TextDelta)):
                    question.shown = question.shown or _is_seen(shown)
                    yield shown
        except Exception as raised:
            if not is_done(response.get()):
                error = raised
                raise
            log.info(
                "model.broke_off_at_the_end", model=choice.name, error=repr(raised)[:MAX_LOGGED]
            )
        except BaseException as raised:
            error = raised
            raise
        finally:
            await stream.__aexit__(type(error) if error else None, error, None)
        answer = response.get()
        check_done(answer)
        yield _used(answer, choice, asked_tokens)  # an empty one was paid for as well
        check_says_something(answer, may_be_silent=question.may_be_silent and not is_held)
        if is_held and (text := _held(answer, question.wishes)):
            yield TextDelta(text)
        question.answer = answer

    async def _open(
        self,
        question: Question,
        messages: Sequence[ModelMessage],
        choice: Choice,
        wishes: Wishes,
    ) -> tuple[AbstractAsyncContextManager[StreamedResponse], StreamedResponse]:
        """Begin a call; with fewer wishes when the model cannot fulfil all of them."""
        model = self._clients.model(choice)
        stream = model_request_stream(
            model,
            messages,
            model_settings=_settings(question, wishes.settings_for(model), choice),
            model_request_parameters=wishes.shape(question.parameters, model),
        )
        try:
            return stream, await stream.__aenter__()
        except UserError as error:  # found before anything was sent
            fewer = wishes.lenient()
            if fewer == wishes:
                raise
            log.warning("model.wish_ignored", model=choice.name, error=str(error))
            return await self._open(question, messages, choice, fewer)


async def _with_limit(
    events: AsyncIterator[ModelResponseStreamEvent], silence_s: float
) -> AsyncGenerator[ModelResponseStreamEvent, None]:
    while True:
        try:
            async with asyncio.timeout(silence_s):
                event = await anext(events)
        except StopAsyncIteration:
            return
        yield event


def shown_of(event: ModelResponseStreamEvent) -> AgentEvent | None:
    """Return what a stream event shows; `None`: nothing."""
    match event:
        case PartStartEvent(part=TextPart(content=text)) if text:
            return TextDelta(text)
        case PartStartEvent(part=ThinkingPart(content=text)) if text:
            return ThinkingDelta(text)
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if text:
            return TextDelta(text)
        case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=str(text))) if text:
            return ThinkingDelta(text)
        case _:
            return None


def _held(answer: ModelResponse, wishes: Wishes) -> str:
    """Return what to show of an answer in JSON: nothing while the agent's tools are at work.

    Raises:
        NotJson: it is none.
    """
    text, names = answer.text or "", {call.tool_name for call in answer.tool_calls}
    if names:
        return text if names & wishes.tools.keys() else ""
    if not text.strip() or answer.finish_reason in {"length", "content_filter"}:
        return text  # the finish reason says that it is not whole
    return as_json(text, is_object=wishes.wants_object)


def _is_seen(event: AgentEvent) -> bool:
    return isinstance(event, TextDelta) and not event.text.isspace()


def _settings(question: Question, wanted: Mapping[str, Any], choice: Choice) -> ModelSettings:
    settings: dict[str, Any] = {**choice.model.params, **wanted}
    limits = (question.max_tokens, question.wishes.max_tokens, choice.model.max_tokens)
    if any(limits):
        settings["max_tokens"] = min(filter(None, limits))
    thinking = (question.thinking or "").lower()
    if thinking in _THINKING:
        settings["thinking"] = thinking
    elif thinking in _THINKING_OFF and choice.model.reasoning:
        settings["thinking"] = False
    made: ModelSettings = settings  # type: ignore[assignment]  # its keys are the file's
    return made


def _asked_tokens(question: Question, messages: Sequence[ModelMessage]) -> int:
    told = question.parameters.instruction_parts or ()
    return prompt_tokens(messages) + sum(text_tokens(part.content) for part in told)


def _answering(
    response: StreamedResponse, choice: Choice, asked_tokens: Callable[[], int]
) -> ModelAnswering:
    def so_far(chars: int) -> Usage:
        output = -(-chars // CHARS_PER_TOKEN)
        estimate = RequestUsage(input_tokens=asked_tokens(), output_tokens=output)
        return _usage(response.get(), choice, estimate)

    return ModelAnswering(so_far, choice.provider.name, choice.model.id)


def _used(answer: ModelResponse, choice: Choice, asked_tokens: Callable[[], int]) -> ModelUsed:
    found = answer.usage
    if not found.input_tokens and not found.output_tokens:  # it does not say: estimate
        found = RequestUsage(
            input_tokens=asked_tokens(), output_tokens=text_tokens(answer.text or "")
        )
    return ModelUsed(_usage(answer, choice, found), choice.provider.name, choice.model.id)


def _usage(answer: ModelResponse, choice: Choice, found: RequestUsage) -> Usage:
    return Usage(
        input=max(0, found.input_tokens - found.cache_read_tokens - found.cache_write_tokens),
        output=found.output_tokens,
        cache_read=found.cache_read_tokens,
        cache_write=found.cache_write_tokens,
        context=found.input_tokens,
        cost_usd=_cost(answer, choice, found),
    )


def _cost(answer: ModelResponse, choice: Choice, used: RequestUsage) -> float:
    price = choice.model.price
    if price is not None:
        plain = max(0, used.input_tokens - used.cache_read_tokens - used.cache_write_tokens)
        return (
            plain * price.input
            + used.output_tokens * price.output
            + used.cache_read_tokens * price.cache_read
            + used.cache_write_tokens * price.cache_write
        ) / 1e6
    try:
        dollars: float = float(replace(answer, usage=used).cost().total_price)
    except (LookupError, ValueError, AssertionError):
        return 0.0  # a model of one's own, or a price nobody knows
    return dollars


def _broken_off(trouble: Trouble) -> Trouble:
    return Trouble(f"The answer broke off: {trouble.message}", trouble.kind)


def _report(error: Exception, choice: Choice, attempt: int) -> None:
    log.warning(
        "model.call_failed",
        model=choice.name,
        attempt=attempt,
        error=type(error).__name__,
        status=getattr(error, "status_code", None),
        detail=str(error)[:MAX_LOGGED],
    )
