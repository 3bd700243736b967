"""The tools with which an agent calls webhooks.

Guarantees: only webhooks the operator has named; the agent chooses the event and its data, never an
address, a header or a secret, and it sees none of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, ToolOutput, tool
from portico.agents.webhooks.model import Target, Targets, targets_of
from portico.agents.webhooks.sender import LONGEST_S, Dispatch, WebhookSender
from portico.clock import Clock

SKILL = "dispatch-webhook"
MAX_BODY_BYTES = 256_000
MAX_SENDS = 20  # of one turn
MAX_ANSWER_CHARS = 4_000

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Event = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*$", max_length=100)]
Key = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,200}$")]


class WebhooksList(ToolArgs, frozen=True):
    """What `webhooks_list` takes: nothing."""


class WebhookSend(ToolArgs, frozen=True, kw_only=True):
    """What `webhook_send` takes."""

    target: Annotated[Name, msgspec.Meta(description="Name of a webhook, from webhooks_list.")]
    event: Annotated[Event, msgspec.Meta(description="What happened, such as order.created.")]
    data: Annotated[dict[str, Any], msgspec.Meta(description="The facts, as a JSON object.")] = (
        msgspec.field(default_factory=dict)
    )
    idempotency_key: Annotated[
        Key | None,
        msgspec.Meta(
            description="The same for what is the same event, so that the receiver acts once."
        ),
    ] = None
    want_answer: Annotated[
        bool,
        msgspec.Meta(description="Return what the receiver says; it is text from outside."),
    ] = False


class TargetShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """One webhook, without its address."""

    name: str
    description: str | None = None
    problem: str | None = None


class Sent(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What became of a call.

    Attributes:
        outcome: `done`; `not_started`: the receiver has not acted; `uncertain`: it may have.
    """

    ok: bool
    outcome: str
    target: str
    event_id: str
    attempts: int
    status: int | None = None
    reason: str | None = None
    answer: str | None = None


class WebhookTools:
    """`webhooks_list` and `webhook_send`.

    Args:
        config: what is configured now for the skill; `None`: it is switched off.
    """

    def __init__(
        self,
        *,
        config: Callable[[], Mapping[str, Any] | None],
        sender: WebhookSender,
        clock: Clock,
    ) -> None:
        self._config = config
        self._sender = sender
        self._clock = clock

    @tool("webhooks_list", group="automation", changes=False)
    async def list_targets(self, call: ToolCall, args: WebhooksList) -> list[TargetShown]:
        """List the webhooks that can be called with webhook_send."""
        targets = self._targets()
        return [
            *(TargetShown(name, one.description) for name, one in targets.usable.items()),
            *(TargetShown(name, problem=why) for name, why in targets.problems.items()),
        ]

    @tool("webhook_send", group="automation", timeout_s=LONGEST_S + 20.0)
    async def send(self, call: ToolCall, args: WebhookSend) -> ToolOutput:
        """Tell another system that something happened: post signed JSON to a named webhook."""
        if call.earlier >= MAX_SENDS:
            raise ToolError(f"A turn calls at most {MAX_SENDS} webhooks.")
        target = self._target(args.target)
        body = msgspec.json.encode(
            {"type": args.event, "timestamp": self._clock.now_ms(), "data": args.data}
        )
        if len(body) > MAX_BODY_BYTES:
            raise ToolError(f"The data is larger than {MAX_BODY_BYTES} bytes.")
        event_id = _event_id(call, args)
        done = await self._sender.send(target, body, event_id=event_id)
        shown = _shown(args, event_id, done)
        return ToolOutput(shown, is_untrusted=bool(shown.answer))

    def _target(self, name: str) -> Target:
        targets = self._targets()
        target = targets.usable.get(name)
        if target is None:
            known = ", ".join(targets.usable) or "none"
            why = targets.problems.get(name)
            wrong = f" It is not usable: {why}." if why else ""
            raise ToolError(f"There is no webhook {name}.{wrong} There are: {known}.")
        return target

    def _targets(self) -> Targets:
        config = self._config()
        if config is None:
            raise ToolError(f"The operator has switched {SKILL} off.")
        return targets_of(config)


def _event_id(call: ToolCall, args: WebhookSend) -> str:
    if args.idempotency_key is not None:
        return args.idempotency_key
    made = f"{call.run_id or call.session_key}\0{call.call_id}"
    return f"msg_{hashlib.blake2b(made.encode(), digest_size=16).hexdigest()}"


def _shown(args: WebhookSend, event_id: str, done: Dispatch) -> Sent:
    return Sent(
        ok=done.outcome == "done",
        outcome=done.outcome.value,
        target=args.target,
        event_id=event_id,
        attempts=done.attempts,
        status=done.status,
        reason=done.reason,
        answer=done.answer[:MAX_ANSWER_CHARS] if args.want_answer and done.answer else None,
    )
