"""Answer one turn with a model: remember, ask, run the tools it calls, ask again.

Guarantees:
    - The turn ends with one `Final` or `Failed`, whatever a provider sends.
    - A message sent into the turn is taken in before the next model call; one that comes while the
      last answer is written is not, and becomes a turn of its own.
    - A tool is told of before it acts (the path commits in between), and acts once.
    - The conversation fits the model: old tool results are shortened first, then the older part is
      summarised; when a provider finds it too long all the same, once more.

Not here: HTTP, retries and fallbacks (asking.py); which tools there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import structlog
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from portico.agents.files import loaded
from portico.agents.model import workspace
from portico.agents.model.asking import Asking, NoAnswer, Question
from portico.agents.model.catalog import Catalog, Choice, UnknownModel
from portico.agents.model.compaction import compact
from portico.agents.model.media import attached
from portico.agents.model.memory import (
    Memory,
    newest,
    parts_of,
    pruned,
    recall,
    split,
    text_tokens,
)
from portico.agents.model.prompt import Prompt
from portico.agents.model.settings import AgentModel
from portico.agents.model.tools import GuidanceFor, ToolsFor, no_guidance
from portico.agents.model.troubles import ASK_OPERATOR
from portico.agents.model.wishes import Wishes
from portico.agents.runtime import (
    AgentEvent,
    ContextCompacted,
    Failed,
    Final,
    HistoryMessage,
    StopReason,
    TextDelta,
    ToolCallRequested,
    ToolFinished,
    ToolStarted,
    Turn,
)
from portico.agents.tools.contract import Tool
from portico.agents.tools.toolbox import TurnTools
from portico.agents.tools.toolbox import as_text as shown
from portico.channels.model import Attachment

log = structlog.get_logger()

MAX_STEPS = 50
NO_MODEL = f"This agent has no usable model. {ASK_OPERATOR}"


class Engine:
    """Answers the turns of one agent."""

    def __init__(
        self,
        *,
        settings: AgentModel,
        catalog: Catalog,
        asking: Asking,
        tools: ToolsFor,
        guidance: GuidanceFor = no_guidance,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._asking = asking
        self._tools = tools
        self._guidance = guidance

    async def answer(self, turn: Turn) -> AsyncGenerator[AgentEvent, None]:
        """Yield the events of an answer."""
        try:
            choices = self._choices(turn.request.model)
        except UnknownModel as error:
            log.error("model.unknown", agent=turn.agent_id, run_id=turn.run_id, error=str(error))
            yield Failed(NO_MODEL)
            return
        tools = await self._tools(turn)
        guidance = await self._guidance(turn, tools)
        answering = Answering(
            turn, choices, self._settings, self._asking, tools=tools, guidance=guidance
        )
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
        *,
        tools: TurnTools,
        guidance: str = "",
    ) -> None:
        self._turn = turn
        self._guidance = guidance
        self._choices = choices
        self._settings = settings
        self._asking = asking
        self._tools = tools
        self._wishes = Wishes.of(turn.request.extensions)
        self._memory = Memory()
        self._files: dict[str, bytes] = {}  # by hash
        self._instructions = ""
        self._steps: list[ModelMessage] = []  # answers and tool results of this turn
        self._compacted = False
        self._said = False
        self._called = 0

    async def events(self) -> AsyncGenerator[AgentEvent, None]:
        """Yield the events of the answer."""
        window = self._choices[0].model.context_window
        self._memory = await recall(self._turn, most_tokens=2 * self._settings.budget(window))
        self._files = await loaded(self._turn, self._turn.request, self._memory.entries)
        self._read_all()
        self._instructions = await self._instruct()
        self._tools.read(self._instructions)
        try:
            async for event in self._fit(self._settings.budget(window)):
                yield event
            async for event in self._steps_until_done():
                yield event
        except NoAnswer as error:
            yield error.trouble.failed()

    async def _steps_until_done(self) -> AsyncGenerator[AgentEvent, None]:
        for _ in range(MAX_STEPS):
            await self._take_in()
            question = self._question()
            async with aclosing(self._ask(question)) as events:
                async for event in events:
                    yield event
            answer = question.answer
            if answer is None:
                raise RuntimeError("a call ended without an answer")
            self._steps.append(answer)
            self._tools.said(answer.text or "")
            calls = answer.tool_calls
            if not calls:
                yield _final(answer, is_untrusted=self._tools.is_untrusted)
                return
            if requested := [call for call in calls if call.tool_name in self._wishes.tools]:
                for call in requested:
                    yield ToolCallRequested(call.tool_call_id, call.tool_name, _given(call) or {})
                yield Final(stop_reason="toolUse", is_untrusted=self._tools.is_untrusted)
                return
            returns: list[ToolReturnPart] = []
            media: list[Attachment] = []
            async for tool_event in self._run_tools(calls, returns, media):
                yield tool_event
            self._steps.append(ModelRequest([*returns, *self._shown(media)]))
        yield Failed(f"The agent used tools {MAX_STEPS} times without coming to an answer.")

    async def _take_in(self) -> None:
        """Add the messages sent into the turn meanwhile, after what tools returned."""
        while (sent := await self._turn.steered()) is not None:
            self._tools.read(sent.late_context or "")
            self._tools.read(sent.text, is_untrusted=sent.is_untrusted)
            prompt = Prompt(self._choices[0], await loaded(self._turn, sent))
            prompt.ask(sent)
            self._steps += prompt.messages

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
                        self._memory = Memory(cut.kept, event.summary, event.is_untrusted)
                    yield event
        except NoAnswer as error:
            log.warning("model.compaction_failed", run_id=self._turn.run_id, error=str(error))
            self._memory = newest(self._memory, budget - extra)

    async def _instruct(self) -> str:
        settings, request = self._settings, self._turn.request
        own = await asyncio.to_thread(
            workspace.instructions,
            settings.workspace,
            name=settings.name,
            with_private=self._tools.may_recall,
        )
        return "\n\n".join(filter(None, (own, self._guidance, request.system_prompt)))

    def _messages(self) -> list[ModelMessage]:
        prompt = Prompt(self._choices[0], self._files)
        prompt.remember(self._memory)
        prompt.ask(self._turn.request)
        return [*prompt.messages, *self._steps]

    def _question(self) -> Question:
        given = self._instructions
        return Question(
            ModelRequestParameters(
                function_tools=[*self._offered().values()],
                instruction_parts=[InstructionPart(content=given)] if given else None,
            ),
            thinking=self._turn.request.thinking or self._settings.thinking,
            wishes=self._wishes,
            may_be_silent=bool(self._steps),
        )

    def _read_all(self) -> None:
        """Tell the tools what the model is about to be shown, and who vouches for it."""
        request, memory, tools = self._turn.request, self._memory, self._tools
        tools.said(memory.summary or "", is_untrusted=memory.is_untrusted)
        for entry in memory.entries:
            _note(tools, entry)
        tools.read(request.late_context or "")
        tools.read(request.text, is_untrusted=request.is_untrusted)
        for part in request.parts:
            if part.get("type") == "toolResult":
                tools.returned(str(part.get("text") or ""))

    def _shown(self, media: Sequence[Attachment]) -> list[UserPromptPart]:
        """Show what tools brought besides text, to a model that can see it."""
        if not media:
            return []
        return [UserPromptPart([attached(item, self._choices[0]) for item in media])]

    def _offered(self) -> dict[str, ToolDefinition]:
        """The agent's tools and the caller's; of two with one name, the caller's."""
        own = {tool.name: _definition(tool) for tool in self._tools.offered()}
        return {**own, **self._wishes.tools}

    async def _run_tools(
        self,
        calls: Sequence[ToolCallPart],
        returns: list[ToolReturnPart],
        media: list[Attachment],
    ) -> AsyncIterator[AgentEvent]:
        for call in calls:
            name, arguments = call.tool_name, _given(call)
            tool = self._tools.find(name)
            changes = tool is not None and arguments is not None and tool.changes
            self._called += 1  # ids of models repeat from step to step
            call_id = f"{call.tool_call_id}.{self._called}"
            yield ToolStarted(call_id, name, arguments or {}, changes)
            done = await self._tools.call(call_id, name, arguments)
            yield ToolFinished(call_id, name, done.value, done.is_error, done.is_untrusted)
            returns.append(ToolReturnPart(name, shown(done.value), tool_call_id=call.tool_call_id))
            media += done.media


def _note(tools: TurnTools, entry: HistoryMessage) -> None:
    """Tell the tools of one thing the model remembers, by whose words it is in."""
    parts = parts_of(entry.content)
    if entry.role == "assistant":
        for part in parts:
            tools.said([part.get("text"), part.get("arguments")])
    elif not entry.meta.get("isError"):
        noted = tools.returned if entry.role == "toolResult" else tools.read
        for part in parts:
            is_result = part.get("type") == "toolResult"
            (tools.returned if is_result else noted)(str(part.get("text") or ""))


def _given(call: ToolCallPart) -> dict[str, Any] | None:
    """Return a call's arguments; `None` when the model wrote no JSON object."""
    try:
        given = call.args_as_dict(raise_if_invalid=True)
    except (ValueError, AssertionError):
        return None
    return given


def _definition(tool: Tool) -> ToolDefinition:
    schema = dict(tool.parameters)
    return ToolDefinition(
        name=tool.name, description=tool.description, parameters_json_schema=schema
    )


def _final(answer: ModelResponse, *, is_untrusted: bool) -> AgentEvent:
    if answer.finish_reason == "content_filter" and not answer.text:
        return Failed("The model declined to answer this.", "refusal")
    stop: StopReason = "length" if answer.finish_reason == "length" else "stop"
    return Final(stop_reason=stop, is_untrusted=is_untrusted)
