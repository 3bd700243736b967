"""RPC methods about newer versions.

Source: OpenClaw gateway protocol, Appendix A, `update`. `update.hold` and `update.report` are not
offered: there is no schedule to hold, and nothing is reported to anybody.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec

from portico.audit.service import Audit
from portico.protocol.errors import InvalidRequest, Outcome, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.updates.model import Available, Trigger, UpdateRun
from portico.updates.service import Asked, Updates

UUID = r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
_TRIGGERS: dict[str, Trigger] = {"cli": "cli", "openclaw-control-ui": "control-ui"}
_ANSWERS = {"running": "ok", "succeeded": "ok", "skipped": "skipped"}


class UpdateStatus(Params, frozen=True, kw_only=True):
    """`{refreshCheckout?}`: look for a newer version now."""

    refresh_checkout: bool = False


class Requester(Params, frozen=True, kw_only=True):
    """Who asked, where it came through a channel."""

    channel: str | None = None
    account_id: str | None = None
    sender_id: str | None = None


class Delivery(Params, frozen=True, kw_only=True):
    """Where somebody would hear about it."""

    channel: str | None = None
    to: str | None = None
    account_id: str | None = None
    thread_id: str | int | float | None = None


class GitTarget(Params, frozen=True, kw_only=True):
    """A commit; not taken: only packages are installed."""

    kind: str
    upstream_ref: str
    upstream_sha: str


class RunUpdate(Params, frozen=True, kw_only=True):
    """`{sessionKey?, note?, continuationMessage?, restartDelayMs?, timeoutMs?, …}`."""

    session_key: str | None = None
    delivery_context: Delivery | None = None
    note: str | None = None
    continuation_message: str | None = None
    restart_delay_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 0
    timeout_ms: Annotated[int, msgspec.Meta(ge=1)] | None = None
    target: GitTarget | None = None
    requester: Requester | None = None


class OneRun(Params, frozen=True, kw_only=True):
    """`{runId}`."""

    run_id: Annotated[str, msgspec.Meta(pattern=UUID)]


class ManyRuns(Params, frozen=True, kw_only=True):
    """`{limit?}`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


class Status(Result, frozen=True, kw_only=True):
    """Whether there is a newer version, and the last update."""

    sentinel: Any
    update_available: Available | None
    active_run: UpdateRun | msgspec.UnsetType = msgspec.UNSET
    last_run: UpdateRun | msgspec.UnsetType = msgspec.UNSET
    effective_channel: str


class Ran(Result, frozen=True, kw_only=True):
    """What became of an update before the restart."""

    run_id: str
    ok: bool
    result: dict[str, Any]
    message: str | msgspec.UnsetType = msgspec.UNSET
    restart: Any
    sentinel: Any


class Found(Result, frozen=True, kw_only=True, omit_defaults=False):
    """An update, or none."""

    run: UpdateRun | None


class Listed(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Updates, the newest first."""

    runs: tuple[UpdateRun, ...]


class UpdateMethods:
    """`update.status`, `update.run`, `update.runs.*`."""

    def __init__(self, updates: Updates, *, audit: Audit) -> None:
        self._updates = updates
        self._audit = audit

    @method("update.status", scope=Scope.ADMIN)
    async def status(self, call: Call, params: UpdateStatus) -> Status:
        """Say whether there is a newer version, and how the last update went."""
        if params.refresh_checkout:
            await self._updates.look()
        runs = await self._updates.runs(1)
        last = runs[0] if runs else None
        is_active = last is not None and last.status == "running"
        return Status(
            sentinel=_sentinel(last),
            update_available=self._updates.available,
            active_run=last if last is not None and is_active else msgspec.UNSET,
            last_run=last if last is not None and not is_active else msgspec.UNSET,
            effective_channel=self._updates.settings.channel,
        )

    @method("update.run", scope=Scope.ADMIN, throttled=True)
    async def run(self, call: Call, params: RunUpdate) -> Ran:
        """Install the newest version, check it, and restart without a gap."""
        if params.target is not None:
            raise InvalidRequest("only packages are installed here, no commits")
        asked = Asked(
            trigger=_TRIGGERS.get(call.principal.client_id, "api"),
            origin=_origin(params),
            restart_delay_s=params.restart_delay_ms / 1000,
        )
        limit_s = None if params.timeout_ms is None else params.timeout_ms / 1000
        try:
            async with asyncio.timeout(limit_s):
                run = await asyncio.shield(self._updates.begin(asked))
        except TimeoutError:
            raise Unavailable(
                "the update goes on; see update.runs.list", outcome=Outcome.UNCERTAIN
            ) from None
        await self._audit.record(
            "gateway.updated",
            actor=call.principal.subject,
            target=run.target.version or None,
            details={
                "runId": run.run_id,
                "status": run.status,
                "reason": run.reason or "",
                "note": params.note or "",
            },
            outcome="failed" if run.status == "failed" else "done",
        )
        return _ran(run, params.restart_delay_ms)

    @method("update.runs.get", scope=Scope.ADMIN)
    async def get(self, call: Call, params: OneRun) -> Found:
        """Return one update."""
        return Found(run=await self._updates.find(params.run_id))

    @method("update.runs.list", scope=Scope.ADMIN)
    async def list(self, call: Call, params: ManyRuns) -> Listed:
        """List the last updates."""
        return Listed(runs=tuple(await self._updates.runs(params.limit)))


def _origin(params: RunUpdate) -> dict[str, Any]:
    given = {
        "sessionKey": params.session_key,
        "requester": params.requester and msgspec.to_builtins(params.requester),
        "nextAction": params.continuation_message and params.continuation_message[:1_000],
    }
    return {name: value for name, value in given.items() if value}


def _ran(run: UpdateRun, delay_ms: int) -> Ran:
    result: dict[str, Any] = {
        "status": _ANSWERS.get(run.status, "error"),
        "before": msgspec.to_builtins(run.before),
        "after": {"version": run.target.version or run.before.version},
    }
    if run.reason:
        result["reason"] = run.reason
    restarts = run.status == "running"
    return Ran(
        run_id=run.run_id,
        ok=run.status in ("running", "succeeded", "skipped"),
        result=result,
        message=run.reason or msgspec.UNSET,
        restart={"ok": True, "delayMs": delay_ms} if restarts else None,
        sentinel={"persisted": True, "payload": _sentinel(run)},
    )


def _sentinel(run: UpdateRun | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "kind": "update",
        "status": _ANSWERS.get(run.status, "error"),
        "ts": run.updated_at_ms,
        "runId": run.run_id,
        "sessionKey": run.origin.get("sessionKey"),
        "message": run.reason,
        "stats": {"before": run.before.version, "after": run.after.version},
    }
