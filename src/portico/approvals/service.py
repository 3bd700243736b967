"""Approvals: ask a person, wait for the answer, decide; each approval ends once.

Guarantees:
    - An approval is a committed row before anybody is told of it, and its end is one conditional
      statement: of several deciders, a deadline and a cancellation, the first one wins.
    - Rows outlive the process: who asked over the wire waits again with its id; an agent whose run
      is resumed joins what it asked before. What nobody comes back for is cancelled.
    - `ask` never waits longer than it was told, and leaves nothing open when it is cancelled.
    - On several replicas each of them tells its own clients and wakes its own waiters.

Not here: what needs no asking (`policy.ExecPolicy`), how it looks on the wire (`rpc`, `shapes`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shlex
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Literal

import msgspec
import structlog

from portico.approvals import store as approval_store
from portico.approvals.board import Board
from portico.approvals.life import DECISIONS, Decision, Outcome, Reason, judge
from portico.approvals.model import (
    Approval,
    ApprovalAsked,
    Decided,
    NewApproval,
    Reviewer,
    WithoutDecision,
)
from portico.approvals.policy import ExecPolicy
from portico.approvals.policy_file import BrokenFile
from portico.approvals.shapes import is_too_long, request_of
from portico.approvals.watch import LEASE_MS, Watch
from portico.clock import Clock
from portico.events.hub import Hub
from portico.ids import ConnId, new_id
from portico.protocol.errors import ApprovalNotFound, InvalidRequest, Overloaded
from portico.store import Store
from portico.tasks import Tasks

log = structlog.get_logger()

Route = Literal["forwarder", "approval-client", "none"]
Forward = Callable[[Approval], Awaitable[bool]]

FORGET_AT_ONCE = 500
CLOSE_S = 5.0
SHELL_FLAGS = frozenset({"-c", "-lc"})

_REASONS: dict[Reason, WithoutDecision] = {
    Reason.NO_ROUTE: "no-approval-route",
    Reason.TIMEOUT: "expired",
    Reason.RUN_ABORTED: "cancelled",
    Reason.GATEWAY_RESTART: "cancelled",
}


@dataclass(frozen=True, slots=True)
class ApprovalSettings:
    """How approvals are asked for.

    Attributes:
        timeout_s: how long one waits, when its asker does not say.
        wait_for_client: keep it open when nobody who could decide is connected.
        max_pending: how many may wait at the same time.
    """

    timeout_s: float = 1800.0
    wait_for_client: bool = False
    max_pending: int = 1000


class Approvals:
    """Asks, waits, decides.

    Args:
        owner: names this process to the others on the database.
        alone: there are no others.
        forward: takes an approval to reviewers who are not connected; says whether it could.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        policy: ExecPolicy,
        tasks: Tasks,
        owner: str,
        alone: bool,
        settings: ApprovalSettings,
        forward: Forward | None = None,
    ) -> None:
        self.policy = policy
        self.settings = settings
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._owner = owner
        self._forward = forward
        self._board = Board(hub, clock)
        self._watch = Watch(
            board=self._board,
            store=store,
            clock=clock,
            owner=owner,
            alone=alone,
            most=settings.max_pending,
        )
        self._stopping = False

    def configure(self, settings: ApprovalSettings) -> None:
        """Ask by other rules from now on."""
        self.settings = settings
        self._watch.most = settings.max_pending

    async def start(self) -> None:
        """Take up what waits, then keep an eye on it."""
        await self._watch.take_up()
        self._tasks.start(self._watch.keep(), name="approvals")

    async def sweep(self) -> None:
        """Do now what is due: end what is too late, see what other processes did."""
        await self._watch.sweep()

    def keep_company(self, *, alone: bool) -> None:
        """Another process begins or ceases to work on the same approvals."""
        self._watch.keep_company(alone=alone)

    async def outlive(self, owner: str) -> None:
        """Give those who asked in a process that is gone for certain the time to come back."""
        await self._watch.outlive(owner)

    def detach(self) -> None:
        """The gateway stops: leave what agents ask open for whoever resumes them."""
        self._stopping = True

    # -- asking ----------------------------------------------------------------------------------

    async def ask(self, asked: ApprovalAsked, *, timeout_s: float) -> Decided:
        """Ask for a decision, and wait for it no longer than `timeout_s`.

        May be cancelled: the approval is then closed as cancelled.
        """
        if is_too_long(asked.command):
            return Decided(None, "too-large")
        until_s = self._clock.monotonic_s() + timeout_s
        self._watch.asking += 1
        try:
            while (left_s := until_s - self._clock.monotonic_s()) > 0:
                approval = await self._ask_once(asked, left_s)
                if approval is None:
                    break
                if await self._may_use(approval):
                    return _decided(approval)
        except Overloaded:
            return Decided(None, "overloaded")
        finally:
            self._watch.asking -= 1
        return Decided(None, "expired")

    async def _ask_once(self, asked: ApprovalAsked, left_s: float) -> Approval | None:
        approval_id = new_id("apr")
        try:
            async with asyncio.timeout(left_s):
                approval = await self._open_asked(asked, approval_id, left_s)
                approval_id = approval.approval_id
                return await self.wait(approval_id)
        except TimeoutError:
            return await self._close(approval_id, Reason.TIMEOUT)
        except asyncio.CancelledError:
            if not self._stopping:
                self._tasks.start(
                    self._close(approval_id, Reason.RUN_ABORTED), name="approvals.cancel"
                )
            raise

    async def _open_asked(self, asked: ApprovalAsked, approval_id: str, left_s: float) -> Approval:
        now = self._clock.now_ms()
        new = NewApproval(
            approval_id=approval_id,
            request=request_of(asked),
            allowed=_choices(asked.allowed),
            origin="agent",
            fingerprint=_fingerprint(asked, approval_id),
            requested_by=asked.agent_id or "agent",
            created_at=now,
            expires_at=now + max(1, int(left_s * 1000)),
        )
        approval = await self._store.write(
            approval_store.put_or_join,
            new,
            owner=self._owner,
            lease_until=now + LEASE_MS,
            most=self.settings.max_pending,
        )
        if approval.is_pending:  # one that was joined has been announced before
            await self._announce(approval, needs_route=approval.approval_id == approval_id)
        return approval

    async def _close(self, approval_id: str, reason: Reason) -> Approval | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                return await self._end(approval_id, reason)
        return None

    async def _may_use(self, approval: Approval) -> bool:
        """Use the decision up; `False`: it was a yes for one time, and that has been."""
        if approval.decision is None:
            return True
        now = self._clock.now_ms()
        is_first = await self._store.write(approval_store.consume, approval.approval_id, now=now)
        if approval.decision == "allow-always":
            await self._remember(approval)  # the decider may have sat at another machine
        return is_first or approval.decision != "allow-once"

    async def use_once(self, approval: Approval) -> bool:
        """Use a yes for one time up; `False`: it has been used."""
        now = self._clock.now_ms()
        return await self._store.write(approval_store.consume, approval.approval_id, now=now)

    async def request(
        self,
        new: NewApproval,
        *,
        over: ConnId | None = None,
        needs_route: bool = True,
    ) -> tuple[Approval, Route]:
        """Put a client's approval on record and tell reviewers; asking the same again joins it.

        Args:
            over: the connection that asks; it does not count as a reviewer.
            needs_route: when nobody can be asked, end it at once.

        Raises:
            InvalidRequest: its id is in use for something else.
            Overloaded: too many wait already.
        """
        approval = await self._store.write(
            approval_store.put,
            new,
            owner=None,
            lease_until=None,
            most=self.settings.max_pending,
        )
        if approval.fingerprint != new.fingerprint:
            raise InvalidRequest("approval id already pending")
        if not approval.is_pending:
            return approval, "none"
        return await self._announce(approval, over=over, needs_route=needs_route)

    async def _announce(
        self, approval: Approval, *, over: ConnId | None = None, needs_route: bool = True
    ) -> tuple[Approval, Route]:
        self._board.appeared(approval)
        self._watch.look_again()
        route = await self._route(approval, over)
        if route == "none" and needs_route and not self.settings.wait_for_client:
            log.info("approval.no_route", approval_id=approval.approval_id)
            approval = await self._end(approval.approval_id, Reason.NO_ROUTE) or approval
        return approval, route

    async def _route(self, approval: Approval, over: ConnId | None) -> Route:
        if approval.silent:
            return "none"
        if self._forward is not None and await self._forward(approval):
            return "forwarder"
        if self._board.has_reviewer(approval.reviewers, but=over):
            return "approval-client"
        return "approval-client" if await self._watch.is_reviewed_elsewhere() else "none"

    # -- waiting and deciding --------------------------------------------------------------------

    async def wait(self, approval_id: str) -> Approval:
        """Return an approval once it has ended.

        Raises:
            ApprovalNotFound: there is none.
        """
        with self._board.place(approval_id) as ended:
            approval = await self.find(approval_id)
            if approval is None:
                raise ApprovalNotFound
            return await ended if approval.is_pending else approval

    async def resolve(
        self, approval_id: str, decision: Decision, by: Reviewer
    ) -> tuple[Approval, Outcome]:
        """Decide an approval, unless it is over; return it as it is then.

        Raises:
            ApprovalNotFound: there is none, or it is not this reviewer's to decide.
            InvalidRequest: it does not allow this decision.
        """
        approval = await self.find_for(approval_id, by)
        if decision not in approval.allowed:
            raise InvalidRequest(
                f"{decision} is unavailable for this command",
                details={"reason": f"APPROVAL_{decision.upper().replace('-', '_')}_UNAVAILABLE"},
            )
        now = self._clock.now_ms()
        after, changed = await self._store.write(
            approval_store.decide, approval_id, decision, by=by, now=now
        )
        if after is None:
            raise ApprovalNotFound
        if not changed:
            return after, judge(after.decision, decision)
        self._board.ended(after)
        if after.decision is None:  # its time was up
            return after, Outcome.OVER
        log.info("approval.resolved", approval_id=approval_id, decision=decision, by=by.subject)
        if decision == "allow-always":
            await self._remember(after)
        return after, Outcome.APPLIED

    async def _remember(self, approval: Approval) -> None:
        argv, agent_id = _remembered(approval), approval.agent_id
        if argv is None or agent_id is None:
            return
        try:
            await asyncio.to_thread(self.policy.allow_always, agent_id, argv)
        except (BrokenFile, OSError) as error:  # this one is allowed; the next one asks again
            log.error("approvals.remember_failed", agent_id=agent_id, error=str(error))

    async def find(self, approval_id: str) -> Approval | None:
        """Return an approval, or `None`."""
        return await self._store.read(approval_store.find, approval_id)

    async def find_for(self, approval_id: str, reviewer: Reviewer) -> Approval:
        """Return an approval to somebody who may review it.

        Raises:
            ApprovalNotFound: there is none; or it is not theirs, which they are not told.
        """
        approval = await self.find(approval_id)
        if approval is not None and reviewer.may_review(approval.reviewers):
            return approval
        if approval is not None:
            log.warning(
                "approval.wrong_reviewer", approval_id=approval_id, subject=reviewer.subject
            )
        raise ApprovalNotFound

    async def list_pending(self, reviewer: Reviewer) -> list[Approval]:
        """Return what waits and is somebody's to decide, the oldest first."""
        found = await self._store.read(approval_store.list_pending, self.settings.max_pending)
        now = self._clock.now_ms()
        return [one for one in found if one.expires_at > now and reviewer.may_review(one.reviewers)]

    async def list_ended(
        self, reviewer: Reviewer, *, before: tuple[int, str], count: int
    ) -> list[Approval]:
        """Return what has ended and somebody may review, the newest first, from a place on."""
        found: list[Approval] = []
        while len(found) < count:
            page = await self._store.scan(
                approval_store.list_ended, before_ms=before[0], before_id=before[1], count=count
            )
            found += [one for one in page if reviewer.may_review(one.reviewers)]
            if len(page) < count:
                break
            before = (page[-1].resolved_at or 0, page[-1].approval_id)
        return found[:count]

    async def forget(self, *, before_ms: int) -> int:
        """Delete approvals that ended before a time; return how many."""
        total = 0
        while count := await self._store.write(
            approval_store.forget, before_ms=before_ms, count=FORGET_AT_ONCE
        ):
            total += count
        return total

    async def _end(self, approval_id: str, reason: Reason) -> Approval | None:
        now = self._clock.now_ms()
        approval, _ = await self._store.write(approval_store.end, approval_id, reason, now=now)
        if approval is not None and not approval.is_pending:
            self._board.ended(approval)
        return approval


def _decided(approval: Approval) -> Decided:
    if approval.decision is not None:
        return Decided(approval.decision, None, approval.resolved_by)
    return Decided(None, _REASONS.get(approval.reason or Reason.TIMEOUT, "expired"))


def _choices(allowed: Collection[Decision]) -> tuple[Decision, ...]:
    """Return what a reviewer may choose, in the usual order; no is always among it."""
    return tuple(one for one in DECISIONS if one in allowed or one == "deny")


def _fingerprint(asked: ApprovalAsked, approval_id: str) -> str:
    """Name what is asked, so that a resumed run finds what it asked before it was interrupted."""
    if asked.run_id is None:
        return approval_id
    where = (asked.host, asked.node_id, asked.cwd)
    what = (asked.run_id, asked.agent_id, where, asked.command, asked.command_argv)
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()


def _remembered(approval: Approval) -> tuple[str, ...] | None:
    """Return the command that a standing yes is for; `None`: it is not what was read."""
    request = approval.request
    argv = tuple(request.get("commandArgv") or ())
    if request.get("host") not in {None, "gateway"} or not argv:
        return None
    command = str(request.get("command", "")).strip()
    if len(argv) == 3 and argv[1] in SHELL_FLAGS:
        return argv if argv[2].strip() == command else None
    try:
        return argv if tuple(shlex.split(command)) == argv else None
    except ValueError:
        return None
