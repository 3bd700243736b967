"""Feeds: numbered steps, resume, bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from portico.agents.runtime import TextDelta, TurnRequest
from portico.channels.model import Peer, ReplyRoute
from portico.protocol.errors import Unavailable
from portico.turns import feed as feed_module
from portico.turns.feed import Ended, Feeds, RunFeed, Started, Step
from portico.turns.life import TurnState
from portico.turns.model import TurnRow

ROW = TurnRow(
    run_id="a",
    session_key="agent:main:s",
    session_id="sid",
    agent_id="main",
    position=1,
    state=TurnState.RUNNING,
    queue_mode="followup",
    fingerprint="",
    request=TurnRequest(text="hello"),
    reply_route=ReplyRoute("webchat", "default", Peer("direct", "ann")),
    owner="me",
    fence=1,
    attempts=1,
    unsafe=False,
    cancel_reason=None,
    merged_into=None,
    result=None,
    lease_until=None,
    queued_at=0,
    started_at=0,
    ended_at=None,
)
DONE = msgspec.structs.replace(ROW, state=TurnState.SUCCEEDED)


async def heard(feed: RunFeed, after: int = 0) -> list[tuple[int, Step]]:
    return [pair async for pair in feed.follow(after)]


async def test_steps_are_numbered_from_one() -> None:
    feed = RunFeed()
    following = asyncio.ensure_future(heard(feed))
    await asyncio.sleep(0)
    feed.push(Started(ROW))
    feed.push(TextDelta("x"))
    await asyncio.sleep(0)
    feed.push(Ended(DONE))
    assert await following == [(1, Started(ROW)), (2, TextDelta("x")), (3, Ended(DONE))]
    assert await heard(feed, after=1) == [(2, TextDelta("x")), (3, Ended(DONE))]
    assert await heard(feed, after=3) == []
    assert await heard(feed, after=99) == []


async def test_many_follow_one_run() -> None:
    feed = RunFeed()
    all_heard = asyncio.gather(*(heard(feed) for _ in range(5)), feed.wait_end())
    await asyncio.sleep(0)
    feed.push(Ended(DONE))
    *followers, row = await all_heard
    assert followers == [[(1, Ended(DONE))]] * 5
    assert row is DONE


async def test_a_follower_that_gives_up_is_forgotten() -> None:
    feed = RunFeed()
    following = asyncio.ensure_future(heard(feed))
    await asyncio.sleep(0)
    following.cancel()
    feed.push(TextDelta("x"))
    feed.push(Ended(DONE))
    assert len(await heard(feed)) == 2


async def test_only_the_newest_steps_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "MAX_STEPS", 3)
    feed = RunFeed()
    for number in range(10):
        feed.push(TextDelta(str(number)))
    feed.push(Ended(DONE))
    assert [number for number, _ in await heard(feed)] == [9, 10, 11]


async def test_finished_feeds_are_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "MAX_FINISHED", 2)
    feeds = Feeds()
    for name in ("a", "b", "c"):
        feeds.open(name).push(TextDelta("x"))
        feeds.close(name, DONE)
    assert feeds.find("a") is None
    late = feeds.find("c")
    assert late is not None
    assert [number for number, _ in await heard(late)] == [1, 2]
    assert feeds.open("c") is late
    assert feeds.open_ids() == []
    assert len(feeds) == 2


async def test_finished_feeds_are_bounded_by_their_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "MAX_FINISHED_STEPS", 10)
    feeds = Feeds()
    for number in range(20):
        feed = feeds.open(str(number))
        for _ in range(3):
            feed.push(TextDelta("x"))
        feeds.close(str(number), DONE)
    assert len(feeds) == 2


async def test_closing_an_unknown_feed_is_nothing() -> None:
    feeds = Feeds()
    feeds.close("nobody", DONE)
    feeds.forget("nobody")
    assert feeds.find("nobody") is None
    anything: Any = feeds.open("a")
    assert bool(anything)


async def test_a_detached_feed_lets_everyone_go() -> None:
    feeds = Feeds()
    feed = feeds.open("a")
    waiting = asyncio.ensure_future(feed.wait_end())
    steps = [number async for number, _ in _after_detach(feeds, feed)]
    assert steps == []
    with pytest.raises(Unavailable, match="same id"):
        await waiting
    with pytest.raises(Unavailable):
        await feeds.open("b").wait_end()


async def _after_detach(feeds: Feeds, feed: RunFeed) -> AsyncIterator[tuple[int, object]]:
    asyncio.get_running_loop().call_soon(feeds.detach)
    async for step in feed.follow():
        yield step
