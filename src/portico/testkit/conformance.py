"""What every channel owes, one test per debt."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import tempfile
import unittest
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar

from portico.channels.manifest import Manifest
from portico.outbox.life import DeliveryState
from portico.testkit.bench import Bench, settle, until
from portico.testkit.footprint import Footprint
from portico.testkit.provider import Outcome, Provider, Sent

Scenario = Callable[[Any, Bench, Provider], Coroutine[Any, Any, None]]
MANY = 20
TRICKY = "Grüße 👩‍👩‍👧 *bold* <b>&amp;</b> `a_b` \\ [x](y) — end"


def scenario(function: Scenario) -> Callable[[Any], None]:
    """Turn a coroutine into a test: with a started account, on a loop of its own."""

    @functools.wraps(function)
    def test(self: Any) -> None:
        self.run_scenario(function)

    # pytest would take the coroutine's arguments for fixtures.
    del test.__wrapped__
    return test


class ChannelConformance:
    """Subclass it, name the manifest, and give a fake provider.

    Attributes:
        stall_s: silence after which an account counts as stalled in these tests. Longer than the
            fake's own pauses.
    """

    manifest: ClassVar[Manifest]
    stall_s: ClassVar[float] = 3.0

    def provider(self, bench: Bench) -> AbstractAsyncContextManager[Provider]:
        """Open a fake provider; `bench.url` is where it finds the channel's doors."""
        raise NotImplementedError

    def run_scenario(self, function: Scenario) -> None:
        """Run one scenario on a loop of its own."""
        asyncio.run(self._run(function))

    async def _run(self, function: Scenario) -> None:
        with tempfile.TemporaryDirectory(prefix="portico-channel-") as folder:
            bench = Bench(self.manifest, Path(folder), stall_s=self.stall_s)
            async with bench.open(), self.provider(bench) as provider:
                bench.start(provider)
                await bench.until_state("connected")
                with skipped_where_unknown():
                    await function(self, bench, provider)
                await bench.stop()
        assert bench.failures == []

    # -- in --------------------------------------------------------------------------------------

    @scenario
    async def test_a_message_arrives_with_who_said_it_where(
        self, bench: Bench, provider: Provider
    ) -> None:
        """Text and sender are what was said; the answer's route leads back."""
        await provider.say(TRICKY, sender="ann")
        (taken,) = await bench.until_taken(TRICKY)
        assert taken.request.sender, "the sender's stable id"
        assert taken.reply_route.channel == self.manifest.id

    @scenario
    async def test_a_repeated_event_is_taken_once(self, bench: Bench, provider: Provider) -> None:
        """The provider repeats itself; the agent is asked once, and the provider believes us."""
        key = await provider.say("once")
        await bench.until_taken("once")
        await provider.repeat(key)
        await provider.say("after")
        await bench.until_taken("after")
        assert bench.lanes.texts.count("once") == 1
        await until("the repeat is acknowledged", lambda: provider.is_acknowledged(key))

    @scenario
    async def test_nothing_is_acknowledged_before_it_is_on_disk(
        self, bench: Bench, provider: Provider
    ) -> None:
        """While the commit is held back, the provider is told nothing."""
        bench.store.hold()
        key = await provider.say("held")
        await until("the message waits for its commit", lambda: bench.store.waiting)
        await settle()
        assert not provider.is_acknowledged(key)
        bench.store.release()
        await bench.until_taken("held")
        await until("it is acknowledged", lambda: provider.is_acknowledged(key))

    @scenario
    async def test_what_cannot_be_stored_comes_again(
        self, bench: Bench, provider: Provider
    ) -> None:
        """A full disk: not acknowledged, and taken in once when there is room."""
        if not provider.keeps:
            raise NotImplementedError
        bench.store.fail_writes()
        key = await provider.say("kept")
        await until("the commit is tried", lambda: bench.store.refused)
        await settle()
        assert not provider.is_acknowledged(key)
        bench.store.release()
        await bench.until_taken("kept")
        await until("it is acknowledged", lambda: provider.is_acknowledged(key))
        assert bench.lanes.texts.count("kept") == 1

    @scenario
    async def test_messages_of_one_conversation_keep_their_order(
        self, bench: Bench, provider: Provider
    ) -> None:
        """Many at once, in the order in which they were said."""
        texts = [f"number {number}" for number in range(MANY)]
        for text in texts:
            await provider.say(text)
        await bench.until_taken(*texts)
        assert bench.lanes.texts == texts

    @scenario
    async def test_what_was_said_while_it_was_off_arrives_and_nothing_twice(
        self, bench: Bench, provider: Provider
    ) -> None:
        """Stopped and started: it goes on where it was."""
        await provider.say("before")
        await bench.until_taken("before")
        await bench.want("stopped")
        await bench.until_state("off")
        if provider.keeps:
            await provider.say("meanwhile")
        await bench.want("running")
        await bench.until_state("connected")
        await provider.say("after")
        expected = ["before", *(["meanwhile"] if provider.keeps else []), "after"]
        await bench.until_taken(*expected)
        assert bench.lanes.texts == expected

    @scenario
    async def test_what_is_no_message_is_recorded(self, bench: Bench, provider: Provider) -> None:
        """An edit, a reaction, somebody who joined: on record, and not answered."""
        key = await provider.tell_event()
        await bench.until_event(key)
        assert bench.lanes.texts == []

    @scenario
    async def test_what_cannot_be_understood_stops_nothing(
        self, bench: Bench, provider: Provider
    ) -> None:
        """Garbage comes in; the next message is taken all the same, by the same run."""
        generation = bench.account.seen.generation
        await provider.tell_garbage()
        await provider.say("after")
        await bench.until_taken("after")
        assert bench.account.seen.generation == generation

    # -- out -------------------------------------------------------------------------------------

    @scenario
    async def test_an_answer_reaches_who_asked_once(self, bench: Bench, provider: Provider) -> None:
        """The route of a message leads back to its sender, with the text as it is."""
        await provider.say("question", sender="bob")
        (taken,) = await bench.until_taken("question")
        delivery_id = await bench.send(taken.reply_route, "the answer")
        done = await bench.until_settled(delivery_id, DeliveryState.SENT, DeliveryState.FAILED)
        assert done.state is DeliveryState.SENT, done.last_error
        assert [one.text for one in provider.sent()] == ["the answer"]
        asked = taken.reply_route.peer.id
        assert provider.sent() == [Sent(asked, "the answer")]
        assert done.receipt["messageId"]

    @scenario
    async def test_a_limited_message_is_sent_when_the_provider_says(
        self, bench: Bench, provider: Provider
    ) -> None:
        """Too fast: not before the time that was asked for, and then once."""
        provider.plan(Outcome.LIMIT)
        loop = asyncio.get_running_loop()
        route, began_s = await self._route(bench, provider), loop.time()
        done = await bench.until_settled(await bench.send(route, "slow"), DeliveryState.SENT)
        assert loop.time() - began_s >= provider.retry_after_s * 0.9
        assert (done.attempts, [one.text for one in provider.sent()]) == (2, ["slow"])

    @scenario
    async def test_a_failure_is_tried_again_in_order(
        self, bench: Bench, provider: Provider
    ) -> None:
        """The provider is broken for a while: everything arrives, once, in order."""
        route = await self._route(bench, provider)
        provider.plan(Outcome.FAIL, Outcome.FAIL, Outcome.ACCEPT, Outcome.FAIL)
        ids = [await bench.send(route, f"part {number}") for number in range(3)]
        for delivery_id in ids:
            await bench.until_settled(delivery_id, DeliveryState.SENT)
        assert [one.text for one in provider.sent()] == ["part 0", "part 1", "part 2"]

    @scenario
    async def test_a_rejected_message_is_not_sent_again(
        self, bench: Bench, provider: Provider
    ) -> None:
        """Never acceptable: one attempt, failed, and the next one goes."""
        route = await self._route(bench, provider)
        provider.plan(Outcome.REJECT)
        failed = await bench.until_settled(await bench.send(route, "bad"), DeliveryState.FAILED)
        assert (failed.attempts, provider.attempts()) == (1, 1)
        assert failed.last_error
        await bench.until_settled(await bench.send(route, "good"), DeliveryState.SENT)
        assert [one.text for one in provider.sent()] == ["good"]

    @scenario
    async def test_an_uncertain_message_is_never_doubled(
        self, bench: Bench, provider: Provider
    ) -> None:
        """The answer is lost: sent again only when the provider can tell that it is the same."""
        route = await self._route(bench, provider)
        provider.plan(Outcome.DROP_ANSWER)
        delivery_id = await bench.send(route, "perhaps")
        wanted = DeliveryState.SENT if bench.account.keyed else DeliveryState.UNKNOWN
        done = await bench.until_settled(
            delivery_id, DeliveryState.SENT, DeliveryState.UNKNOWN, DeliveryState.FAILED
        )
        assert done.state is wanted, done.last_error
        assert [one.text for one in provider.sent()] == ["perhaps"]

    @scenario
    async def test_what_is_sent_while_it_is_off_goes_out_when_it_is_back(
        self, bench: Bench, provider: Provider
    ) -> None:
        """Not connected is no failure: it waits."""
        route = await self._route(bench, provider)
        await bench.want("stopped")
        await bench.until_state("off")
        delivery_id = await bench.send(route, "patience")
        await bench.until_settled(delivery_id, DeliveryState.RETRY)
        assert provider.attempts() == 0
        await bench.want("running")
        await bench.until_settled(delivery_id, DeliveryState.SENT)
        assert [one.text for one in provider.sent()] == ["patience"]

    async def _route(self, bench: Bench, provider: Provider) -> Any:
        await provider.say("hello", sender="bob")
        (taken,) = await bench.until_taken("hello")
        return taken.reply_route

    # -- health ----------------------------------------------------------------------------------

    @scenario
    async def test_a_cut_connection_is_mended(self, bench: Bench, provider: Provider) -> None:
        """Disconnected: what is said afterwards arrives, once."""
        await provider.say("before")
        await bench.until_taken("before")
        await provider.cut()
        await provider.say("after")
        await bench.until_taken("after")
        await bench.until_state("connected")
        assert bench.lanes.texts == ["before", "after"]

    @scenario
    async def test_a_stall_is_noticed_though_sends_succeed(
        self, bench: Bench, provider: Provider
    ) -> None:
        """Deaf, and sending happily: torn down and begun anew within the stated time."""
        if self.manifest.stall_after_s is None:
            raise NotImplementedError
        route = await self._route(bench, provider)
        generation = bench.account.seen.generation
        await provider.go_silent()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while bench.account.seen.generation == generation:
            await bench.send(route, "still here")
            await asyncio.sleep(0.05)
            assert loop.time() - began_s < self.stall_s + 5, "the stall was not noticed"
        await bench.until_state("connected")
        await provider.say("heard again")
        await bench.until_taken("heard again")
        assert provider.sent()

    @scenario
    async def test_refused_credentials_wait_for_a_person(
        self, bench: Bench, provider: Provider
    ) -> None:
        """Revoked: no hammering, and well again after a person has seen to it."""
        await provider.revoke()
        await provider.cut()
        await bench.until_state("login")
        generation = bench.account.seen.generation
        await settle()
        assert bench.account.seen.generation == generation
        assert bench.account.error
        await provider.accept_again()
        await bench.want("running")
        await bench.until_state("connected")

    def test_teardown_leaves_nothing(self) -> None:
        """After a stop: no task, no socket, no thread, and a second start works."""

        async def check(_self: Any, bench: Bench, provider: Provider) -> None:
            await provider.say("hello", sender="bob")
            (taken,) = await bench.until_taken("hello")
            sent = await bench.send(taken.reply_route, "answer")
            await bench.until_settled(sent, DeliveryState.SENT)
            await bench.stop()
            before = await self._settled()
            for number in range(3):
                bench.start(provider)
                await bench.until_state("connected")
                await provider.say(f"round {number}", sender="bob")
                await bench.until_taken(f"round {number}")
                again = await bench.send(taken.reply_route, f"answer {number}")
                await bench.until_settled(again, DeliveryState.SENT)
                await bench.stop()
            await _until_nothing_beyond(before)

        self.run_scenario(check)

    async def _settled(self) -> Footprint:
        """What is there once the connections of the other side are closed, too."""
        await settle()
        return Footprint.now()


async def _until_nothing_beyond(before: Footprint) -> None:
    left: list[str] = []

    def is_clean() -> bool:
        left[:] = Footprint.now().beyond(before)
        return not left

    try:
        await until("teardown leaves nothing", is_clean)
    except AssertionError:
        raise AssertionError(f"left behind: {', '.join(left)}") from None


@contextlib.contextmanager
def skipped_where_unknown() -> Iterator[None]:
    """Skip a test that needs what the provider has no notion of."""
    try:
        yield
    except NotImplementedError:
        raise unittest.SkipTest("the provider has no notion of this") from None
