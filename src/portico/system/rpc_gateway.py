"""RPC methods about the process: who the gateway is, and its restart.

Source: OpenClaw gateway protocol, "Health, status, system"; Appendix A, `gateway`.
`gateway.suspend.*` is not offered: a restart drains and resumes by itself, and nothing here puts a
host to sleep.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, Literal, Protocol

import msgspec

from portico.audit.service import Audit
from portico.client.identity import load_or_create_identity
from portico.outbox import store as outbox_store
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.store import Store, Work
from portico.system.restarts import MAX_REASON, Restarts
from portico.turns import leases

SIGNAL = "SIGUSR2"
BlockerKind = Literal["queue", "reply", "embedded-run", "cron-run"]


class Running(Protocol):
    """Counts what it has under way."""

    @property
    def running(self) -> int:
        """How many."""
        ...


class RestartTarget(Params, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The process that is meant; another one refuses."""

    pid: Annotated[int, msgspec.Meta(ge=1)]


class RestartRequest(Params, frozen=True, kw_only=True):
    """`{reason?, skipDeferral?, target?, safe?, restartIntent?}`.

    Attributes:
        skip_deferral: taken and without effect: what runs is given its time in any case.
    """

    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON)] | None = None
    skip_deferral: bool = False
    target: RestartTarget | None = None
    safe: bool = False
    restart_intent: object = None


class Identity(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The gateway's own key: its id, and the raw Ed25519 public key in base64url."""

    device_id: str
    public_key: str


class Counts(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What is under way."""

    queue_size: int
    pending_replies: int
    embedded_runs: int
    cron_runs: int
    background_exec_sessions: int = 0
    root_requests: int = 0
    active_tasks: int = 0
    total_active: int


class Blocker(Result, frozen=True, kw_only=True, omit_defaults=False):
    """One kind of work, in words."""

    kind: BlockerKind
    count: int
    message: str


class Preflight(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Whether a restart would find anything under way.

    Attributes:
        supported: whether this process can hand over to a new one.
    """

    safe: bool
    counts: Counts
    blockers: tuple[Blocker, ...]
    summary: str
    supported: bool


class PlannedRestart(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The restart that was asked for, or joined."""

    ok: bool = True
    pid: int
    signal: str = SIGNAL
    reason: str
    delay_ms: int = 0
    coalesced: bool


class RestartAnswer(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What became of the request."""

    ok: bool = True
    status: Literal["scheduled", "coalesced"]
    pid: int
    preflight: Preflight
    restart: PlannedRestart


class GatewayMethods:
    """`gateway.identity.get` and `gateway.restart.*`."""

    def __init__(
        self,
        *,
        restarts: Restarts,
        turns: Running,
        cron: Running,
        store: Store,
        audit: Audit,
        identity_file: Path,
    ) -> None:
        self._restarts = restarts
        self._turns = turns
        self._cron = cron
        self._store = store
        self._audit = audit
        self._identity_file = identity_file

    @method("gateway.identity.get", scope=Scope.READ)
    async def identity(self, call: Call, params: Empty) -> Identity:
        """Say who this gateway is: a key that stays the same for its state directory."""
        try:
            own = await asyncio.to_thread(load_or_create_identity, self._identity_file)
        except (OSError, ValueError) as error:
            raise Unavailable(f"the gateway's key cannot be read: {error}") from None
        return Identity(device_id=own.device_id, public_key=own.encoded_public_key)

    @method("gateway.restart.preflight", scope=Scope.READ)
    async def preflight(self, call: Call, params: Empty) -> Preflight:
        """Say what a restart would have to let finish."""
        return await self._look()

    @method("gateway.restart.request", scope=Scope.ADMIN, throttled=True)
    async def request(self, call: Call, params: RestartRequest) -> RestartAnswer:
        """Restart soon, without a gap: a new process takes over when it is ready."""
        if params.target is not None and params.target.pid != os.getpid():
            raise InvalidRequest("target gateway no longer owns the active lock")
        if not self._restarts.supported:
            raise Unavailable("this process was not started so that it can be replaced")
        found = await self._look()
        reason = params.reason or "gateway.restart.request"
        planned = self._restarts.request(reason)
        await self._audit.record(
            "gateway.restart_requested", actor=call.principal.subject, target=planned.reason
        )
        restart = PlannedRestart(
            pid=os.getpid(), reason=planned.reason, coalesced=planned.status == "coalesced"
        )
        return RestartAnswer(
            status=planned.status, pid=os.getpid(), preflight=found, restart=restart
        )

    async def _look(self) -> Preflight:
        queued, replies = await self._store.read(_waiting)
        runs, jobs = self._turns.running, self._cron.running
        total = queued + replies + runs + jobs
        found = (
            _blocker("queue", queued, "waiting turn(s)"),
            _blocker("reply", replies, "answer(s) to be sent"),
            _blocker("embedded-run", runs, "running turn(s)"),
            _blocker("cron-run", jobs, "running job(s)"),
        )
        blockers = tuple(one for one in found if one.count)
        busy = ", ".join(one.message for one in blockers)
        return Preflight(
            safe=total == 0,
            counts=Counts(
                queue_size=queued,
                pending_replies=replies,
                embedded_runs=runs,
                cron_runs=jobs,
                total_active=total,
            ),
            blockers=blockers,
            summary=f"a restart lets finish or resumes: {busy}" if busy else "safe to restart now",
            supported=self._restarts.supported,
        )


def _blocker(kind: BlockerKind, count: int, what: str) -> Blocker:
    return Blocker(kind=kind, count=count, message=f"{count} {what}")


def _waiting() -> Work[tuple[int, int]]:
    queued = yield from leases.count_queued()
    deliveries = yield from outbox_store.counts()
    return queued, deliveries.get("pending", 0) + deliveries.get("sending", 0)
