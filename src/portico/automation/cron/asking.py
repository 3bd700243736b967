"""What a run asks the agent: the message and the request of its turn. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from portico.agents.runtime import Quiet, TurnRequest
from portico.automation.cron import routing
from portico.automation.cron.model import AgentTurn, HeartbeatTick, Job, SystemEvent
from portico.automation.cron.store import Run
from portico.channels.model import InboundMessage, Peer
from portico.channels.registry import DEFAULT_ACCOUNT

CHANNEL = "cron"


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat asks.

    Attributes:
        notes: the agent's HEARTBEAT.md.
        ack_max_chars: how much may stand beside the token for the answer to be quiet.
    """

    prompt: str
    notes: str | None = None
    model: str | None = None
    timeout_s: float | None = None
    ack_max_chars: int = 300


@dataclass(frozen=True, slots=True)
class Event:
    """Something an agent is told at a heartbeat.

    Attributes:
        is_untrusted: nobody vouches for who wrote it.
    """

    text: str
    is_untrusted: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A run's words, and its turn's request without them.

    Attributes:
        is_untrusted: somebody else's words are among them; `None`: whoever made the job wrote them.
    """

    text: str
    request: TurnRequest
    is_untrusted: bool | None = None


def asked_by_job(job: Job, run: Run) -> Asked:
    """Return what a job asks."""
    payload = job.definition.payload
    turn = payload if isinstance(payload, AgentTurn) else None
    text = text_of(job)
    if not routing.is_isolated(job):  # people talk there too
        text = f"[cron:{job.job_id} {job.name}] {text}"
    request = TurnRequest(
        text="",
        system_prompt=_instructions(job, run),
        model=turn.model if turn else None,
        thinking=turn.thinking if turn else None,
        timeout_s=(turn.timeout_seconds or None) if turn else None,
        extensions=_extensions(run),
    )
    return Asked(text, request)


def asked_by_heart(run: Run, beat: Beat, events: Sequence[Event]) -> Asked:
    """Return what a heartbeat asks.

    Args:
        events: what the agent is to be told at this occasion.
    """
    happened = "\n".join(f"- {event.text}" for event in events)
    request = TurnRequest(
        text="",
        system_prompt="This is a heartbeat: nobody has written. Look around as you are asked to. "
        f"If nothing needs attention, answer {Quiet().token} and nothing else.",
        late_context=f"HEARTBEAT.md:\n{beat.notes}" if beat.notes else None,
        model=beat.model,
        timeout_s=beat.timeout_s,
        quiet=Quiet(max_chars=beat.ack_max_chars),
        extensions=_extensions(run),
    )
    text = f"{beat.prompt}\n\nEvents:\n{happened}" if events else beat.prompt
    return Asked(text, request, any(event.is_untrusted for event in events) or None)


def text_of(job: Job) -> str:
    """Return the words of a job."""
    match job.definition.payload:
        case SystemEvent(text=text) | AgentTurn(message=text):
            return text
        case HeartbeatTick():
            return ""


def message_of(job: Job, run: Run, asked: Asked) -> InboundMessage:
    """Return the message that makes a run's turn."""
    return InboundMessage(
        channel=CHANNEL,
        account=DEFAULT_ACCOUNT,
        event_key=f"{job.job_id}:{run.slot}",
        peer=Peer("direct", job.job_id),
        sender=f"cron:{job.job_id}",
        sender_name=job.name,
        text=asked.text,
        session_key=run.session_key,
        agent_id=run.agent_id,
        is_untrusted=asked.is_untrusted,
    )


def _extensions(run: Run) -> dict[str, object]:
    return {"cron": {"jobId": run.job_id, "runId": run.run_id, "slotMs": run.slot_at}}


def _instructions(job: Job, run: Run) -> str:
    due = datetime.fromtimestamp(run.slot_at / 1000, UTC).isoformat(timespec="seconds")
    if run.route is not None:
        fate = "Your answer is sent to the person; answer NO_REPLY when there is nothing to say."
    elif routing.is_isolated(job):
        fate = "Your answer is kept with the job and sent to nobody."
    else:
        fate = "Your answer is shown in this conversation."
    return (
        f"This was sent by the scheduled job {job.name!r} ({job.job_id}), due {due}, "
        f"not by a person. {fate}"
    )
