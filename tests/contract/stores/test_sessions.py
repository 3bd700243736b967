"""Lists and changes of sessions, on both engines."""

from __future__ import annotations

from typing import Any

import pytest

from portico.protocol.errors import InvalidRequest
from portico.sessions import listing, mutations, transcript
from portico.sessions.listing import Filter
from portico.sessions.mutations import NOTHING_EXPECTED, Busy, Expected, Patch
from portico.store import Store

NOW = 1_800_000_000_000


async def make(store: Store, key: str, *, at: int = NOW, agent: str = "main", **columns: Any):
    settings = columns.pop("settings", {})
    change = Patch(columns=columns, settings=settings)
    session, _ = await store.write(
        mutations.patch, key, change, NOTHING_EXPECTED, agent_id=agent, now=at
    )
    return session


async def keys(store: Store, wanted: Filter, **how: Any) -> list[str]:
    page = await store.scan(listing.list_sessions, wanted, limit=100, **how)
    assert page.total == len(page.items)
    return [item.session.key.rpartition(":")[2] for item in page.items]


async def test_every_filter_finds_its_own(store: Store):
    await make(store, "agent:main:a", at=NOW + 1)
    await make(store, "agent:main:b", at=NOW + 2, label="50% Off_er", pinned=True)
    await make(store, "agent:main:c", at=NOW + 3, archived=True, settings={"category": "W%rk"})
    await make(store, "agent:fox:d", at=NOW + 4, agent="fox")
    await make(store, "agent:main:cron:e", at=NOW + 5, settings={"parentSessionKey": "agent:x:y"})
    assert await keys(store, Filter()) == ["e", "d", "b", "a"]
    assert await keys(store, Filter(archived=None)) == ["e", "d", "c", "b", "a"]
    assert await keys(store, Filter(agent_id="fox")) == ["d"]
    assert await keys(store, Filter(agents=("fox", "owl"))) == ["d"]
    assert await keys(store, Filter(label="50% Off_er")) == ["b"]
    assert await keys(store, Filter(search="0% o")) == ["b"]
    assert await keys(store, Filter(search="Fox")) == ["d"]
    assert await keys(store, Filter(pinned=True)) == ["b"]
    assert await keys(store, Filter(updated_after=NOW + 4)) == ["e", "d"]
    assert await keys(store, Filter(archived=None, category="W%rk")) == ["c"]
    assert await keys(store, Filter(parent="agent:x:y")) == ["e"]
    assert await keys(store, Filter(exclude_cron=True)) == ["d", "b", "a"]
    assert await keys(store, Filter(running=True)) == []
    assert await keys(store, Filter(), sort_by="lastInteractionAt") == ["e", "d", "b", "a"]
    assert await keys(store, Filter(), sort_by="activity") == ["e", "d", "b", "a"]
    assert await store.scan(listing.counts_by_agent) == {"main": 4, "fox": 1}


async def test_sessions_are_found_by_the_beginning_of_their_id(store: Store):
    session = await make(store, "agent:main:a")
    await make(store, "agent:main:b")
    found = await store.read(listing.find_by_session_id_prefix, session.session_id[:12].upper())
    assert [one.key for one in found] == ["agent:main:a"]
    assert await store.read(listing.find_by_session_id_prefix, "zz") == []
    found = await store.read(listing.find_by_session_id, session.session_id)
    assert [one.key for one in found] == ["agent:main:a"]


async def test_a_refused_patch_leaves_nothing(store: Store):
    await make(store, "agent:main:a", label="Taken")
    with pytest.raises(InvalidRequest, match="label already in use"):
        await make(store, "agent:main:b", label="Taken")
    assert await store.read(transcript.find_session, "agent:main:b") is None
    stale = Expected(session_id="other")
    with pytest.raises(InvalidRequest, match="changed since"):
        await store.write(mutations.patch, "agent:main:a", Patch(), stale, agent_id="main", now=NOW)


async def test_a_busy_session_is_left_alone(store: Store):
    key = "agent:main:a"
    await make(store, key)
    await store.write(
        transcript.append, key, role="user", content="Hi", now=NOW, run_id="r1", begins_run=True
    )
    for change in (
        lambda: mutations.reset(key, NOTHING_EXPECTED, agent_id="main", reason="new", now=NOW),
        lambda: mutations.remove(key, NOTHING_EXPECTED, with_transcript=True, archived_only=False),
    ):
        with pytest.raises(Busy):
            await store.write(change)
    await store.write(transcript.run_ended, key, "r1", state="succeeded", now=NOW)
    gone = await store.write(
        mutations.remove, key, NOTHING_EXPECTED, with_transcript=True, archived_only=False
    )
    assert gone is not None


async def test_reset_and_trim_keep_the_count_of_entries(store: Store):
    key = "agent:main:a"
    await make(store, key)
    for number in range(5):
        await store.write(transcript.append, key, role="user", content=str(number), now=NOW)
    trimmed = await store.write(mutations.trim, key, keep=2, now=NOW)
    assert trimmed is not None
    assert (trimmed.message_count, trimmed.last_seq) == (2, 5)
    left = await store.read(transcript.history, trimmed.session_id, limit=10)
    assert [entry.seq for entry in left] == [4, 5]
    fresh = await store.write(
        mutations.reset, key, NOTHING_EXPECTED, agent_id="main", reason="reset", now=NOW
    )
    assert (fresh.message_count, fresh.last_seq) == (1, 1)
    assert fresh.settings["previousSessionId"] == trimmed.session_id
