"""What posted bodies do: wake agents, or ask them something.

Guarantees: what is answered with 200 is on disk; the same delivery does its work once, however
often it comes; what a body says is untrusted, and can choose neither the session of somebody else
nor an agent that is not allowed.

Not here: HTTP, tokens and their rate limit (web/hooks.py).

Source: OpenClaw gateway protocol, "Hooks".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from portico.agents.runtime import TurnRequest
from portico.agents.service import Agents
from portico.automation.heartbeat.waking import SILENT, WakeMode, Waker
from portico.automation.hooks import mapping as mappings
from portico.automation.hooks.model import (
    MAX_TEXT_CHARS,
    AgentBody,
    HookAnswer,
    HookMapping,
    HookRequest,
    HookSettings,
    WakeBody,
)
from portico.automation.hooks.places import Places
from portico.automation.hooks.signature import is_signed
from portico.automation.hooks.template import find, render, render_key
from portico.channels.model import InboundMessage, Peer
from portico.channels.registry import DEFAULT_ACCOUNT, ChannelRegistry
from portico.clock import Clock
from portico.ids import new_id
from portico.inbox.model import Accepted, Routing
from portico.inbox.service import Inbox
from portico.protocol.errors import Forbidden, IdempotencyMismatch, InvalidRequest
from portico.rpc.dispatch import Idempotency, Key
from portico.store import Store
from portico.turns.life import TurnState
from portico.turns.service import Turns

CHANNEL = "hook"
MAX_KEY_CHARS = 200
IDEMPOTENCY_HEADERS = ("idempotency-key", "x-openclaw-idempotency-key")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A message for an agent, from whichever hook.

    Attributes:
        once: what makes it the same delivery; `None`: it is like no other.
        is_mapped: its sender has chosen nothing but the body.
    """

    source: str
    body: AgentBody
    session_key: str | None
    once: str | None
    is_vouched_for: bool = False
    is_mapped: bool = False


class Hooks:
    """The hooks of this gateway."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        agents: Agents,
        inbox: Inbox,
        senders: ChannelRegistry,
        turns: Turns,
        waker: Waker,
        main_key: str,
        once: Idempotency,
        settings: HookSettings,
    ) -> None:
        self._clock = clock
        self._inbox = inbox
        self._turns = turns
        self._waker = waker
        self._once = once
        self._places = Places(
            store=store, agents=agents, senders=senders, main_key=main_key, settings=settings
        )
        self.settings = settings

    def configure(self, settings: HookSettings) -> None:
        """Do from now on what another configuration says."""
        self.settings = self._places.settings = settings

    # -- who may ---------------------------------------------------------------------------------

    def is_signed_at(self, path: str) -> bool:
        """Whether a signature may prove a sender at a path, so that its body has to be read."""
        return any(one.verification is not None for one in self._leading_to(path))

    def _leading_to(self, path: str) -> list[HookMapping]:
        return [one for one in self.settings.mappings if mappings.leads_to(one, path)]

    def proven(self, request: HookRequest) -> tuple[HookMapping, ...]:
        """Return the mappings whose signature a request bears."""
        now_s = self._clock.now_ms() // 1000
        return tuple(
            one
            for one in self._leading_to(request.path)
            if one.verification is not None
            and is_signed(one.verification, request.headers, request.body, now_s=now_s)
        )

    def unsigned(self, path: str) -> tuple[HookMapping, ...]:
        """Return the mappings of a path that ask for the token only."""
        return tuple(one for one in self._leading_to(path) if one.verification is None)

    # -- what is done ----------------------------------------------------------------------------

    async def take(
        self, request: HookRequest, allowed: tuple[HookMapping, ...], *, has_token: bool
    ) -> HookAnswer:
        """Do what was asked for.

        Args:
            allowed: the mappings the sender may use.
            has_token: it may use the hooks that are built in, too.

        Raises:
            InvalidRequest: the body cannot be used.
            Overloaded: the conversation is full; nothing was stored.
            IdempotencyMismatch: the key was used for something else.
        """
        if has_token and request.path == "wake":
            return await self._wake_once(request, _decoded(request.body, WakeBody))
        if has_token and request.path == "agent":
            return await self._agent(request, _decoded(request.body, AgentBody))
        return await self._mapped(request, allowed)

    async def _wake_once(self, request: HookRequest, body: WakeBody) -> HookAnswer:
        once = _key_of(request, body.idempotency_key)
        if once is None:
            return await self._wake(body)

        async def work() -> Any:
            answer = await self._wake(body)
            return [answer.status, answer.body]

        said = await self._once.run(
            Key("hooks.wake", CHANNEL, once),
            msgspec.json.encode(msgspec.structs.replace(body, idempotency_key=None)),
            work,
        )
        if isinstance(said, msgspec.Raw):
            said = msgspec.json.decode(said)
        status, answered = said
        return HookAnswer(status, answered)

    async def _wake(self, body: WakeBody) -> HookAnswer:
        agent_id = self._places.agent_id(body.agent_id)
        key = self._places.named_session(body.session_key, agent_id)
        key = key or self._places.main_session(agent_id)
        return await self._woken(key, body.text, body.mode, source="wake", is_vouched_for=False)

    async def _woken(
        self, key: str, text: str, mode: WakeMode, *, source: str, is_vouched_for: bool
    ) -> HookAnswer:
        stranger = InboundMessage(
            channel=CHANNEL,
            account=DEFAULT_ACCOUNT,
            event_key="",
            peer=Peer("direct", source),
            sender=source,
            text=text,
        )
        is_untrusted = not is_vouched_for and self._inbox.is_untrusted(stranger)
        outcome = await self._waker.wake(key, text, mode, is_untrusted=is_untrusted)
        if outcome == "unwakeable":
            raise InvalidRequest("nobody is woken in this session")
        said = "coalesced" if outcome == "coalesced" else "queued"
        return HookAnswer(200, {"ok": True, "mode": mode, "eventOutcome": said})

    async def _agent(self, request: HookRequest, body: AgentBody) -> HookAnswer:
        once = _key_of(request, body.idempotency_key)
        agent_id = self._places.agent_id(body.agent_id)
        key = self._places.named_session(body.session_key, agent_id)
        if key is None and body.session_mode == "persistent":
            key = self._places.main_session(agent_id)
            self._places.check_prefix(key)
        return await self._ask(_Asked("agent", body, key, once))

    async def _mapped(self, request: HookRequest, allowed: tuple[HookMapping, ...]) -> HookAnswer:
        if not allowed:
            return HookAnswer(404, {"ok": False, "error": "no mapping for this path"})
        payload = mappings.opened(_decoded(request.body, dict[str, Any]))
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).isoformat()
        given = mappings.context(payload, request, now=now)
        chosen = mappings.choose(allowed, given, request.headers)
        text = "" if chosen is None else render(chosen.template, given)[:MAX_TEXT_CHARS]
        if chosen is None or not text:
            return HookAnswer(204)
        agent_id = self._places.agent_id(chosen.agent_id)
        key = None
        if chosen.session_key:
            key = self._places.session(render_key(chosen.session_key, given), agent_id)
        if chosen.action == "wake":
            key = key or self._places.main_session(agent_id)
            return await self._woken(
                key,
                text,
                chosen.wake_mode,
                source=request.path,
                is_vouched_for=chosen.is_vouched_for,
            )
        asked = _Asked(
            request.path,
            _body_of(chosen, agent_id, text),
            key,
            _delivery_id(chosen, request, given),
            is_vouched_for=chosen.is_vouched_for,
            is_mapped=True,
        )
        return await self._ask(asked)

    async def _ask(self, asked: _Asked) -> HookAnswer:
        body = asked.body
        agent_id = self._places.agent_id(body.agent_id)
        event_key = f"{asked.source}:{asked.once}" if asked.once else new_id("evt")
        key = asked.session_key or self._places.usual_session(agent_id, event_key)
        message = InboundMessage(
            channel=CHANNEL,
            account=DEFAULT_ACCOUNT,
            event_key=event_key,
            peer=Peer("direct", asked.source),
            sender=asked.source,
            sender_name=body.name,
            text=body.message,
            session_key=key,
            agent_id=agent_id,
            is_untrusted=False if asked.is_vouched_for else None,
            answer_to=await self._places.route(body, agent_id),
        )
        going = Routing(
            session_key=key,
            agent_id=agent_id,
            queue_mode="followup",
            drop="new",
            created_via="hook",
            keeps_route=True,
        )
        accepted = await self._inbox.take(message, _request_of(body), going)
        if accepted.is_retold and not asked.is_mapped:
            raise IdempotencyMismatch(CHANNEL)
        return await self._answer(accepted, body)

    async def _answer(self, accepted: Accepted, body: AgentBody) -> HookAnswer:
        if accepted.run_id is None:
            raise Forbidden(accepted.reason or "not accepted")
        answer: dict[str, Any] = {"ok": True, "runId": accepted.run_id}
        if body.wait_for_completion:
            turn = await self._turns.wait(accepted.run_id, self.settings.wait_s)
            if turn is not None and not turn.is_open:
                result = turn.result
                text = (result.text if result else None) or ""
                is_silent = result is not None and result.is_quiet
                answer["completion"] = {
                    "status": "ok" if turn.state is TurnState.SUCCEEDED else "error",
                    "replyDisposition": "silent" if is_silent else "visible" if text else "empty",
                }
        return HookAnswer(200, answer)


def _key_of(request: HookRequest, given: str | None) -> str | None:
    """Return the key the sender has given its delivery: in a header, or in the body."""
    headers = (value for name in IDEMPOTENCY_HEADERS if (value := request.headers.get(name)))
    once = next(headers, given)
    if once is not None and len(once) > MAX_KEY_CHARS:
        raise InvalidRequest(f"idempotency key is longer than {MAX_KEY_CHARS} characters")
    return once


def _request_of(body: AgentBody) -> TurnRequest:
    return TurnRequest(
        text="",
        system_prompt=f"This was sent by the hook {body.name!r}, a program, not by a person. "
        f"If nothing needs to be said, answer {SILENT.token} and nothing else.",
        model=body.model,
        thinking=body.thinking,
        timeout_s=body.timeout_seconds or None,
        quiet=SILENT,
    )


def _body_of(chosen: HookMapping, agent_id: str, text: str) -> AgentBody:
    return AgentBody(
        message=text,
        name=chosen.name,
        agent_id=agent_id,
        deliver=chosen.deliver,
        channel=chosen.channel,
        to=chosen.to,
        account_id=chosen.account_id,
        model=chosen.model,
        thinking=chosen.thinking,
        timeout_seconds=chosen.timeout_s,
    )


def _delivery_id(chosen: HookMapping, request: HookRequest, given: Mapping[str, Any]) -> str | None:
    """Return what makes it the same delivery: said by the mapping, the sender, or its headers."""
    found = render(chosen.idempotency, given) if chosen.idempotency else ""
    if not found and chosen.verification is not None and chosen.verification.kind == "stripe":
        event_id = find("payload.id", given)
        found = event_id if isinstance(event_id, str) else ""
    names = (*IDEMPOTENCY_HEADERS, *mappings.DELIVERY_IDS)
    found = found or next((v for name in names if (v := request.headers.get(name))), "")
    if not found:
        return None
    if len(found) > MAX_KEY_CHARS:
        return hashlib.blake2b(found.encode(), digest_size=32).hexdigest()
    return found


def _decoded(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"decode json: {error}") from None
