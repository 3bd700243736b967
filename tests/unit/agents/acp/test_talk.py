from __future__ import annotations

import asyncio

from portico.agents.acp.talk import MAX_HELD_CHARS, MAX_HELD_EVENTS, Done, Talk
from portico.agents.runtime import TextDelta
from tests.support.waiting import loop_turns


async def test_order_is_kept_and_done_comes_last() -> None:
    talk = Talk()
    for word in "abc":
        talk.put(TextDelta(word))
    talk.put(Done())
    assert [await talk.take() for _ in range(4)] == [*map(TextDelta, "abc"), Done()]


async def test_there_is_no_room_until_half_has_been_taken() -> None:
    talk = Talk()
    for _ in range(MAX_HELD_EVENTS):
        talk.put(TextDelta("x"))
    waiting = asyncio.ensure_future(talk.room())
    for _ in range(MAX_HELD_EVENTS // 2):
        await talk.take()
    await loop_turns()
    assert not waiting.done()
    await talk.take()
    await asyncio.wait_for(waiting, 30)


async def test_large_events_fill_it_too() -> None:
    talk = Talk()
    talk.put(TextDelta("large"), MAX_HELD_CHARS)
    waiting = asyncio.ensure_future(talk.room())
    await loop_turns()
    assert not waiting.done()
    await talk.take()
    await asyncio.wait_for(waiting, 30)


async def test_taken_means_that_the_next_one_was_asked_for() -> None:
    talk = Talk()
    talk.put(TextDelta("tool"))
    waiting = asyncio.ensure_future(talk.until_taken())
    await talk.take()
    await loop_turns()
    assert not waiting.done()
    taking = asyncio.ensure_future(talk.take())
    await asyncio.wait_for(waiting, 30)
    talk.put(Done())
    assert await taking == Done()


async def test_when_the_turn_is_gone_nobody_waits_and_nothing_is_kept() -> None:
    talk = Talk()
    for _ in range(MAX_HELD_EVENTS):
        talk.put(TextDelta("x"))
    waiting = [asyncio.ensure_future(one) for one in (talk.room(), talk.until_taken())]
    await loop_turns()
    talk.close()
    await asyncio.wait_for(asyncio.gather(*waiting), 30)
    talk.put(TextDelta("late"))
    last = await talk.take()
    assert isinstance(last, Done)
    assert last.error is not None
    await asyncio.wait_for(talk.until_taken(), 30)
