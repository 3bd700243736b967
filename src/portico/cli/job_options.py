"""The options of scheduled jobs, and what of them goes on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from portico.cli.exit import ExitCode, Failure
from portico.clock import Clock
from portico.config.durations import parse_duration_ms

Misfire = Literal["run_once", "skip", "run_all"]


def _option(group: str, help_: str, **more: Any) -> Parameter:
    return Parameter(group=group, help=help_, **more)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class When:
    """When a job runs: one of --at, --every and --cron."""

    at: Annotated[
        str | None, _option("When", "Once: an ISO 8601 time (UTC unless it says), or in 20m.")
    ] = None
    every: Annotated[str | None, _option("When", "Again and again: 10m, 1h, 1d.")] = None
    cron: Annotated[
        str | None, _option("When", "A cron expression of 5 fields, or 6 with seconds.")
    ] = None
    tz: Annotated[
        str | None, _option("When", "IANA time zone of --cron, or of --at without an offset.")
    ] = None
    stagger: Annotated[
        str | None, _option("When", "With --cron: later by a time of its own, below this.")
    ] = None
    misfire: Annotated[
        Misfire | None,
        _option("When", "Slots that were missed: run_once, late; skip; run_all, in order."),
    ] = None
    grace: Annotated[
        str | None, _option("When", "How late a slot may be and still be in time.")
    ] = None
    spread: Annotated[
        str | None, _option("When", "With run_all: the least time between two starts.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class What:
    """What a job runs."""

    message: Annotated[str | None, _option("What", "What the agent is asked.", alias="-m")] = None
    system_event: Annotated[
        str | None, _option("What", "What the agent is told in its main session.")
    ] = None
    model: Annotated[str | None, _option("What", "Model as provider/name.")] = None
    thinking: Annotated[str | None, _option("What", "How long it thinks.")] = None
    run_timeout: Annotated[
        float | None, _option("What", "Seconds a run may take. [default: the agent's limit]")
    ] = None
    agent: Annotated[str | None, _option("What", "The agent. [default: the default agent]")] = None
    session: Annotated[
        str | None,
        _option("What", "isolated (a new one each time), main, or a session that is kept."),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Where:
    """Where the answer goes."""

    deliver: Annotated[
        bool | None,
        _option(
            "Where",
            "Send the answer to a person, or only keep it. [default: send]",
            negative="--no-deliver",
        ),
    ] = None
    channel: Annotated[
        str | None, _option("Where", "Channel. [default: where the last message came from]")
    ] = None
    to: Annotated[str | None, _option("Where", "The chat's id on that channel.")] = None
    account: Annotated[str | None, _option("Where", "Account of the channel.")] = None
    best_effort: Annotated[
        bool | None,
        _option("Where", "Count a run as a success though its answer was not delivered."),
    ] = None


NO_TIME, NOTHING, NOWHERE = When(), What(), Where()


def schedule_of(when: When, clock: Clock) -> dict[str, Any] | None:
    """Return the schedule the options ask for; `None`: they ask for none.

    Raises:
        Failure: they make no sense.
    """
    given = [value for value in (when.at, when.every, when.cron) if value is not None]
    if not given:
        return None
    if len(given) > 1:
        raise _usage("Give one of --at, --every and --cron.")
    if when.at is not None:
        return {"kind": "at", "at": _time_of(when.at, when.tz, clock)}
    if when.every is not None:
        return {"kind": "every", "everyMs": _duration_ms(when.every, "--every")}
    schedule: dict[str, Any] = {"kind": "cron", "expr": when.cron}
    if when.tz is not None:
        schedule["tz"] = when.tz
    if when.stagger is not None:
        schedule["staggerMs"] = _duration_ms(when.stagger, "--stagger")
    return schedule


def misfire_of(when: When) -> dict[str, Any] | None:
    """Return what becomes of missed slots; `None`: the options do not say."""
    misfire: dict[str, Any] = {}
    if when.misfire is not None:
        misfire["policy"] = when.misfire
    if when.grace is not None:
        misfire["graceMs"] = _duration_ms(when.grace, "--grace")
    if when.spread is not None:
        misfire["staggerMs"] = _duration_ms(when.spread, "--spread")
    return misfire or None


def payload_of(what: What) -> dict[str, Any] | None:
    """Return what is to be run; `None`: the options do not say.

    Raises:
        Failure: they make no sense.
    """
    if what.message is not None and what.system_event is not None:
        raise _usage("Give one of --message and --system-event.")
    if what.system_event is not None or (what.session == "main" and what.message is not None):
        return {"kind": "systemEvent", "text": what.system_event or what.message}
    members = {
        "message": what.message,
        "model": what.model,
        "thinking": what.thinking,
        "timeoutSeconds": what.run_timeout,
    }
    given = {name: value for name, value in members.items() if value is not None}
    return {"kind": "agentTurn", **given} if given else None


def target_of(what: What) -> str | None:
    """Return the session target the options name; `None`: they name none."""
    if what.session is None or what.session in {"main", "isolated"}:
        return what.session
    return f"session:{what.session.removeprefix('session:')}"


def delivery_of(where: Where) -> dict[str, Any] | None:
    """Return where the answer goes; `None`: the options do not say."""
    if where.deliver is False:
        return {"mode": "none"}
    members = {
        "channel": where.channel,
        "to": where.to,
        "accountId": where.account,
        "bestEffort": where.best_effort,
    }
    given = {name: value for name, value in members.items() if value is not None}
    return {"mode": "announce", **given} if given or where.deliver else None


def _time_of(text: str, tz: str | None, clock: Clock) -> str:
    """Return an ISO time with its offset: a time as given, or so much later than now."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        late_ms = _duration_ms(text.removeprefix("+").removeprefix("in "), "--at")
        moment = datetime.fromtimestamp((clock.now_ms() + late_ms) / 1000, UTC)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=_zone(tz))
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _zone(name: str | None) -> Any:
    from zoneinfo import ZoneInfo

    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise _usage(f"There is no time zone {name!r}.") from None


def _duration_ms(text: str, option: str) -> int:
    try:
        return parse_duration_ms(text, unit="s")
    except ValueError as error:
        raise _usage(f"{option}: {error}") from None


def _usage(message: str) -> Failure:
    return Failure(
        message, code="usage", next_step="portico cron add --help", exit_code=ExitCode.USAGE
    )
