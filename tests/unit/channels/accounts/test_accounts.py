"""Accounts are kept as they are wanted: started, watched, torn down, started again."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from portico.channels.accounts import store as account_store
from portico.channels.accounts.store import Begun
from portico.channels.contract import (
    AuthExpired,
    HttpDoor,
    Misconfigured,
    NotReady,
    Outgoing,
    Superseded,
)
from portico.channels.model import ChannelEvent
from portico.config.channels import AccountEntry
from portico.config.issues import Issue, Severity
from portico.config.sections.channels import AccountConfig
from portico.store import Store
from tests.support.accounts import FAST, Puppet, Stage, Theatre, entry, said, stay
from tests.support.path import route, rows
from tests.support.waiting import eventually


@pytest.fixture
def theatre() -> Theatre:
    return Theatre()


async def test_an_account_is_known_before_it_connects(sqlite_store, tmp_path, theatre) -> None:
    stage = Stage(sqlite_store, tmp_path, theatre)
    assert stage.registry.is_known("puppet")
    sender = stage.registry.find("puppet", "a")
    assert sender is not None
    with pytest.raises(NotReady, match="puppet:a is off"):
        await sender.send(Outgoing("d", route(), "hi"))
    assert theatre.runs == []


async def test_a_connected_account_sends_and_is_said_to_be_ready(store, tmp_path, theatre) -> None:
    async with Stage(store, tmp_path, theatre) as stage:
        account = await stage.until("connected")
        receipt = await account.send(Outgoing("d", route(), "hi"))
        assert receipt.message_id == "p-1"
        assert stage.ready == [("puppet", "a")]
        row = await eventually(lambda: recorded(store, "connected"))
        assert (row.generation, row.owner, row.fence) == (1, "me", 1)
    assert theatre.runs[0].is_over
    after = await store.read(account_store.find, "puppet", "a")
    assert after is not None
    assert after.owner is None  # others may have it at once


async def recorded(store: Store, state: str) -> account_store.AccountRow | None:
    row = await store.read(account_store.find, "puppet", "a")
    return row if row is not None and row.observed == state else None


async def test_a_failed_run_is_torn_down_and_begun_anew(store, tmp_path, theatre) -> None:
    async def fail_twice(puppet: Puppet) -> None:
        if puppet.ctx.generation < 3:
            raise ConnectionError("no route")
        await stay(puppet)

    theatre.script = fail_twice
    async with Stage(store, tmp_path, theatre) as stage:
        account = await stage.until("connected")
        assert [run.ctx.generation for run in theatre.runs] == [1, 2, 3]
        assert all(run.is_over for run in theatre.runs[:2])
        assert account.failures == 2
        await eventually(lambda: account.failures == 0)  # it was well for long enough
        row = await eventually(lambda: recorded(store, "connected"))
        assert row.restarts == 2


async def test_many_failures_open_the_circuit(sqlite_store, tmp_path, theatre) -> None:
    async def fail(puppet: Puppet) -> None:
        raise ConnectionError("no route")

    theatre.script = fail
    async with Stage(sqlite_store, tmp_path, theatre) as stage:
        account = await stage.until("broken")
        assert account.failures == FAST.break_after
        assert account.error == "ConnectionError: no route"
        await eventually(lambda: len(theatre.runs) > FAST.break_after)  # and is tried again


async def test_a_silent_account_is_restarted_whatever_it_sends(
    sqlite_store, tmp_path, theatre
) -> None:
    async with Stage(sqlite_store, tmp_path, theatre, facts={"stall_after_s": 0.15}) as stage:
        account = await stage.until("connected")
        loop = asyncio.get_running_loop()
        began, first = loop.time(), theatre.runs[0]
        while not first.is_over:
            with contextlib.suppress(NotReady):
                await account.send(Outgoing("d", route(), "still here"))
            await asyncio.sleep(0.005)
        assert loop.time() - began > 0.1
        assert first.sent
        await eventually(lambda: len(theatre.runs) >= 2)
        assert account.seen.restarts


async def test_signs_of_life_keep_an_account(sqlite_store, tmp_path, theatre) -> None:
    async def breathe(puppet: Puppet) -> None:
        puppet.ctx.connected()
        for _ in range(120):
            await asyncio.sleep(0.01)
            puppet.ctx.alive()
        puppet.theatre.script = stay
        await asyncio.Event().wait()

    theatre.script = breathe
    async with Stage(sqlite_store, tmp_path, theatre, facts={"stall_after_s": 1.0}):
        await eventually(lambda: theatre.script is stay)
        assert len(theatre.runs) == 1


async def test_an_account_that_does_not_connect_in_time_fails(
    sqlite_store, tmp_path, theatre
) -> None:
    async def hang(puppet: Puppet) -> None:
        await asyncio.Event().wait()

    theatre.script = hang
    async with Stage(sqlite_store, tmp_path, theatre) as stage:
        await eventually(lambda: stage.account().error == "not connected within 1 s")
        assert theatre.runs[0].is_over
        await eventually(lambda: len(theatre.runs) >= 2)


async def test_an_old_reader_can_hand_in_nothing(store, tmp_path, theatre) -> None:
    refused: list[BaseException] = []

    async def zombie(puppet: Puppet) -> None:
        """Never ends when cancelled, and goes on receiving."""
        puppet.ctx.connected()
        while not puppet.theatre.runs[1:]:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        puppet.theatre.script = stay
        try:
            await puppet.ctx.receive(said("late"), cursor="9")
        except Superseded as error:
            refused.append(error)

    async def start(puppet: Puppet) -> None:
        await (zombie(puppet) if len(puppet.theatre.runs) == 1 else stay(puppet))

    theatre.script = start
    async with Stage(store, tmp_path, theatre, facts={"stall_after_s": 0.1}) as stage:
        await eventually(lambda: refused)
        assert stage.ledger.taken == []


async def test_the_database_refuses_an_old_generation(store, tmp_path, theatre) -> None:
    async with Stage(store, tmp_path, theatre) as stage:
        await stage.until("connected")
        old = theatre.runs[0].ctx
        await old.receive(said("one"), cursor="1")
        begun = await claim(store, "other", alone=True)
        assert begun is not None
        assert (begun.generation, begun.fence, begun.cursor) == (2, 2, "1")
        with pytest.raises(Superseded):
            await old.receive(said("two"), cursor="2")
        with pytest.raises(Superseded):
            await old.receive(said("three"))
        with pytest.raises(Superseded):
            await old.note(ChannelEvent(event_key="e", kind="join"))
        assert [one.event_key for one in stage.ledger.taken] == ["one"]


async def claim(store: Store, owner: str, *, alone: bool, now: int = 10) -> Begun | None:
    return await store.write(
        account_store.begin,
        "puppet",
        "a",
        owner=owner,
        shared=False,
        alone=alone,
        lease_until=now + 1000,
        now=now,
    )


async def test_cursor_and_events_are_kept_with_what_came(store, tmp_path, theatre) -> None:
    async with Stage(store, tmp_path, theatre) as stage:
        await stage.until("connected")
        ctx = theatre.runs[0].ctx
        assert ctx.cursor is None
        assert not (await ctx.receive(said("one"), cursor="5")).duplicate
        assert (await ctx.receive(said("one"), cursor="6")).duplicate
        assert await ctx.note(ChannelEvent(event_key="r", kind="reaction"), cursor="7")
        assert not await ctx.note(ChannelEvent(event_key="r", kind="reaction"), cursor="8")
        await ctx.keep_cursor("9")
        assert ctx.cursor == "9"
        events = await store.read(account_store.list_events)
        assert [event.event.kind for event in events] == ["reaction"]
    theatre.runs.clear()
    async with Stage(store, tmp_path, theatre) as stage:
        await stage.until("connected")
        assert theatre.runs[0].ctx.cursor == "9"


async def test_an_account_that_needs_a_login_waits_for_the_person(
    sqlite_store, tmp_path, theatre
) -> None:
    async def logged_out(puppet: Puppet) -> None:
        raise AuthExpired("the token was revoked")

    theatre.script = logged_out
    async with Stage(sqlite_store, tmp_path, theatre) as stage:
        account = await stage.until("login")
        assert account.error == "the token was revoked"
        theatre.script = stay
        await stage.accounts.want("puppet", "a", "running")
        await stage.until("connected")
        assert len(theatre.runs) == 2


async def test_stop_is_remembered_and_start_forgets_the_wait(store, tmp_path, theatre) -> None:
    async with Stage(store, tmp_path, theatre) as stage:
        await stage.until("connected")
        await stage.accounts.want("puppet", "a", "stopped")
        await stage.until("off")
        assert theatre.runs[0].is_over
    theatre.runs.clear()
    async with Stage(store, tmp_path, theatre) as stage:
        await eventually(lambda: stage.account().desired == "stopped")
        assert theatre.runs == []
        await stage.accounts.want("puppet", "a", "running")
        await stage.until("connected")


async def test_accounts_that_cannot_start_say_why(sqlite_store, tmp_path, theatre) -> None:
    issue = Issue(Severity.WARNING, "channels.puppet.accounts.b.token", "is required")
    broken = entry("b", config=None, problems=(issue,))
    off = entry("c", enabled=False)

    async def refuse(puppet: Puppet) -> None:
        raise Misconfigured("the bot is not in this workspace")

    theatre.script = refuse
    async with Stage(sqlite_store, tmp_path, theatre, entry("a"), broken, off) as stage:
        assert (await stage.until("unusable", "b")).error == (
            "channels.puppet.accounts.b.token is required"
        )
        assert (await stage.until("unusable", "a")).error == "the bot is not in this workspace"
        assert stage.account("c").state == "off"


async def test_a_changed_account_is_restarted_and_others_are_left_alone(
    sqlite_store, tmp_path, theatre
) -> None:
    async with Stage(sqlite_store, tmp_path, theatre, entry("a"), entry("b")) as stage:
        await stage.until("connected", "a")
        await stage.until("connected", "b")
        other = entry("a", config=entry().config.model_copy(update={"name": "new"}))  # type: ignore[union-attr]
        stage.accounts.apply([other, entry("b"), entry("c")])
        await stage.until("connected", "c")
        await eventually(lambda: theatre.run_of("a").ctx.config.name == "new")
        await stage.until("connected", "a")
        assert [run.ctx.account for run in theatre.runs].count("b") == 1
        stage.accounts.apply([other])
        await eventually(lambda: theatre.run_of("b").is_over)
        assert stage.registry.find("puppet", "b") is None


async def test_what_a_run_started_ends_with_it(sqlite_store, tmp_path, theatre) -> None:
    beating: list[asyncio.Task[None]] = []

    async def with_heart(puppet: Puppet) -> None:
        beating.append(puppet.ctx.tasks.start(asyncio.sleep(60), name="heart"))
        path = puppet.ctx.open_door(HttpDoor("hook", handle=None))  # type: ignore[arg-type]
        assert path == "/integrations/puppet/hook"
        await stay(puppet)

    theatre.script = with_heart
    async with Stage(sqlite_store, tmp_path, theatre) as stage:
        await stage.until("connected")
        assert stage.doors.find("puppet", "hook/x") is not None
        await stage.accounts.want("puppet", "a", "stopped")
        await stage.until("off")
        assert beating[0].cancelled()
        assert stage.doors.find("puppet", "hook/x") is None


async def test_a_task_that_fails_ends_the_run(sqlite_store, tmp_path, theatre) -> None:
    async def fail() -> None:
        raise ValueError("heart")

    async def with_weak_heart(puppet: Puppet) -> None:
        if len(puppet.theatre.runs) == 1:
            puppet.ctx.tasks.start(fail(), name="heart")
        await stay(puppet)

    theatre.script = with_weak_heart
    async with Stage(sqlite_store, tmp_path, theatre):
        await eventually(lambda: len(theatre.runs) >= 2)
        assert theatre.runs[0].is_over


async def test_one_replica_has_an_account_and_the_other_takes_over(
    store, tmp_path, theatre
) -> None:
    other = Theatre()
    first = Stage(store, tmp_path, theatre, owner="one", alone=False, lease_s=3.0)
    second = Stage(store, tmp_path, other, owner="two", alone=False, lease_s=3.0)
    async with second:
        async with first:
            done = [asyncio.ensure_future(stage.until("connected")) for stage in (first, second)]
            await asyncio.wait(done, return_when=asyncio.FIRST_COMPLETED)
            owner, standby = (first, second) if theatre.runs else (second, first)
            await standby.until("standby")
            assert not (theatre.runs and other.runs)
            for task in done:
                task.cancel()
            if owner is second:
                await second.accounts.stop()
                await first.until("connected")
                return
        await second.until("connected")
        assert other.runs[0].ctx.generation == 2


async def test_a_dead_replicas_account_is_taken_over_when_its_lease_ran_out(
    store, tmp_path, theatre
) -> None:
    await store.write(account_store.add, [("puppet", "a")], now=1)
    async with Stage(store, tmp_path, theatre, alone=False, lease_s=0.3) as stage:
        await stage.until("connected")
    now = 10**13  # far in the future: a lease that holds
    assert await claim(store, "dead", alone=False, now=now) is not None
    async with Stage(store, tmp_path, Theatre(), alone=False, lease_s=0.3) as stage:
        await stage.until("standby")
        assert await rows(store, "SELECT owner FROM channel_accounts WHERE owner = 'dead'")


async def test_a_replica_lets_go_of_what_another_has(store, tmp_path, theatre) -> None:
    async with Stage(store, tmp_path, theatre, alone=False, lease_s=0.3) as stage:
        await stage.until("connected")
        assert await claim(store, "thief", alone=True, now=10**13) is not None
        await stage.until("standby")
        assert theatre.runs[0].is_over


async def test_a_hundred_broken_accounts_do_not_hold_up_a_hundred_good_ones(
    sqlite_store, tmp_path: Path, theatre
) -> None:
    async def play(puppet: Puppet) -> None:
        if puppet.ctx.account.startswith("bad"):
            if puppet.ctx.account.endswith("7"):
                await asyncio.Event().wait()  # some hang, the rest fail
            raise ConnectionError("no route")
        await stay(puppet)

    theatre.script = play
    entries: list[AccountEntry] = []
    for number in range(100):
        entries += [entry(f"good{number}"), entry(f"bad{number}")]
    stage = Stage(sqlite_store, tmp_path, theatre, *entries)
    async with stage:
        good = [stage.account(f"good{number}") for number in range(100)]
        await eventually(lambda: all(one.live is not None for one in good), within_s=30)
    assert stage.failures == []


async def test_a_cursor_belongs_to_its_stream(store, tmp_path, theatre) -> None:
    class Bot(AccountConfig):
        token: str = "1:x"

        @property
        def stream(self) -> str:
            return self.token.partition(":")[0]

    def with_token(token: str) -> AccountEntry:
        return entry(config=Bot(token=token))

    async def cursor_with(token: str) -> str | None:
        theatre.runs.clear()
        async with Stage(store, tmp_path, theatre, with_token(token)) as stage:
            await stage.until("connected")
            found = theatre.runs[0].ctx.cursor
            await theatre.runs[0].ctx.keep_cursor(f"of {token}")
            assert theatre.runs[0].ctx.cursor == f"of {token}"
            return found

    assert await cursor_with("1:x") is None
    assert await cursor_with("1:another") == "of 1:x"
    assert await cursor_with("2:x") is None
    assert await cursor_with("2:x") == "of 2:x"
