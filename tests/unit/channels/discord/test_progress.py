from __future__ import annotations

import asyncio

from portico.channels.discord import progress as progress_module
from portico.channels.discord.cursor import Cursor, read_cursor, snowflake, time_of, write_cursor
from portico.channels.discord.progress import Entry, Lanes, Progress
from portico.tasks import Tasks
from tests.support.waiting import eventually


class Road:
    """Lanes whose works wait for a word."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.progress = Progress(sequence=None, mark=0)
        self.lanes = Lanes(
            Tasks(lambda _name, error: self.failures.append(error)), self.progress.advance
        )
        self.done: list[int] = []
        self.go: dict[int, asyncio.Event] = {}

    def put(self, lane: str, number: int) -> Entry:
        entry = self.progress.begin(number)
        self.go[number] = asyncio.Event()

        async def work() -> None:
            await self.go[number].wait()
            entry.message_id = number * 10
            self.done.append(number)

        self.lanes.put(lane, entry, work)
        self.progress.advance()
        return entry


async def test_it_moves_only_over_what_is_done_with_all_before_it() -> None:
    road = Road()
    for number, lane in enumerate(("a", "b", "a", "b"), start=1):
        road.put(lane, number)
    road.go[2].set()
    await eventually(lambda: road.done == [2])
    assert (road.progress.sequence, road.progress.mark) == (None, 0)
    road.go[3].set()  # behind the first of its lane
    road.go[1].set()
    await eventually(lambda: road.done == [2, 1, 3])
    assert (road.progress.sequence, road.progress.mark) == (3, 30)
    road.progress.begin(5)
    road.go[4].set()
    await eventually(lambda: road.progress.sequence == 5)


async def test_a_work_that_fails_holds_it_for_ever() -> None:
    road = Road()

    async def fail() -> None:
        raise OSError(28, "no space left on device")

    road.lanes.put("a", road.progress.begin(1), fail)
    road.put("b", 2)
    road.go[2].set()
    await eventually(lambda: road.done == [2] and road.failures)
    assert road.progress.sequence is None


async def test_who_puts_more_waits_while_too_many_wait(monkeypatch) -> None:
    monkeypatch.setattr(progress_module, "MOST_WAITING", 2)
    road = Road()
    road.put("a", 1)
    await asyncio.wait_for(road.lanes.room(), 30)
    road.put("a", 2)
    waiting = asyncio.ensure_future(road.lanes.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    road.go[1].set()
    await asyncio.wait_for(waiting, 30)
    road.go[2].set()
    await eventually(lambda: road.progress.sequence == 2)


def test_a_cursor_comes_back_as_it_was_and_nonsense_counts_as_none() -> None:
    cursor = Cursor(session="s", url="wss://x", sequence=7, mark=8, direct=("1", "2"))
    assert read_cursor(write_cursor(cursor)) == cursor
    for odd in (None, "", "7", "{", '{"mark": "x"}'):
        assert read_cursor(odd) == Cursor()


def test_how_far_back_messages_are_fetched() -> None:
    now = 1_795_000_000_000
    hour = 3_600_000
    assert time_of(snowflake(now)) == now
    assert Cursor().fetch_after(now_ms=now, most_ms=hour) is None
    recent = Cursor(mark=snowflake(now - 120_000)).fetch_after(now_ms=now, most_ms=hour)
    assert recent is not None
    assert time_of(recent) == now - 180_000
    old = Cursor(mark=snowflake(now - 9 * hour)).fetch_after(now_ms=now, most_ms=hour)
    assert old == snowflake(now - hour)
