"""The record of changes, on both engines."""

from __future__ import annotations

from typing import Any

import pytest

from portico.audit.model import Wanted
from portico.audit.service import DAY_MS, MAX_DETAILS_BYTES, Audit, Retention
from portico.store import Store, Work
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def audit(store: Store, clock: FakeClock) -> Audit:
    return Audit(store, clock=clock)


async def test_changes_are_listed_the_newest_first(audit: Audit, clock: FakeClock) -> None:
    await audit.record("config.patched", actor="ann", target="gateway.port", details={"n": 1})
    await audit.record("device.approved", actor="bob", target="dev1", outcome="refused")
    await audit.record("configuration", actor="ann")
    listed = await audit.list(Wanted())
    assert [one.action for one in listed] == ["configuration", "device.approved", "config.patched"]
    assert listed[2].details == {"n": 1}
    assert listed[2].recorded_at == clock.now_ms()
    assert listed[1].outcome == "refused"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"action": "config"}, ["config.set", "config.patched"]),
        ({"action": "config.set"}, ["config.set"]),
        ({"actor": "bob"}, ["device.approved"]),
        ({"target": "t"}, ["config.set"]),
        ({"count": 1}, ["device.approved"]),
        ({"action": "conf"}, []),
    ],
)
async def test_what_is_asked_for(audit: Audit, wanted: dict[str, Any], found: list[str]) -> None:
    await audit.record("config.patched", actor="ann")
    await audit.record("config.set", actor="ann", target="t")
    await audit.record("device.approved", actor="bob")
    assert [one.action for one in await audit.list(Wanted(**wanted))] == found


async def test_a_page_goes_on_where_the_last_one_ended(audit: Audit) -> None:
    for number in range(5):
        await audit.record("a.done", actor="x", target=str(number))
    first = await audit.list(Wanted(count=2))
    rest = await audit.list(Wanted(below=first[-1].sequence))
    assert [one.target for one in (*first, *rest)] == ["4", "3", "2", "1", "0"]


async def test_secrets_are_never_kept(audit: Audit) -> None:
    await audit.record(
        "config.set",
        actor="ann",
        target="token=abcdefghij",
        details={"apiKey": "sk-verysecret1", "at": {"url": "https://u:pw123@host/"}, "list": ["x"]},
    )
    kept = str((await audit.list(Wanted()))[0])
    assert "verysecret" not in kept
    assert "abcdefghij" not in kept
    assert "pw123" not in kept


async def test_what_is_kept_is_bounded(audit: Audit) -> None:
    await audit.record("x", actor="a" * 9999, details={"text": "y" * (2 * MAX_DETAILS_BYTES)})
    await audit.record("x\0y", actor="a", details={"odd": object()})
    odd, long = await audit.list(Wanted())
    assert len(long.actor) < 600
    assert long.details["names"] == ["text"]
    assert odd.details == {"unreadable": ["odd"]}
    assert odd.action == "xy"


async def test_recording_never_fails_the_caller(audit: Audit, store: Store) -> None:
    await store.stop()
    await audit.record("config.set", actor="ann")


async def test_a_record_shares_the_fate_of_its_transaction(audit: Audit, store: Store) -> None:
    def work(*, fails: bool) -> Work[None]:
        yield from audit.within("thing.changed", actor="ann", target=str(fails))
        if fails:
            raise ValueError("no")

    await store.write(work, fails=False)
    with pytest.raises(ValueError, match="no"):
        await store.write(work, fails=True)
    assert [one.target for one in await audit.list(Wanted())] == ["False"]


async def test_old_changes_are_forgotten(audit: Audit, clock: FakeClock) -> None:
    await audit.record("old", actor="ann")
    clock.advance(90 * DAY_MS + 1)
    await audit.record("new", actor="ann")
    assert await audit.forget() == 1
    assert [one.action for one in await audit.list(Wanted())] == ["new"]


async def test_too_many_changes_are_forgotten(audit: Audit) -> None:
    for number in range(7):
        await audit.record("a", actor="ann", target=str(number))
    audit.configure(Retention(days=1, entries=3))
    assert await audit.forget() == 4
    assert [one.target for one in await audit.list(Wanted())] == ["6", "5", "4"]
