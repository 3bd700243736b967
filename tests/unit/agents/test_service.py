"""The roster while it changes: who keeps what, and what is closed when."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from portico.agents.runtime import Abilities, AgentEvent, Failed, Final, Turn
from portico.agents.service import Agent, Agents, GoneRuntime, Roster
from portico.protocol.errors import InvalidRequest
from portico.tasks import Tasks
from tests.support.thinking import answer, turn_of
from tests.support.waiting import eventually, loop_turns


class Prepared:
    """A runtime that notes what is done with it."""

    abilities = Abilities()

    def __init__(self, name: str) -> None:
        self.name = name
        self.warmed = 0
        self.closed = 0

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield Final(self.name)

    async def warm_up(self) -> None:
        self.warmed += 1

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    failures: list[BaseException] = []
    made = Tasks(lambda _name, error: failures.append(error))
    yield made
    await made.stop()
    assert failures == []


def roster(*runtimes: Prepared) -> Roster:
    return Roster(tuple(Agent(one.name, one) for one in runtimes), runtimes[0].name)


async def test_who_stays_is_left_alone_and_who_goes_is_closed(tasks: Tasks) -> None:
    a, b, c = Prepared("a"), Prepared("b"), Prepared("c")
    agents = Agents.of(roster(a, b), tasks=tasks)
    agents.replace(roster(c, a))
    await eventually(lambda: b.closed == 1 and c.warmed == 1)
    assert (a.warmed, a.closed) == (0, 0)
    assert agents.default_id == "c"
    assert [agent.agent_id for agent in agents.list()] == ["c", "a"]
    with pytest.raises(InvalidRequest, match='unknown agent id "b"'):
        agents.get("b")


async def test_a_runtime_in_use_is_closed_after_its_last_turn(tasks: Tasks) -> None:
    a, b = Prepared("a"), Prepared("b")
    agents = Agents.of(roster(a, b), tasks=tasks)
    first, second = agents.hold(b), agents.hold(b)
    agents.replace(roster(a))
    first()
    first()  # a second time counts for nothing
    await loop_turns()
    assert b.closed == 0
    second()
    await eventually(lambda: b.closed == 1)


async def test_a_runtime_that_comes_back_while_in_use_is_not_closed(tasks: Tasks) -> None:
    a, b = Prepared("a"), Prepared("b")
    agents = Agents.of(roster(a, b), tasks=tasks)
    release = agents.hold(b)
    agents.replace(roster(a))
    agents.replace(roster(a, b))
    release()
    await loop_turns()
    assert b.closed == 0


async def test_two_agents_may_share_a_runtime(tasks: Tasks) -> None:
    shared, other = Prepared("a"), Prepared("x")
    both = Roster((Agent("a", shared), Agent("b", shared)), "a")
    agents = Agents.of(both, tasks=tasks)
    agents.replace(Roster((Agent("b", shared), Agent("x", other)), "b"))
    await eventually(lambda: other.warmed == 1)
    assert shared.closed == 0


async def test_the_end_closes_what_waits_for_its_last_turn_too(tasks: Tasks) -> None:
    a, b = Prepared("a"), Prepared("b")
    agents = Agents.of(roster(a, b), tasks=tasks)
    agents.hold(b)
    agents.replace(roster(a))
    await agents.close()
    assert (a.closed, b.closed) == (1, 1)


async def test_an_agent_that_is_gone_says_so_and_nobody_answers_for_it(tasks: Tasks) -> None:
    agents = Agents.of(roster(Prepared("a")), tasks=tasks)
    runtime = agents.runtime_for("old")
    assert isinstance(runtime, GoneRuntime)
    (only,) = await answer(runtime, turn_of("hi"))
    assert isinstance(only, Failed)
    assert '"old" was removed' in only.message
    assert agents.timeout_s_for("old") == agents.timeout_s_for("a")
