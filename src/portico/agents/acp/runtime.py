"""The `acp` runtime: turns are answered by a program that speaks the Agent Client Protocol.

Claude Code, Codex, OpenCode, Gemini CLI and others are such programs, by themselves or with an
adapter. The program does its own work with its own tools; what it asks permission for is asked of
a person (`approvals`), allowed, or denied, as configured.

Guarantees:
    - A program that is missing, ends, hangs, babbles or breaks the protocol ends its turn with a
      sentence, its details in the log, and its processes; the next turn starts another one.
    - A permitted tool acts only after the path has it on record. What the program does without
      asking cannot be held back, so its turns are not run again after a crash.
    - `permission: "allow"` holds for what the operator vouches for: a turn with other people's
      text in it asks a person.

Source: Agent Client Protocol, version 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog

from portico.agents.acp import store as acp_store
from portico.agents.acp.content import EARLIER_MESSAGES, Block, prompt_of
from portico.agents.acp.permissions import Option, at_once, changes, chosen, command_text, decisions
from portico.agents.acp.pool import Pool
from portico.agents.acp.settings import AcpSettings
from portico.agents.acp.talk import Done, Talk
from portico.agents.acp.troubles import AcpTrouble, Unruly
from portico.agents.acp.updates import Updates
from portico.agents.acp.worker import Worker, open_worker, silent
from portico.agents.files import loaded
from portico.agents.runtime import (
    Abilities,
    AgentEvent,
    Failed,
    Final,
    HistoryMessage,
    ModelUsed,
    StopReason,
    TextDelta,
    Turn,
)
from portico.approvals.model import ApprovalAsked, Decided
from portico.clock import Clock
from portico.store import Store
from portico.tasks import Tasks

log = structlog.get_logger()

MAX_REPLY_CHARS = 1_000_000
UNTRUSTED = "This conversation holds text from people or places you do not vouch for."
REFUSED = "The agent declined to answer this."
STOPPED = "The agent stopped without an answer."
_STOPS: dict[str, StopReason] = {"max_tokens": "length", "max_turn_requests": "length"}


class Ask(Protocol):
    """Asks a person."""

    async def ask(self, asked: ApprovalAsked, *, timeout_s: float) -> Decided:
        """Return the decision; none is a no."""
        ...


@dataclass(frozen=True, slots=True)
class _Answering:
    """A turn that a worker is answering."""

    turn: Turn
    worker: Worker
    talk: Talk
    updates: Updates
    is_untrusted: bool


class AcpRuntime:
    """Answers with a program."""

    name = "acp"
    abilities = Abilities()

    def __init__(
        self, settings: AcpSettings, *, approvals: Ask, store: Store, tasks: Tasks, clock: Clock
    ) -> None:
        self._settings = settings
        self._approvals = approvals
        self._store = store
        self._tasks = tasks
        self._clock = clock
        self._pool = Pool(
            settings,
            open_=partial(open_worker, settings, tasks=tasks, clock=clock),
            tasks=tasks,
            clock=clock,
        )

    async def run(self, turn: Turn) -> AsyncGenerator[AgentEvent, None]:
        """Answer with what the program says."""
        conversation = turn.session_id
        try:
            worker = await self._pool.take(conversation)
        except AcpTrouble as trouble:
            yield self._failed(turn, trouble)
            return
        is_over = False
        answering: asyncio.Task[None] | None = None
        try:
            talk, updates = Talk(), Updates()
            blocks, is_untrusted = await self._begin(worker, turn)
            doing = _Answering(turn, worker, talk, updates, is_untrusted)
            worker.client.open(talk, updates, partial(self._permit, doing))
            answering = self._tasks.start(worker.client.prompt(blocks, talk), name="acp.prompt")
            async for event in self._answer(doing):
                is_over = isinstance(event, Final | Failed)  # nobody may ask for more
                yield event
        except AcpTrouble as trouble:
            is_over = not trouble.is_program
            yield self._failed(turn, trouble, worker)
        finally:
            # Not waited for: the turn is over, whatever the program does about it.
            self._tasks.start(
                self._part(conversation, worker, answering, is_over=is_over), name="acp.part"
            )

    async def warm_up(self) -> None:
        """Nothing: a program is started when it is needed."""

    async def close(self) -> None:
        """End every program."""
        await self._pool.close()

    # -- one answer ------------------------------------------------------------------------------

    async def _begin(self, worker: Worker, turn: Turn) -> tuple[list[Block], bool]:
        earlier = turn.request.prior or await turn.history(EARLIER_MESSAGES)
        is_untrusted = turn.request.is_untrusted or any(one.is_untrusted for one in earlier)
        try:
            async with asyncio.timeout(self._settings.startup_s):
                knows = await self._session(worker, turn, earlier)
        except TimeoutError as error:
            raise silent(worker) from error
        untold = () if knows else earlier
        files = await loaded(turn, turn.request)
        return prompt_of(turn.request, worker.client.takes, files, earlier=untold), is_untrusted

    async def _session(
        self, worker: Worker, turn: Turn, earlier: list[HistoryMessage] | tuple[HistoryMessage, ...]
    ) -> bool:
        """Have the program's session for the turn; say whether it knows the conversation."""
        client, program = worker.client, " ".join(self._settings.command)
        if turn.request.prior:  # the caller tells the conversation anew each time
            await client.new_session()
            return False
        if client.session_id is not None:
            return True
        if client.can_load and earlier:
            theirs = await self._store.read(
                acp_store.find, turn.agent_id, turn.session_id, program=program
            )
            if theirs is not None and await client.load_session(theirs):
                return True
        theirs = await client.new_session()
        if client.can_load:
            now = self._clock.now_ms()
            await self._store.write(
                acp_store.remember, turn.agent_id, turn.session_id, theirs, program=program, now=now
            )
        return False

    async def _answer(self, doing: _Answering) -> AsyncGenerator[AgentEvent, None]:
        said = 0
        while not isinstance(event := await self._next(doing), Done):
            if isinstance(event, TextDelta):
                said += len(event.text)
                if said > MAX_REPLY_CHARS:
                    raise Unruly(f"an answer of more than {MAX_REPLY_CHARS} characters")
            yield event
        if event.error is not None:
            raise event.error
        if event.usage is not None:
            yield ModelUsed(event.usage, "acp")
        yield _final(event.stop_reason, said=said, is_untrusted=doing.updates.has_read_outside)

    async def _next(self, doing: _Answering) -> AgentEvent | Done:
        limit_s, worker = self._settings.silence_s, doing.worker
        while True:
            try:
                async with asyncio.timeout(limit_s):
                    return await doing.talk.take()
            except TimeoutError:
                if not worker.client.is_asking and worker.silent_s >= limit_s:
                    raise silent(worker) from None

    async def _permit(
        self, doing: _Answering, call: Mapping[str, Any], options: list[Option]
    ) -> Option | None:
        is_untrusted = doing.is_untrusted or doing.updates.has_read_outside
        permission = self._settings.permission
        if permission == "deny":
            return at_once(options, allow=False)
        if permission == "allow" and not is_untrusted:
            option = at_once(options, allow=True)
        else:
            decided = await self._asked(doing, call, options, is_untrusted=is_untrusted)
            option = chosen(options, decided.decision)
            if not decided.is_allowed:
                return option
        await doing.talk.until_taken()  # the path has the call on record before it may act
        return option

    async def _asked(
        self,
        doing: _Answering,
        call: Mapping[str, Any],
        options: list[Option],
        *,
        is_untrusted: bool,
    ) -> Decided:
        turn, kind = doing.turn, call.get("kind")
        asked = ApprovalAsked(
            command=command_text(
                str(call.get("title") or ""),
                str(kind) if kind else None,
                call.get("rawInput") or changes(call.get("content")),
            ),
            cwd=self._settings.cwd,
            agent_id=turn.agent_id,
            session_key=turn.session_key,
            session_id=turn.session_id,
            run_id=turn.run_id,
            tool_call_id=str(call.get("toolCallId") or "") or None,
            warning=UNTRUSTED if is_untrusted else None,
            allowed=decisions(options),
        )
        decided = await self._approvals.ask(asked, timeout_s=self._settings.approval_s)
        if decided.decision is None:
            log.info("acp.not_permitted", run_id=turn.run_id, reason=decided.reason)
        return decided

    async def _part(
        self,
        conversation: str,
        worker: Worker,
        answering: asyncio.Task[None] | None,
        *,
        is_over: bool,
    ) -> None:
        """Give a program back; one that still answers is asked to stop, else it is killed."""
        is_fit = is_over
        try:
            if answering is not None and not answering.done() and worker.is_fit:
                await worker.client.cancel()
                _, waiting = await asyncio.wait([answering], timeout=self._settings.cancel_s)
                is_fit = not waiting
            worker.client.hang_up()
        finally:
            await self._pool.give(conversation, is_fit=is_fit)
            if answering is not None:
                answering.cancel()

    def _failed(self, turn: Turn, trouble: AcpTrouble, worker: Worker | None = None) -> Failed:
        program = None if worker is None else worker.program
        log.error(
            "acp.failed",
            run_id=turn.run_id,
            trouble=type(trouble).__name__,
            detail=trouble.detail,
            exit_code=None if program is None else program.process.returncode,
            said=None if program is None else program.last_words()[-1_000:],
        )
        return Failed(trouble.message, trouble.kind)


def _final(stop_reason: str, *, said: int, is_untrusted: bool) -> Final | Failed:
    if stop_reason == "refusal":
        return Failed(REFUSED, "refusal")
    if stop_reason == "cancelled" and not said:
        return Failed(STOPPED)
    return Final(stop_reason=_STOPS.get(stop_reason, "stop"), is_untrusted=is_untrusted)
