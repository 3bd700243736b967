"""Links that give a setup code away, on every engine."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from portico.devices.join import MOST, OWNER, JoinLinks
from portico.devices.setup_code import SetupCode
from portico.store import Store, documents
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio

TTL_MS = 600_000


def code(clock: FakeClock) -> SetupCode:
    return SetupCode("ws://127.0.0.1:1", "the-token-of-the-device", clock.now_ms() + TTL_MS)


async def test_a_link_works_once_whoever_made_it(store: Store) -> None:
    clock = FakeClock()
    given = code(clock)
    link = await JoinLinks(store, clock).make(given)
    base, _, secret = link.rpartition("/")
    assert base == "http://127.0.0.1:1/j"
    other = JoinLinks(store, clock)
    assert await other.open(f"{secret}x") is None
    assert await other.open("") is None
    opened = await asyncio.gather(*(other.open(secret) for _ in range(3)))
    assert [one for one in opened if one is not None] == [given]
    assert await other.open(secret) is None


async def test_the_database_tells_nobody_what_a_link_gives(store: Store) -> None:
    clock = FakeClock()
    link = await JoinLinks(store, clock).make(code(clock))
    kept: dict[str, Any] = await store.read(documents.list_of, OWNER)
    assert len(kept) == 1
    assert "the-token" not in json.dumps(kept)
    assert link.rpartition("/")[2] not in json.dumps(kept)


async def test_links_end_and_are_bounded(store: Store) -> None:
    clock = FakeClock()
    links = JoinLinks(store, clock)
    first = (await links.make(code(clock))).rpartition("/")[2]
    clock.advance(TTL_MS)
    assert await links.open(first) is None
    made = []
    for _ in range(MOST + 1):
        made.append((await links.make(code(clock))).rpartition("/")[2])
        clock.advance(1)
    assert len(await store.read(documents.list_of, OWNER)) == MOST
    assert await links.open(made[0]) is None
    assert await links.open(made[1]) is not None
