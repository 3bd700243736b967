"""Answer one turn with a model: remember, ask, run the tools it calls, ask again.

Guarantees:
    - The turn ends with one `Final` or `Failed`, whatever a provider sends.
    - A tool is told of before it acts (the path commits in between), and acts once.
    - The conversation fits the model: old tool results are shortened first, then the older part is
      summarised; when a provider finds it too long all the same, once more.

Not here: HTTP, retries and fallbacks (asking.py); which tools there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
import structlog
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from portico.agents.model import workspace
from portico.agents.model.asking import Asking, NoAnswer, Question
from portico.agents.model.catalog import Catalog, Choice, UnknownModel
from portico.agents.model.compaction import compact
from portico.agents.model.memory import Memory, newest, pruned, recall, split, text_tokens
from portico.agents.model.prompt import Prompt
from portico.agents.model.settings import AgentModel
from portico.agents.model.tools import Tool, ToolsFor
from portico.agents.model.troubles import ASK_OPERATOR
from portico.agents.runtime import (
    AgentEvent,
    ContextCompacted,
    Failed,
    Final,
    StopReason,
    TextDelta,
    ToolCallRequested,
    ToolFinished,
    ToolStarted,
    Turn,
    TurnRequest,
)

log = structlog.get_logger()

MAX_STEPS = 50
MAX_RESULT_CHARS = 50_000
NO_MODEL = f"This agent has no usable model. {ASK_OPERATOR}"
CLIENT_TOOLS = "openai.tools"


class Engine:
    """Answers the turns of one agent."""

    def __init__(
        self, *, settings: AgentModel, catalog: Catalog, asking: Asking, tools: ToolsFor
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._asking = asking
        self._tools = tools

    async def answer(self, turn: Turn) -> AsyncGenerator[AgentEvent, None]:
        """Yield the events of an answer."""
        try:
            choices = self._choices(turn.request.model)
        except UnknownModel as error:
            log.error("model.unknown", agent=turn.agent_id, run_id=turn.run_id, error=str(error))
            yield Failed(NO_MODEL)
            return
        answering = Answering(turn, choices, self._settings, self._asking, self._tools(turn))
        async with aclosing(answering.events()) as events:
            async for event in events:
                yield event

    async def compact(self, turn: Turn) -> AsyncGenerator[AgentEvent, None]:
        """Yield the events of a compaction somebody asked for; none when there is nothing old.

        Raises:
            NoAnswer: no model answered.
            UnknownModel: the agent has no usable model.
        """
        choices = self._choices(turn.request.model)
        window = choices[0].model.context_window
        budget = self._settings.budget(window)
        memory = await recall(turn, most_tokens=4 * budget)
        cut = split(memory, min(self._settings.keep(window), memory.tokens // 4))
        if not cut.old:
            return
        async with aclosing(compact(self._asking, choices, memory, cut, budget=budget)) as events:
            async for event in events:
                yield event

    def _choices(self, wanted: str | None) -> list[Choice]:
        names = (wanted or self._settings.primary, *self._settings.fallbacks)
        found: dict[str, Choice] = {}
        problem: UnknownModel | None = None
        for name in filter(None, names):
            try:
                choice = self._catalog.resolve(name)
            except UnknownModel as error:
                problem = problem or error
                continue
            if choice.provider.usable:
                found.setdefault(choice.name, choice)
            else:
                problem = problem or UnknownModel(f"{choice.provider.name} has no API key")
        if not found:
            raise problem or UnknownModel("no model is configured for this agent")
        if problem is not None:
            log.warning("model.skipped", error=str(problem))
        return list(found.values())


class Answering:
    """One turn being answered."""

    def __init__(
        self,
        turn: Turn,
        choices: Sequence[Choice],
        settings: AgentModel,
        asking: Asking,
        tools: Sequence[Tool],
    ) -> None:
        self._turn = turn
        self._choices = choices
        self._settings = settings
        self._asking = asking
        self._tools = {tool.name: tool for tool in tools}
        self._client_tools = client_tools(turn.request)
        self._memory = Memory()
        self._instructions = ""
        self._steps: list[ModelMessage] = []  # answers and tool results of this turn
        self._compacted = False
        self._said = False
        self._called = 0

    async def events(self) -> AsyncGenerator[AgentEvent, None]:
        """Yield the events of the answer."""
        window = self._choices[0].model.context_window
        self._memory = await recall(self._turn, most_tokens=2 * self._settings.budget(window))
        self._instructions = await self._instruct()
        try:
            async for event in self._fit(self._settings.budget(window)):
                yield event
            async for event in self._steps_until_done():
                yield event
        except NoAnswer as error:
            yield error.trouble.failed()

    async def _steps_until_done(self) -> AsyncGenerator[AgentEvent, None]:
        for _ in range(MAX_STEPS):
            question = self._question()
            async with aclosing(self._ask(question)) as events:
                async for event in events:
                    yield event
            answer = question.answer
            if answer is None:
                raise RuntimeError("a call ended without an answer")
            self._steps.append(answer)
            calls = answer.tool_calls
            if not calls:
                yield _final(answer)
                return
            if requested := [call for call in calls if call.tool_name in self._client_tools]:
                for call in requested:
                    yield ToolCallRequested(call.tool_call_id, call.tool_name, _given(call) or {})
                yield Final(stop_reason="toolUse")
                return
            returns: list[ToolReturnPart] = []
            async for tool_event in self._run_tools(calls, returns):
                yield tool_event
            self._steps.append(ModelRequest(returns))
        yield Failed(f"The agent used tools {MAX_STEPS} times without coming to an answer.")

    async def _ask(self, question: Question) -> AsyncGenerator[AgentEvent, None]:
        try:
            async with aclosing(self._spoken(question)) as events:
                async for event in events:
                    yield event
            return
        except NoAnswer as error:
            if error.trouble.kind != "context_length" or self._compacted or question.shown:
                raise
            before, too_long = self._memory, error
        log.info("model.context_too_long", run_id=self._turn.run_id)
        async for event in self._fit(self._memory.tokens // 2):
            yield event
        if self._memory == before:
            raise too_long
        async with aclosing(self._spoken(question)) as events:
            async for event in events:
                yield event

    async def _spoken(self, question: Question) -> AsyncGenerator[AgentEvent, None]:
        """Ask; text of a later step begins a paragraph of its own."""
        begins = self._said
        messages = self._messages()
        async with aclosing(self._asking.ask(question, messages, self._choices)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    yield TextDelta(f"\n\n{event.text}") if begins else event
                    begins, self._said = False, True
                else:
                    yield event

    async def _fit(self, budget: int) -> AsyncGenerator[AgentEvent, None]:
        """Make the memory fit into a budget of tokens."""
        extra = text_tokens(self._instructions) + text_tokens(self._turn.request.text)
        if self._memory.tokens + extra <= budget:
            return
        self._memory = pruned(self._memory)
        if self._memory.tokens + extra <= budget:
            return
        self._compacted = True
        keep = min(self._settings.keep(self._choices[0].model.context_window), budget // 3)
        cut = split(self._memory, keep)
        if not cut.old:
            return
        if self._turn.request.prior:  # the caller's own memory: it is shortened for this turn only
            self._memory = newest(self._memory, keep)
            return
        try:
            events = compact(self._asking, self._choices, self._memory, cut, budget=budget)
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, ContextCompacted):
                        self._memory = Memory(cut.kept, event.summary)
                    yield event
        except NoAnswer as error:
            log.warning("model.compaction_failed", run_id=self._turn.run_id, error=str(error))
            self._memory = newest(self._memory, budget - extra)

    async def _instruct(self) -> str:
        settings, request = self._settings, self._turn.request
        own = await asyncio.to_thread(
            workspace.instructions, settings.workspace, name=settings.name
        )
        return "\n\n".join(part for part in (own, request.system_prompt) if part)

    def _messages(self) -> list[ModelMessage]:
        prompt = Prompt(self._choices[0])
        prompt.remember(self._memory)
        prompt.ask(self._turn.request)
        return [*prompt.messages, *self._steps]

    def _question(self) -> Question:
        given = self._instructions
        return Question(
            ModelRequestParameters(
                function_tools=[
                    *(_definition(tool) for tool in self._tools.values()),
                    *self._client_tools.values(),
                ],
                instruction_parts=[InstructionPart(content=given)] if given else None,
            ),
            thinking=self._turn.request.thinking or self._settings.thinking,
        )

    async def _run_tools(
        self, calls: Sequence[ToolCallPart], returns: list[ToolReturnPart]
    ) -> AsyncIterator[AgentEvent]:
        for call in calls:
            tool, arguments = self._tools.get(call.tool_name), _given(call)
            changes = tool is not None and arguments is not None and tool.side_effects
            self._called += 1  # ids of models repeat from step to step
            call_id = f"{call.tool_call_id}.{self._called}"
            yield ToolStarted(call_id, call.tool_name, arguments or {}, changes)
            result, is_error = await _act(tool, arguments)
            yield ToolFinished(call_id, call.tool_name, result, is_error)
            text = _as_text(result)
            returns.append(ToolReturnPart(call.tool_name, text, tool_call_id=call.tool_call_id))


async def _act(tool: Tool | None, arguments: Mapping[str, Any] | None) -> tuple[Any, bool]:
    if tool is None:
        return "There is no such tool.", True
    if arguments is None:
        return "The arguments are not a JSON object.", True
    try:
        return await tool.run(arguments), False
    except Exception as error:  # whatever it is, the model may go on
        log.warning("tool.failed", tool=tool.name, exc_info=error)
        return f"{type(error).__name__}: {error}", True


def _given(call: ToolCallPart) -> dict[str, Any] | None:
    """Return a call's arguments; `None` when the model wrote no JSON object."""
    try:
        given = call.args_as_dict(raise_if_invalid=True)
    except (ValueError, AssertionError):
        return None
    return given


def _as_text(result: Any) -> str:
    text = (
        result if isinstance(result, str) else msgspec.json.encode(result, enc_hook=repr).decode()
    )
    return text if len(text) <= MAX_RESULT_CHARS else f"{text[:MAX_RESULT_CHARS]}\n[cut here]"


def _definition(tool: Tool) -> ToolDefinition:
    schema = dict(tool.parameters)
    return ToolDefinition(
        name=tool.name, description=tool.description, parameters_json_schema=schema
    )


def client_tools(request: TurnRequest) -> dict[str, ToolDefinition]:
    """Return the tools the caller runs itself, in either of OpenAI's shapes."""
    found: dict[str, ToolDefinition] = {}
    for given in request.extensions.get(CLIENT_TOOLS) or ():
        shape = given.get("function") or given if isinstance(given, dict) else {}
        name = shape.get("name")
        if isinstance(name, str) and name:
            found[name] = ToolDefinition(
                name=name,
                description=shape.get("description"),
                parameters_json_schema=shape.get("parameters") or {"type": "object"},
            )
    return found


_STOPS: Mapping[str, StopReason] = {"length": "length", "tool_call": "toolUse"}


def _final(answer: ModelResponse) -> AgentEvent:
    if answer.finish_reason == "content_filter" and not answer.text:
        return Failed("The model declined to answer this.", "refusal")
    return Final(stop_reason=_STOPS.get(answer.finish_reason or "stop", "stop"))
