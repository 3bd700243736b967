"""The operator hears once of an outage, and once of its end."""

from __future__ import annotations

from portico.channels.accounts.notices import LifecycleNotices
from portico.channels.contract import AuthExpired
from tests.support.accounts import Puppet, Stage, Theatre, stay
from tests.support.waiting import eventually


async def test_down_restarted_and_back(sqlite_store, tmp_path) -> None:
    said: list[str] = []
    theatre = Theatre()

    async def fail(puppet: Puppet) -> None:
        raise ConnectionError("no route")

    theatre.script = fail
    notices = LifecycleNotices(say=said.append, after_failures=2)
    async with Stage(sqlite_store, tmp_path, theatre, notices=notices) as stage:
        await stage.until("broken")
        await eventually(lambda: len(theatre.runs) > 8)  # and fails on
        assert said == [
            "Puppet (a) is down: ConnectionError: no route",
            (
                "Puppet (a) restarted 5 times without success; it is now tried rarely. "
                "ConnectionError: no route"
            ),
        ]
        theatre.script = stay
        await eventually(lambda: len(said) == 3)
        assert said[-1] == "Puppet (a) is back."


async def test_a_blip_is_not_worth_a_notice(sqlite_store, tmp_path) -> None:
    said: list[str] = []
    theatre = Theatre()

    async def once(puppet: Puppet) -> None:
        if len(puppet.theatre.runs) == 1:
            raise ConnectionError("no route")
        await stay(puppet)

    theatre.script = once
    notices = LifecycleNotices(say=said.append, after_failures=2)
    async with Stage(sqlite_store, tmp_path, theatre, notices=notices) as stage:
        await eventually(lambda: len(theatre.runs) == 2)
        account = await stage.until("connected")
        await eventually(lambda: account.failures == 0)
        assert said == []


async def test_what_only_a_person_can_mend_is_said_at_once(sqlite_store, tmp_path) -> None:
    said: list[str] = []
    theatre = Theatre()

    async def revoked(puppet: Puppet) -> None:
        raise AuthExpired("the token was revoked")

    theatre.script = revoked
    notices = LifecycleNotices(say=said.append)
    async with Stage(sqlite_store, tmp_path, theatre, notices=notices) as stage:
        await stage.until("login")
        assert said == ["Puppet (a) needs you: the token was revoked"]
        await stage.accounts.want("puppet", "a", "stopped")
        await stage.until("off")
        await stage.accounts.want("puppet", "a", "running")
        await stage.until("login")
        assert len(said) == 2
