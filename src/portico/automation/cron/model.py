"""Jobs and runs, and the parts of a job as they are on the wire.

Source: OpenClaw gateway protocol, "cron.*": CronJob, CronSchedule, CronPayload, CronDelivery.
`Misfire` is Portico's own.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from portico.protocol.validation import Params

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
TimeMs = Annotated[int, msgspec.Meta(ge=0, le=8_640_000_000_000_000)]
SessionTarget = Annotated[str, msgspec.Meta(pattern=r"^(main|isolated|current|session:.+)$")]
WakeMode = Literal["now", "next-heartbeat"]
MisfirePolicy = Literal["run_once", "skip", "run_all"]
RunStatus = Literal["ok", "error", "skipped"]
DeliveryStatus = Literal["delivered", "not-delivered", "unknown", "not-requested"]
CompletionStatus = Literal["succeeded", "failed", "unknown"]
DisabledReason = Literal["consecutive-failures", "schedule-errors"]


# -- when ----------------------------------------------------------------------------------------


class At(Params, frozen=True, tag_field="kind", tag="at", omit_defaults=True):
    """Once, at an ISO 8601 time; without an offset it is UTC."""

    at: NonEmpty


class Every(Params, frozen=True, tag_field="kind", tag="every", omit_defaults=True):
    """Every so many milliseconds, counted from an anchor."""

    every_ms: Positive
    anchor_ms: TimeMs | None = None


class CronExpression(
    Params, frozen=True, kw_only=True, tag_field="kind", tag="cron", omit_defaults=True
):
    """A cron expression of 5 fields, or 6 with seconds, in an IANA time zone.

    Attributes:
        stagger_ms: the job runs later than the expression says by a time of its own, below this.
    """

    expr: NonEmpty
    tz: str | None = None
    stagger_ms: TimeMs | None = None


Schedule: TypeAlias = At | Every | CronExpression


class Misfire(Params, frozen=True, kw_only=True, omit_defaults=True):
    """What becomes of slots that could not run in time.

    Attributes:
        policy: run_once: one run for all of them; skip: none; run_all: one run each, in order.
            `None`: as configured.
        grace_ms: how late a slot may be and still be in time; `None`: as configured.
        stagger_ms: with run_all, the least time between the starts of two runs.
    """

    policy: MisfirePolicy | None = None
    grace_ms: TimeMs | None = None
    stagger_ms: TimeMs | None = None


# -- what ----------------------------------------------------------------------------------------


class SystemEvent(
    Params, frozen=True, kw_only=True, tag_field="kind", tag="systemEvent", omit_defaults=True
):
    """Something the agent is told in its main session."""

    text: NonEmpty
    tools_allow: list[str] | None = None
    tools_allow_is_default: bool | None = None


class AgentTurn(
    Params, frozen=True, kw_only=True, tag_field="kind", tag="agentTurn", omit_defaults=True
):
    """A message the agent answers.

    Attributes:
        timeout_seconds: how long the run may take; `None` and 0: as long as the agent's runs may.
    """

    message: NonEmpty
    model: str | None = None
    thinking: str | None = None
    timeout_seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None
    fallbacks: list[str] | None = None
    tools_allow: list[str] | None = None
    tools_allow_is_default: bool | None = None
    light_context: bool | None = None
    allow_unsafe_external_content: bool | None = None


class HeartbeatTick(Params, frozen=True, tag_field="kind", tag="heartbeat"):
    """A look around; what is asked stands in the configuration."""


Payload: TypeAlias = SystemEvent | AgentTurn
AnyPayload: TypeAlias = SystemEvent | AgentTurn | HeartbeatTick


# -- where to ------------------------------------------------------------------------------------


class Delivery(Params, frozen=True, kw_only=True, omit_defaults=True):
    """Where the answer goes.

    Attributes:
        channel: a channel's name; `last` and `None`: where the session's last message came from.
        best_effort: a run whose answer could not be delivered has succeeded all the same.
    """

    mode: Literal["none", "announce", "webhook"]
    channel: NonEmpty | None = None
    to: NonEmpty | None = None
    account_id: NonEmpty | None = None
    thread_id: str | int | None = None
    best_effort: bool | None = None
    completion_destination: dict[str, Any] | None = None
    failure_destination: dict[str, Any] | None = None


# -- the whole -----------------------------------------------------------------------------------


class Owner(Params, frozen=True, kw_only=True, omit_defaults=True):
    """Who made a job."""

    agent_id: NonEmpty | None = None
    session_key: NonEmpty | None = None
    account_id: NonEmpty | None = None


class Definition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Everything about a job that somebody decides, as one JSON column."""

    schedule: Schedule
    payload: AnyPayload
    session_target: str
    wake_mode: WakeMode = "now"
    delivery: Delivery | None = None
    misfire: Misfire = Misfire()
    description: str | None = None
    display_name: str | None = None
    session_key: str | None = None
    owner: Owner | None = None
    delete_after_run: bool | None = None


class AutoDisabled(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Why the gateway stopped running a job."""

    reason: DisabledReason
    at_ms: int
    consecutive_errors: int


class JobState(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a job's runs went; one JSON column. The names are the wire's."""

    last_run_at_ms: int | None = None
    last_run_status: RunStatus | None = None
    last_error: str | None = None
    last_duration_ms: int | None = None
    consecutive_errors: int = 0
    consecutive_skipped: int = 0
    auto_disabled: AutoDisabled | None = None
    last_delivery_status: DeliveryStatus | None = None
    last_delivery_error: str | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the jobs table.

    Attributes:
        agent_id: whose job it is; `None`: the default agent's.
        slot_at: the first slot nobody has acted on; `None`: there is none.
        wake_at: when to act on it: its own time, or later (stagger, back-off, catching up).
        revision: changes with every change of the definition.
    """

    job_id: str
    name: str
    declaration_key: str | None
    agent_id: str | None
    is_enabled: bool
    definition: Definition
    state: JobState
    slot_at: int | None
    wake_at: int | None
    revision: str
    created_at: int
    updated_at: int

    @property
    def schedule(self) -> Schedule:
        """When it runs."""
        return self.definition.schedule

    @property
    def is_one_shot(self) -> bool:
        """Whether it runs only once."""
        return isinstance(self.definition.schedule, At)

    @property
    def deletes_itself(self) -> bool:
        """Whether it is deleted once it has succeeded; one-shot jobs are unless they say not."""
        wanted = self.definition.delete_after_run
        return self.is_one_shot if wanted is None else wanted


HEARTBEAT_PREFIX = "heartbeat-"


def is_heartbeat(job_id: str) -> bool:
    """Whether a job is an agent's heartbeat, which belongs to the configuration."""
    return job_id.startswith(HEARTBEAT_PREFIX)
