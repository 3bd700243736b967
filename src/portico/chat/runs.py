"""RPC methods that run an agent and wait for it: agent, agent.wait.

`agent` answers twice: first that the run is accepted, then how it ended.

Source: OpenClaw gateway protocol, "agent, agent.wait, agent.identity.get".
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, Literal

import msgspec

from portico.agents.service import Agents
from portico.chat.commands.orders import Orders
from portico.chat.commands.reading import needs_admin
from portico.chat.resetting import NEW_SESSION_TEXT
from portico.chat.service import ChatService
from portico.clock import Clock
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.sessions.service import Sessions
from portico.sessions.talk import AbortAck, ChatAttachment, Said
from portico.turns.life import TurnState
from portico.turns.model import TurnRow
from portico.turns.service import Turns

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
DEFAULT_WAIT_MS = 30_000
POLL_S = 0.2
S = TurnState


class AgentRun(Params, frozen=True, kw_only=True):
    """`{message, idempotencyKey, sessionKey | sessionId | to | agentId, …}`; timeout in seconds."""

    message: NonEmpty
    idempotency_key: NonEmpty
    agent_id: NonEmpty | None = None
    provider: str | None = None
    model: str | None = None
    to: str | None = None
    reply_to: str | None = None
    session_id: str | None = None
    session_key: str | None = None
    expected_existing_session_id: NonEmpty | None = None
    thinking: str | None = None
    deliver: bool | None = None
    attachments: list[ChatAttachment] | None = None
    channel: str | None = None
    reply_channel: str | None = None
    account_id: str | None = None
    reply_account_id: str | None = None
    thread_id: str | None = None
    group_id: str | None = None
    group_channel: str | None = None
    group_space: str | None = None
    timeout: Count | None = None
    best_effort_deliver: bool | None = None
    lane: str | None = None
    cwd: NonEmpty | None = None
    cleanup_bundle_mcp_on_run_end: bool | None = None
    model_run: bool | None = None
    prompt_mode: Literal["full", "minimal", "none"] | None = None
    extra_system_prompt: str | None = None
    bootstrap_context_mode: Literal["full", "lightweight"] | None = None
    bootstrap_context_run_kind: Literal["default", "heartbeat", "cron"] | None = None
    acp_turn_source: Literal["manual_spawn"] | None = None
    internal_runtime_handoff_id: NonEmpty | None = None
    internal_execution_identity_retry: bool | None = None
    internal_execution_identity_recovery_attempt: Annotated[int, msgspec.Meta(ge=1)] | None = None
    exec_approval_followup_expected_session_id: NonEmpty | None = None
    internal_events: list[dict[str, Any]] | None = None
    input_provenance: dict[str, Any] | None = None
    suppress_prompt_persistence: bool | None = None
    session_effects: Literal["visible", "internal"] | None = None
    source_reply_delivery_mode: Literal["automatic", "message_tool_only"] | None = None
    disable_message_tool: bool | None = None
    swarm_collector: bool | None = None
    swarm_output_schema: dict[str, Any] | None = None
    force_restart_safe_tools: bool | None = None
    force_code_mode_tools: bool | None = None
    voice_wake_trigger: str | None = None
    label: Annotated[str, msgspec.Meta(min_length=1, max_length=512)] | None = None


def scope_of_run(params: AgentRun) -> Scope:
    """Resetting a session or choosing the model needs admin."""
    special = needs_admin(params.message) or params.provider or params.model
    return Scope.ADMIN if special else Scope.WRITE


class Accepted(Result, frozen=True, kw_only=True):
    """The first answer: the run is on disk."""

    run_id: str
    session_key: str
    agent_id: str
    status: str
    accepted_at: int


class InFlight(Result, frozen=True, kw_only=True):
    """The answer to a repeat while the run is open."""

    run_id: str
    status: str
    session_key: str
    agent_id: str


class Finished(Result, frozen=True, kw_only=True):
    """The last answer: how the run ended."""

    run_id: str
    status: Literal["ok", "error", "timeout"]
    summary: Literal["completed", "failed", "aborted"]
    stop_reason: str | None = None
    timeout_phase: str | None = None
    provider_started: bool | None = None
    result: dict[str, Any] | None = None


class AgentWait(Params, frozen=True, kw_only=True):
    """`{runId, timeoutMs?}`."""

    run_id: NonEmpty
    timeout_ms: Count = DEFAULT_WAIT_MS


class Waited(Result, frozen=True, kw_only=True):
    """How a run ended, or that it has not."""

    run_id: str
    status: Literal["ok", "error", "timeout", "pending"]
    started_at: int | None = None
    ended_at: int | None = None
    error: str | None = None
    stop_reason: str | None = None
    timeout_phase: str | None = None
    provider_started: bool | None = msgspec.field(default=None)


class RunFailed(Unavailable):
    """The run ended without an answer; the answer carries its last state beside the error."""

    def __init__(self, message: str, payload: Finished) -> None:
        super().__init__(message)
        self.payload = payload


class AgentRunMethods:
    """`agent` and `agent.wait`."""

    def __init__(
        self,
        *,
        chat: ChatService,
        orders: Orders,
        turns: Turns,
        sessions: Sessions,
        agents: Agents,
        clock: Clock,
    ) -> None:
        self._chat = chat
        self._orders = orders
        self._turns = turns
        self._sessions = sessions
        self._agents = agents
        self._clock = clock

    @method("agent", scope=Scope.WRITE, scope_rule=scope_of_run)
    async def run(self, call: Call, params: AgentRun) -> Finished | InFlight | AbortAck:
        """Run an agent turn: answer when it is accepted, and again when it has ended."""
        self._chat.check_channel(params.reply_channel or params.channel)
        key = await self._target(params)
        said = Said(
            key=key,
            text=params.message,
            run_id=params.idempotency_key,
            door="agent",
            attachments=tuple(params.attachments or ()),
            thinking=params.thinking,
            model=_model(params),
            system_prompt=params.extra_system_prompt,
            timeout_s=float(params.timeout) if params.timeout else None,
            created_via="run",
        )
        ack = await self._chat.send(call, said)
        if isinstance(ack, AbortAck):
            return ack
        agent_id = self._sessions.agent_of(key)
        if ack.status == "in_flight":
            return InFlight(
                run_id=ack.run_id, status="in_flight", session_key=key, agent_id=agent_id
            )
        if ack.status == "started":
            call.accept(
                Accepted(
                    run_id=ack.run_id,
                    session_key=key,
                    agent_id=agent_id,
                    status="accepted",
                    accepted_at=self._clock.now_ms(),
                )
            )
        return await self._finish(ack.run_id)

    async def _finish(self, run_id: str) -> Finished:
        row = await self._turns.wait(run_id, None)
        if row is None:  # a command: obeyed, and nothing ran
            result = {"payloads": [{"text": NEW_SESSION_TEXT, "mediaUrl": None}], "meta": {}}
            return Finished(run_id=run_id, status="ok", summary="completed", result=result)
        return finished(run_id, row)

    async def _target(self, params: AgentRun) -> str:
        agent_id = params.agent_id and keys.normalize_agent_id(params.agent_id)
        self._agents.get(agent_id)
        if params.session_key:
            key = self._sessions.key(params.session_key, agent_id)
        elif params.session_id:
            found = await self._sessions.find_by_session_id(params.session_id)
            named = f"explicit:{params.session_id}"
            key = found.key if found is not None else self._sessions.key(named, agent_id)
        elif params.to:
            key = self._derive(agent_id or self._agents.default_id, params)
        elif agent_id:
            key = self._sessions.main_session_key(agent_id)
        else:
            raise InvalidRequest(
                "invalid agent params: one of sessionKey, sessionId, to or agentId is required"
            )
        if params.expected_existing_session_id is not None:
            session = await self._sessions.find(key)
            if session is None or session.session_id != params.expected_existing_session_id:
                raise InvalidRequest(
                    f"session {key} changed since it was read",
                    details={"code": "SESSION_CHANGED", "reason": "expectedExistingSessionId"},
                )
        return key

    def _derive(self, agent_id: str, params: AgentRun) -> str:
        return keys.derive(
            agent_id=agent_id,
            channel=params.channel or "webchat",
            account=params.account_id or "default",
            peer_kind="direct",
            peer_id=re.sub(r"\s+", "", params.to or ""),
            thread_id=params.thread_id,
            dm_scope=self._chat.settings.dm_scope,
            main_key=self._sessions.main_key,
        )

    @method("agent.wait", scope=Scope.WRITE)
    async def wait(self, call: Call, params: AgentWait) -> Waited:
        """Wait for a run to end, at most `timeoutMs`."""
        timeout_s = params.timeout_ms / 1000
        deadline = self._clock.monotonic_s() + timeout_s
        row = await self._turns.wait(params.run_id, timeout_s)
        while row is None and (left := deadline - self._clock.monotonic_s()) > 0:
            order = await self._orders.find(params.run_id)
            if order is not None and order.is_done:  # a command: no turn is to come
                return Waited(run_id=params.run_id, status="ok", started_at=order.order.given_at)
            await asyncio.sleep(min(POLL_S, left))  # it may be on its way through another door
            row = await self._turns.wait(params.run_id, max(0.0, left - POLL_S))
        if row is None or row.state is S.RUNNING:
            return Waited(run_id=params.run_id, status="timeout")
        if row.state is S.QUEUED:
            return Waited(
                run_id=params.run_id,
                status="pending",
                timeout_phase="queue",
                provider_started=False,
            )
        result = row.result
        return Waited(
            run_id=params.run_id,
            status=_STATUS.get(row.state, "error"),
            started_at=row.started_at,
            ended_at=row.ended_at,
            error=None if result is None else result.error,
            stop_reason=None if result is None else result.stop_reason,
        )


_STATUS: dict[TurnState, Literal["ok", "error", "timeout"]] = {
    S.SUCCEEDED: "ok",
    S.MERGED: "ok",
    S.CANCELLED: "timeout",
    S.TIMED_OUT: "timeout",
}


def finished(run_id: str, row: TurnRow) -> Finished:
    """Return the last answer of an ended run.

    Raises:
        RunFailed: it ended without an answer.
    """
    result = row.result
    stop_reason = None if result is None else result.stop_reason
    status = _STATUS.get(row.state, "error")
    if status == "error":
        failed = Finished(run_id=run_id, status="error", summary="failed", stop_reason=stop_reason)
        message = (None if result is None else result.error) or "the run failed"
        raise RunFailed(message, failed)
    return Finished(
        run_id=run_id,
        status=status,
        summary="completed" if status == "ok" else "aborted",
        stop_reason=stop_reason,
        timeout_phase=None if row.state is not S.TIMED_OUT else "provider",
        provider_started=None if status == "ok" else row.started_at is not None,
        result=_result(row),
    )


def _result(row: TurnRow) -> dict[str, Any]:
    result = row.result
    text = None if result is None else result.text
    agent_meta: dict[str, Any] = {"sessionId": row.session_id}
    if result is not None:
        usage = result.usage
        agent_meta |= {
            "provider": result.provider,
            "model": result.model,
            "usage": {
                "input": usage.input,
                "output": usage.output,
                "cacheRead": usage.cache_read,
                "cacheWrite": usage.cache_write,
                "total": usage.input + usage.output,
                "cost": {"total": usage.cost_usd},
            },
        }
    began = row.started_at or row.queued_at
    return {
        "payloads": [{"text": text, "mediaUrl": None}] if text else [],
        "meta": {
            "durationMs": max(0, (row.ended_at or began) - began),
            "agentMeta": {name: value for name, value in agent_meta.items() if value is not None},
            "aborted": row.state in {S.CANCELLED, S.TIMED_OUT},
            **({"stopReason": result.stop_reason} if result and result.stop_reason else {}),
        },
    }


def _model(params: AgentRun) -> str | None:
    if params.provider and params.model:
        return f"{params.provider}/{params.model}"
    return params.model or None
