"""A provider that is away for a while, in a whole gateway. Waits are a hundredth of the usual."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from portico.agents.runtime import AgentEvent, Final, Turn
from tests.contract.channels.test_telegram import account_of, configured, operator
from tests.fakes.telegram import Stalled
from tests.fakes.telegram_provider import TelegramProvider, telegram_provider
from tests.support.http import House, Scripted, house
from tests.support.waiting import eventually

PEOPLE = [f"person{number}" for number in range(5)]
RESTART = {"firstMs": 10, "longestMs": 3_000, "breakAfter": 10, "breakMs": 9_000}
RETRY = {"firstMs": 10, "longestMs": 3_000}
OUTAGE_S = 3.0  # five minutes


class Answers(Scripted):
    """Says what was said, once it may."""

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        await self.go.wait()
        yield Final(f"Echo: {turn.request.text}")


@asynccontextmanager
async def scene(
    folder: Path, answers: Answers, **defaults: Any
) -> AsyncIterator[tuple[House, TelegramProvider]]:
    async with telegram_provider() as provider:
        config = configured(provider.telegram, **provider.settings())
        given = {"restart": RESTART, "retry": RETRY, **defaults}
        config["channels"]["defaults"] = given
        config["session"] = {"dmScope": "per-channel-peer"}
        async with house(folder, config, runtime=answers) as gateway:
            await eventually(lambda: account_of(gateway).state.value == "connected")
            yield gateway, provider


async def deliveries(gateway: House, state: str) -> list[str]:
    raw = f'{{"state": "{state}"}}'.encode()
    found = await gateway.gateway.front.dispatcher.request("deliveries.list", raw, operator())
    return [one.text for one in found.deliveries]


def said(provider: TelegramProvider) -> dict[str, list[str]]:
    """What each person has got, in order."""
    texts: dict[str, list[str]] = defaultdict(list)
    for one in provider.sent():
        texts[one.to].append(one.text)
    return texts


async def test_after_an_outage_everything_arrives_once_and_in_order(tmp_path: Path) -> None:
    answers = Answers(held=True)
    async with scene(tmp_path, answers) as (gateway, provider):
        for number in range(4):
            for person in PEOPLE:
                await provider.say(f"{number}", sender=person)
        await eventually(lambda: provider.telegram.waiting == 0)
        await provider.cable.pull()
        answers.go.set()
        await provider.say("meanwhile", sender=PEOPLE[0])  # Telegram keeps it
        await asyncio.sleep(OUTAGE_S)
        assert provider.sent() == []
        assert len(await deliveries(gateway, "retry")) == len(PEOPLE)  # the heads; others wait
        await provider.cable.plug()
        expected = [f"Echo: {number}" for number in range(4)]
        await eventually(lambda: len(provider.sent()) == 4 * len(PEOPLE) + 1)
        got = [*said(provider).values()]
        assert all(texts[:4] == expected for texts in got)
        assert max(got, key=len) == [*expected, "Echo: meanwhile"]
        assert provider.attempts() == len(provider.sent())


async def test_what_waited_for_too_long_is_shown_and_not_sent(tmp_path: Path) -> None:
    answers = Answers(held=True)
    short = {**RETRY, "expireMs": 3_000}
    async with scene(tmp_path, answers, retry=short) as (gateway, provider):
        await provider.say("old")
        await eventually(lambda: provider.telegram.waiting == 0)
        await provider.cable.pull()
        answers.go.set()

        async def is_expired() -> bool:
            return await deliveries(gateway, "expired") == ["Echo: old"]

        await eventually(is_expired)
        await provider.cable.plug()
        await provider.say("new")
        await eventually(provider.sent)
        assert [one.text for one in provider.sent()] == ["Echo: new"]
        assert provider.attempts() == 1


async def test_a_deaf_bot_begins_anew_though_it_goes_on_sending(tmp_path: Path) -> None:
    """Within the stated time, whatever is sent meanwhile."""
    answers, stall_s = Answers(), 1.5
    async with scene(tmp_path, answers, stallMs=int(stall_s * 1000)) as (gateway, provider):
        await provider.say("one")
        await eventually(provider.sent)
        route = (await deliveries_routes(gateway))[0]
        account, loop = account_of(gateway), asyncio.get_running_loop()
        provider.telegram.plan("getUpdates", Stalled())
        await eventually(lambda: not provider.telegram.has_plan("getUpdates"))
        deaf_s, generation, sent = loop.time(), account.seen.generation, 0
        while account.seen.generation == generation:
            await gateway.gateway.path.outbox.send(route, "still here", media=(), session_key=None)
            sent += 1
            await asyncio.sleep(0.1)
            assert loop.time() - deaf_s < stall_s + 5  # a poll that failed would take 11 s
        assert account.seen.restarts == 1
        assert provider.attempts() > sent / 2
        await provider.say("two")
        await eventually(lambda: "Echo: two" in [one.text for one in provider.sent()])


async def deliveries_routes(gateway: House) -> list[Any]:
    from portico.outbox import store as outbox_store

    found = await gateway.gateway.ground.store.read(outbox_store.list_deliveries)
    return [one.route for one in found]
