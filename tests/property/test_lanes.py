"""Lanes under any schedule: owners come, crash at any commit, sleep past their leases, come back.

The real inbox, lanes and runner on a database in memory; the runtime says what the machine tells
it. What must hold: one running turn per lane, order, every accepted message once in the transcript,
every turn to one end that never changes, its budget charged once and nothing of it held.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from portico.agents.runtime import ModelUsed, ToolStarted, Usage
from portico.budgets.model import Amount, Limit, Plan
from portico.budgets.service import Budgets
from portico.channels.model import QueueMode
from portico.turns.model import TurnLimits
from tests.support.clock import FakeClock
from tests.support.memory import Dead, OwnedStore
from tests.support.mortals import Mortals
from tests.support.path import Path
from tests.support.waiting import loop_turns

SESSIONS = ["s0", "s1"]
PLAN = Plan((Limit(scope="gateway", period="total", tokens=10**9),), Amount(10))
ONE_TOKEN = ModelUsed(Usage(input=1))
LIMITS = TurnLimits(max_concurrent=2, live_text_ms=0)
ENDED_WITHOUT_BEGINNING = {"dropped", "expired"}


class Lanes(Mortals[Path]):
    @initialize()
    def begin(self) -> None:
        self.sent: dict[str, tuple[str, QueueMode]] = {}  # run id → session, mode; in order
        self.acknowledged: list[str] = []
        self.ended: dict[str, str] = {}
        self.found(FakeClock())

    def new_owner(self, store: OwnedStore, name: str) -> Path:
        path = Path(
            store,
            owner=name,
            alone=False,
            clock=self.clock,
            limits=LIMITS,
            budgets=Budgets(store=store, clock=self.clock, plan=PLAN),
        )
        path.lanes.cap = 100
        return path

    # -- what may happen -------------------------------------------------------------------------

    @rule(
        owner=st.integers(0, 1),
        session=st.sampled_from(SESSIONS),
        mode=st.sampled_from(["followup", "collect", "steer", "interrupt"]),
    )
    def say(self, owner: int, session: str, mode: QueueMode) -> None:
        run_id = f"r{next(self.numbers)}"
        self.sent[run_id] = (session, mode)
        self.run(self.step(self._say(self.owners[owner], run_id)))

    async def _say(self, owner: Path, run_id: str) -> None:
        session, mode = self.sent[run_id]
        known = run_id in self.acknowledged
        accepted = await owner.say(run_id, session=session, mode=mode)
        if known:
            assert accepted.duplicate
        if run_id not in self.acknowledged:
            self.acknowledged.append(run_id)

    @precondition(lambda self: self.sent)
    @rule(owner=st.integers(0, 1), data=st.data())
    def say_again(self, owner: int, data: Any) -> None:
        run_id = data.draw(st.sampled_from(list(self.sent)))
        self.run(self.step(self._say(self.owners[owner], run_id)))

    @rule(
        owner=st.integers(0, 1),
        what=st.sampled_from(["finish", "finish", "fail", "act", "steer", "stop"]),
        which=st.integers(0, 3),
    )
    def runtime(self, owner: int, what: str, which: int) -> None:
        puppet = self.owners[owner].puppet
        live = [run_id for run_id in puppet.order if run_id not in puppet.cleaned]
        if not live:
            return
        run_id = live[which % len(live)]
        match what:
            case "finish":
                puppet.tell(run_id, ONE_TOKEN)
                puppet.finish(run_id, f"to {run_id}")
            case "fail":
                puppet.tell(run_id, RuntimeError("as told"))
            case "act":
                puppet.tell(run_id, ONE_TOKEN, ToolStarted("t", "act", {}))
            case _:
                puppet.tell(run_id, what)
        self.run(self.step())

    @precondition(lambda self: self.sent)
    @rule(owner=st.integers(0, 1), data=st.data())
    def cancel(self, owner: int, data: Any) -> None:
        run_id = data.draw(st.sampled_from(list(self.sent)))
        path = self.owners[owner]
        self.run(self.step(self._cancel(path, run_id)))

    async def _cancel(self, path: Path, run_id: str) -> None:
        path.tasks.start(path.turns.cancel(run_id, "rpc"), name="cancel")

    @rule(owner=st.integers(0, 1), seconds=st.sampled_from([0, 5, 31]))
    def sweep(self, owner: int, seconds: int) -> None:
        self.clock.advance(seconds)
        self.run(self.step(self.owners[owner].sweep()))

    @rule(owner=st.integers(0, 1))
    def kill(self, owner: int) -> None:
        self.stores[owner].dead = True
        self.run(self.step())

    @rule(
        owner=st.integers(0, 1),
        commits=st.integers(0, 3),
        cut=st.sampled_from(["before", "after"]),
    )
    def kill_at_a_commit(self, owner: int, commits: int, cut: Any) -> None:
        self.stores[owner].die_in(commits, cut)

    # -- what must hold --------------------------------------------------------------------------

    @invariant()
    def one_run_per_lane(self) -> None:
        if hasattr(self, "memory"):
            found = self.memory.select(
                "SELECT session_key FROM turns WHERE state = 'running' "
                "GROUP BY session_key HAVING count(*) > 1"
            )
            assert found == []

    @invariant()
    def an_end_is_an_end(self) -> None:
        if not hasattr(self, "memory"):
            return
        now = {row["run_id"]: row["state"] for row in self.memory.select("SELECT * FROM turns")}
        for run_id, state in self.ended.items():
            assert now[run_id] == state, f"{run_id} was {state} and is {now[run_id]}"
        open_states = {"queued", "running"}
        self.ended = {run_id: state for run_id, state in now.items() if state not in open_states}

    @invariant()
    def nothing_failed_unseen(self) -> None:
        for path in getattr(self, "owners", []):
            others = [failure for failure in path.failures if not isinstance(failure[1], Dead)]
            assert others == []

    # -- the end ---------------------------------------------------------------------------------

    async def come_to_rest(self) -> None:
        """Everybody dies; one last owner answers everything; clients send again what was not
        acknowledged."""
        await self.kill_all()
        await self.open(1)
        last = self.owners[0]
        for run_id in self.sent:
            await self._say(last, run_id)
        for _ in range(200):
            self.clock.advance(31)
            await last.sweep()
            for run_id in last.puppet.order:
                if run_id not in last.puppet.cleaned:
                    last.puppet.finish(run_id, f"to {run_id}")
            await loop_turns(30)
            if not self.memory.select("SELECT 1 FROM turns WHERE state IN ('queued', 'running')"):
                return
        raise AssertionError("some turns do not end")

    def check_end(self) -> None:
        turns = {row["run_id"]: row for row in self.memory.select("SELECT * FROM turns")}
        self._check_budget(turns)
        assert set(turns) == set(self.sent) == set(self.acknowledged)
        for session in SESSIONS:
            entries = self.memory.select(
                "SELECT e.* FROM session_entries e JOIN sessions s USING (session_id) "
                "WHERE s.key = ? ORDER BY e.seq",
                f"agent:main:{session}",
            )
            self._check_transcript(session, turns, entries)

    def _check_budget(self, turns: Any) -> None:
        """What was spent is what ended turns say they used, once each; nothing is held."""
        used = sum(
            json.loads(turn["result"] or "{}").get("usage", {}).get("input", 0)
            for turn in turns.values()
        )
        spent = self.memory.select("SELECT coalesce(sum(tokens), 0) AS n FROM budgets_spent")
        assert spent[0]["n"] == used
        assert self.memory.select("SELECT * FROM budgets_reserved") == []

    def _check_transcript(self, session: str, turns: Any, entries: list[Any]) -> None:
        assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
        said: list[str] = []
        for entry in entries:
            if entry["role"] == "user":
                said += json.loads(entry["content"]).split("\n\n")
        answers = [
            entry["run_id"]
            for entry in entries
            if entry["role"] == "assistant" and json.loads(entry["meta"])["stopReason"] != "toolUse"
        ]
        mine = [run_id for run_id, (where, _) in self.sent.items() if where == session]
        for run_id in mine:
            turn = turns[run_id]
            began = turn["session_id"] is not None or turn["state"] == "merged"
            assert said.count(run_id) == int(began), (run_id, dict(turn), said)
            assert answers.count(run_id) <= 1
            if turn["state"] in {"succeeded", "failed", "interrupted"}:
                assert answers.count(run_id) == int(_says_something(turn)), (run_id, dict(turn))
            assert turn["state"] not in ENDED_WITHOUT_BEGINNING
            if turn["state"] == "merged":
                assert turns[turn["merged_into"]]["session_key"] == turn["session_key"]
        in_order = [run_id for run_id in said if self.sent[run_id][1] != "steer"]
        accepted = self.memory.select("SELECT run_id FROM inbox_messages ORDER BY rowid")
        order = [row["run_id"] for row in accepted if row["run_id"] in in_order]
        assert in_order == order


def _says_something(turn: Any) -> bool:
    result = json.loads(turn["result"])
    return bool(result.get("text") or result.get("error"))


TestLanes = Lanes.TestCase
TestLanes.settings = settings(stateful_step_count=40)
