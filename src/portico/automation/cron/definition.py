"""What somebody asks for when a job is added or changed, and the definition that comes of it.

Guarantees: a definition that passes here can run: its schedule comes due, its session and its
payload fit each other, its channel exists; what this gateway does not offer is refused by name,
never kept and ignored.

Source: OpenClaw gateway protocol, "cron.add", "cron.update", CronJobPatch.
"""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from portico.agents.service import Agents
from portico.automation.cron.model import (
    AgentTurn,
    AnyPayload,
    At,
    Count,
    Definition,
    Delivery,
    Every,
    HeartbeatTick,
    Misfire,
    NonEmpty,
    Owner,
    Payload,
    Schedule,
    SessionTarget,
    SystemEvent,
    WakeMode,
)
from portico.automation.cron.routing import LAST, SESSION_PREFIX
from portico.automation.cron.schedule import BadSchedule, check, parse_time, slots
from portico.channels.registry import ChannelRegistry
from portico.channels.webchat import CHANNEL as CHAT
from portico.outbox.routes import route_to
from portico.protocol import keys
from portico.protocol.errors import InvalidRequest
from portico.protocol.validation import Params, describe_value

T = TypeVar("T")
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"\S")]
PAST_TOLERANCE_MS = 60_000
_INTERVALS_LOOKED_AT = 5


class CronAdd(Params, frozen=True, kw_only=True):
    """`{name, schedule, sessionTarget, wakeMode, payload, delivery?, …}`."""

    name: NonEmpty
    schedule: Schedule
    payload: Payload
    session_target: SessionTarget | None = None
    wake_mode: WakeMode = "now"
    declaration_key: Label | None = None
    display_name: Label | None = None
    owner: Owner | None = None
    agent_id: NonEmpty | None = None
    session_key: NonEmpty | None = None
    description: str | None = None
    enabled: bool | None = None
    delete_after_run: bool | None = None
    delivery: Delivery | None = None
    misfire: Misfire | None = None
    pacing: dict[str, Any] | None = None
    trigger: dict[str, Any] | None = None
    failure_alert: dict[str, Any] | Literal[False] | None = None


class CronJobPatch(Params, frozen=True, kw_only=True):
    """What is to be changed; of payload and delivery only the members that are given."""

    name: NonEmpty | UnsetType = UNSET
    display_name: Label | UnsetType | None = UNSET
    agent_id: NonEmpty | UnsetType | None = UNSET
    session_key: NonEmpty | UnsetType | None = UNSET
    description: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    delete_after_run: bool | UnsetType = UNSET
    schedule: Schedule | UnsetType = UNSET
    session_target: SessionTarget | UnsetType = UNSET
    wake_mode: WakeMode | UnsetType = UNSET
    payload: dict[str, Any] | UnsetType = UNSET
    delivery: dict[str, Any] | UnsetType = UNSET
    misfire: Misfire | UnsetType | None = UNSET
    pacing: dict[str, Any] | None = None
    trigger: dict[str, Any] | None = None
    failure_alert: dict[str, Any] | Literal[False] | None = None
    state: dict[str, Any] | None = None


class Definitions:
    """Makes and checks definitions.

    Args:
        min_interval_ms: the least time between two slots.
    """

    def __init__(
        self,
        *,
        agents: Agents,
        senders: ChannelRegistry,
        main_key: str,
        zone: str,
        min_interval_ms: Count,
    ) -> None:
        self._agents = agents
        self._senders = senders
        self._main_key = main_key
        self._zone = zone
        self._min_interval_ms = min_interval_ms

    def configure(self, *, zone: str, min_interval_ms: int) -> None:
        """Judge by other rules from now on."""
        self._zone = zone
        self._min_interval_ms = min_interval_ms

    def new(self, asked: CronAdd, *, now: int) -> Definition:
        """Return the definition of a new job.

        Raises:
            InvalidRequest: it cannot run, or asks for what is not offered.
        """
        _refuse_unoffered(asked.pacing, asked.trigger, asked.failure_alert)
        target = asked.session_target
        if target is None:
            target = "main" if isinstance(asked.payload, SystemEvent) else "isolated"
        definition = Definition(
            schedule=_anchored(asked.schedule, now),
            payload=asked.payload,
            session_target=target,
            wake_mode=asked.wake_mode,
            delivery=asked.delivery or _default_delivery(asked.payload),
            misfire=asked.misfire or Misfire(),
            description=asked.description,
            display_name=asked.display_name,
            session_key=asked.session_key,
            owner=asked.owner,
            delete_after_run=asked.delete_after_run,
        )
        return self._checked(definition, asked.agent_id)

    def patched(
        self, old: Definition, patch: CronJobPatch, *, agent_id: str | None, now: int
    ) -> Definition:
        """Return a changed definition.

        Args:
            agent_id: whose job it is after the change.

        Raises:
            InvalidRequest: it cannot run, or asks for what is not offered.
        """
        _refuse_unoffered(patch.pacing, patch.trigger, patch.failure_alert, patch.state)
        changed: dict[str, Any] = {
            name: value
            for name in (
                *("display_name", "session_key", "description", "delete_after_run"),
                *("session_target", "wake_mode"),
            )
            if (value := getattr(patch, name)) is not UNSET
        }
        if patch.schedule is not UNSET:
            changed["schedule"] = _anchored(patch.schedule, now)
        if patch.misfire is not UNSET:
            changed["misfire"] = patch.misfire or Misfire()
        if patch.payload is not UNSET:
            changed["payload"] = _merged_payload(old.payload, patch.payload)
            if changed["payload"].__class__ is not old.payload.__class__:
                # Another kind of payload belongs into another kind of session.
                fitting = "main" if isinstance(changed["payload"], SystemEvent) else "isolated"
                changed.setdefault("session_target", fitting)
                changed["delivery"] = _default_delivery(changed["payload"])
        if patch.delivery is not UNSET:
            base = changed.get("delivery", old.delivery)
            changed["delivery"] = _merged(Delivery, base, patch.delivery, "/patch/delivery")
        return self._checked(msgspec.structs.replace(old, **changed), agent_id)

    def _checked(self, definition: Definition, agent_id: str | None) -> Definition:
        agent = self._agents.get(None if agent_id is None else keys.normalize_agent_id(agent_id))
        definition = self._with_keys(definition, agent.agent_id)
        self._check_schedule(definition.schedule)
        _check_payload(definition)
        self._check_delivery(definition)
        return definition

    def _with_keys(self, definition: Definition, agent_id: str) -> Definition:
        """Spell the sessions it names canonically, and bind `current` to the one it is now."""
        key, target = definition.session_key, definition.session_target
        if key is not None:
            key = self._key(key, agent_id)
        if target == "current":
            if key is None:
                raise InvalidRequest('sessionTarget "current" needs a sessionKey')
            target = f"{SESSION_PREFIX}{key}"
        elif target.startswith(SESSION_PREFIX):
            target = SESSION_PREFIX + self._key(target.removeprefix(SESSION_PREFIX), agent_id)
        return msgspec.structs.replace(definition, session_key=key, session_target=target)

    def _key(self, given: str, agent_id: str) -> str:
        key = keys.canonical(given, default_agent=agent_id, main_key=self._main_key)
        if keys.agent_of(key, default_agent=agent_id) != agent_id:
            raise InvalidRequest(f'agentId "{agent_id}" does not own session {key}')
        return key

    def _check_schedule(self, schedule: Schedule) -> None:
        try:
            check(schedule, zone=self._zone)
            first = islice(slots(schedule, 0, zone=self._zone), _INTERVALS_LOOKED_AT + 1)
            least = min((after - before for before, after in pairwise(first)), default=None)
        except BadSchedule as error:
            raise InvalidRequest(f"invalid schedule: {error}") from None
        if least is not None and least < self._min_interval_ms:
            raise InvalidRequest(
                f"invalid schedule: every {least} ms is more often than cron.minIntervalMs "
                f"({self._min_interval_ms}) allows"
            )

    def _check_delivery(self, definition: Definition) -> None:
        delivery = definition.delivery
        if delivery is None:
            return
        if delivery.mode == "webhook":
            raise _not_offered("delivery.mode webhook")
        if delivery.failure_destination or delivery.completion_destination:
            raise _not_offered("delivery.failureDestination and completionDestination")
        if definition.session_target == "main" and delivery.mode == "announce":
            raise InvalidRequest('delivery.mode "announce" needs a job that is not in main')
        channel = delivery.channel
        if delivery.mode == "none" or channel in {None, LAST}:
            return
        route_to(self._senders, to=delivery.to or "", channel=channel, account=delivery.account_id)
        if delivery.to is None and channel != CHAT:
            raise InvalidRequest(f"delivery.to is required for channel {channel}")


def is_past(schedule: Schedule, *, now: int) -> bool:
    """Whether a one-shot schedule's time is over."""
    return isinstance(schedule, At) and parse_time(schedule.at) <= now - PAST_TOLERANCE_MS


def _anchored(schedule: Schedule, now: int) -> Schedule:
    """An interval without an anchor is counted from now, and from nothing else later."""
    if isinstance(schedule, Every) and schedule.anchor_ms is None:
        return Every(schedule.every_ms, now)
    return schedule


def _default_delivery(payload: Payload) -> Delivery | None:
    return Delivery(mode="announce") if isinstance(payload, AgentTurn) else None


def _check_payload(definition: Definition) -> None:
    payload = definition.payload
    if isinstance(payload, HeartbeatTick):
        raise _not_offered("payload.kind heartbeat")
    if definition.session_target == "main" and not isinstance(payload, SystemEvent):
        raise InvalidRequest('main cron jobs require payload.kind="systemEvent"')
    if definition.session_target != "main" and not isinstance(payload, AgentTurn):
        raise InvalidRequest('isolated cron jobs require payload.kind="agentTurn"')
    if payload.tools_allow not in (None, ["*"]):
        raise _not_offered("payload.toolsAllow")
    if isinstance(payload, AgentTurn):
        if payload.fallbacks is not None:
            raise _not_offered("payload.fallbacks")
        if payload.light_context:
            raise _not_offered("payload.lightContext")
        if payload.allow_unsafe_external_content:
            raise _not_offered("payload.allowUnsafeExternalContent")


def _refuse_unoffered(
    pacing: Any, trigger: Any, failure_alert: Any, state: Any | None = None
) -> None:
    given = {
        "pacing": pacing,
        "trigger": trigger,
        "failureAlert": failure_alert or None,
        "state": state,
    }
    for name, value in given.items():
        if value is not None:
            raise _not_offered(name)


def _not_offered(what: str) -> InvalidRequest:
    return InvalidRequest(f"this gateway does not offer {what} of cron jobs")


def _merged_payload(old: AnyPayload, given: dict[str, Any]) -> Payload:
    kinds: dict[str, type[SystemEvent | AgentTurn]] = {
        "systemEvent": SystemEvent,
        "agentTurn": AgentTurn,
    }
    wanted = kinds.get(str(given.get("kind")))
    if wanted is None:
        raise InvalidRequest(
            "invalid cron.update params: at /patch/payload/kind: must be equal to one of the "
            "allowed values"
        )
    base = old if isinstance(old, wanted) else None
    return _merged(wanted, base, given, "/patch/payload")


def _merged(kind: type[T], old: Any, given: dict[str, Any], path: str) -> T:
    """Return a struct with some members changed; `None` removes one."""
    whole = {**(msgspec.to_builtins(old) if old is not None else {}), **given}
    whole = {name: value for name, value in whole.items() if value is not None}
    try:
        return msgspec.convert(whole, kind)
    except msgspec.ValidationError as error:
        problems = describe_value(kind, whole) or [str(error)]
        told = (
            f"at {path}{problem.removeprefix('at ')}"
            if problem.startswith("at /")
            else f"at {path}: {problem}"
            for problem in problems
        )
        raise InvalidRequest(f"invalid cron.update params: {'; '.join(told)}") from None
