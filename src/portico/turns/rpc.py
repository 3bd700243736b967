"""RPC methods of lanes: what runs and waits, by session. Portico's own additions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.store import Store
from portico.turns import leases
from portico.turns.life import TurnState
from portico.turns.model import TurnRow
from portico.turns.service import Turns

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
SHOWN_CHARS = 200
DISCARDED = "discarded by an operator"


class LanesList(Params, frozen=True, kw_only=True):
    """`{limit?}`: of turns."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 1000


class LaneOf(Params, frozen=True, kw_only=True):
    """`{sessionKey}`."""

    session_key: NonEmpty


class RunOf(Params, frozen=True, kw_only=True):
    """`{runId}`."""

    run_id: NonEmpty


class TurnShown(Result, frozen=True, kw_only=True):
    """One turn that runs or waits."""

    run_id: str
    state: str
    text: str = msgspec.field()
    sender: str = msgspec.field()
    channel: str = msgspec.field()
    account_id: str = msgspec.field()
    attempts: int = msgspec.field()
    queued_at: int = msgspec.field()
    started_at: int | None = None
    owner: str | None = None


class LaneShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """One lane: at most one turn runs, the others wait in this order."""

    session_key: str
    agent_id: str
    running: int
    waiting: int
    turns: list[TurnShown]


class LanesShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Every lane in which something runs or waits, longest waiting first."""

    lanes: list[LaneShown]


class Discarded(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Whether a turn was taken out."""

    run_id: str
    discarded: bool


class LaneMethods:
    """`lanes.*`."""

    def __init__(self, *, turns: Turns, store: Store) -> None:
        self._turns = turns
        self._store = store

    @method("lanes.list", scope=Scope.READ)
    async def list(self, call: Call, params: LanesList) -> LanesShown:
        """List the lanes in which something runs or waits."""
        rows = await self._store.scan(leases.open_turns, count=params.limit)
        by_lane: dict[str, list[TurnRow]] = {}
        for row in rows:
            by_lane.setdefault(row.session_key, []).append(row)
        return LanesShown(lanes=[_lane(key, turns) for key, turns in by_lane.items()])

    @method("lanes.get", scope=Scope.READ)
    async def get(self, call: Call, params: LaneOf) -> LaneShown:
        """Show what runs and waits for one session."""
        rows = await self._turns.open_in_lane(params.session_key)
        return _lane(params.session_key, rows)

    @method("lanes.discard", scope=Scope.WRITE)
    async def discard(self, call: Call, params: RunOf) -> Discarded:
        """Take a turn out of its lane; one that runs is cancelled."""
        if await self._turns.find(params.run_id) is None:
            raise InvalidRequest(f"unknown run: {params.run_id}")
        discarded = await self._turns.cancel(params.run_id, DISCARDED)
        return Discarded(run_id=params.run_id, discarded=discarded)


def _lane(key: str, rows: Iterable[TurnRow]) -> LaneShown:
    turns = sorted(rows, key=lambda row: (row.state is not TurnState.RUNNING, row.position))
    running = sum(row.state is TurnState.RUNNING for row in turns)
    return LaneShown(
        session_key=key,
        agent_id=turns[0].agent_id if turns else "",
        running=running,
        waiting=len(turns) - running,
        turns=[_turn(row) for row in turns],
    )


def _turn(row: TurnRow) -> TurnShown:
    return TurnShown(
        run_id=row.run_id,
        state=row.state.value,
        text=row.request.text[:SHOWN_CHARS],
        sender=row.request.sender,
        channel=row.reply_route.channel,
        account_id=row.reply_route.account,
        attempts=row.attempts,
        queued_at=row.queued_at,
        started_at=row.started_at,
        owner=row.owner,
    )
