"""The conformance suite fails for channels that break their word: each fault, its test."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from portico.channels.contract import (
    AccountContext,
    DoorRequest,
    DoorResponse,
    Outgoing,
    RateLimited,
    Receipt,
    Rejected,
    Transient,
)
from portico.channels.manifest import Manifest
from portico.channels.webhook.channel import Webhook
from portico.channels.webhook.manifest import MANIFEST
from portico.ids import new_id
from portico.testkit import Bench, ChannelConformance, Provider, bench
from tests.fakes.webhook_partner import Partner


class AcknowledgesFirst(Webhook):
    async def _handle(self, request: DoorRequest) -> DoorResponse:
        self._ctx.tasks.start(self._later(request), name="later")
        return DoorResponse(200)

    async def _later(self, request: DoorRequest) -> None:
        with contextlib.suppress(OSError):
            await super()._handle(request)


class ForgetsTheKey(Webhook):
    def _message(self, event_id: str, *rest: Any) -> Any:
        return super()._message(new_id("evt"), *rest)


class IgnoresLimits(Webhook):
    async def send(self, message: Outgoing) -> Receipt:
        try:
            return await super().send(message)
        except RateLimited as error:
            raise Transient(str(error)) from error


class NeverGivesUp(Webhook):
    async def send(self, message: Outgoing) -> Receipt:
        try:
            return await super().send(message)
        except Rejected as error:
            raise Transient(str(error)) from error


class SaysItTwice(Webhook):
    async def _post(self, posting: Any) -> httpx2.Response:
        import msgspec

        return await super()._post(msgspec.structs.replace(posting, id=new_id("x")))


class StartsTasks(Webhook):
    async def run(self) -> None:
        asyncio.ensure_future(asyncio.sleep(60))  # noqa: RUF006 - the fault
        await super().run()


class LeavesSockets(Webhook):
    kept: list[socket.socket] = []  # noqa: RUF012 - the fault

    async def run(self) -> None:
        self.kept.append(socket.socket())
        await super().run()


class LeavesThreads(Webhook):
    over = threading.Event()

    async def run(self) -> None:
        threading.Thread(target=self.over.wait, daemon=True, name="left").start()
        await super().run()


class DiesOfGarbage(Webhook):
    async def _not_understood(self, event_id: str, body: bytes, why: str) -> DoorResponse:
        self._ctx.tasks.start(fail(), name="garbage")
        return DoorResponse(422)


async def fail() -> None:
    raise ValueError("garbage")


class DropsEvents(Webhook):
    async def _event(self, event_id: str, posted: Any) -> DoorResponse:
        return DoorResponse(200)


def suite_of(runtime: Callable[[AccountContext], Webhook]) -> ChannelConformance:
    class Faulty(Manifest):
        def load(self) -> Callable[[AccountContext], Webhook]:
            return runtime

    facts = {name: getattr(MANIFEST, name) for name in MANIFEST.__slots__}

    class Suite(ChannelConformance):
        manifest = Faulty(**facts)

        @contextlib.asynccontextmanager
        async def provider(self, bench: Bench) -> AsyncIterator[Provider]:
            async with Partner(f"{bench.url}/integrations/webhook/default") as partner:
                yield partner

    return Suite()


@pytest.mark.parametrize(
    ("runtime", "test"),
    [
        (AcknowledgesFirst, "nothing_is_acknowledged_before_it_is_on_disk"),
        (AcknowledgesFirst, "what_cannot_be_stored_comes_again"),
        (ForgetsTheKey, "a_repeated_event_is_taken_once"),
        (DropsEvents, "what_is_no_message_is_recorded"),
        (DiesOfGarbage, "what_cannot_be_understood_stops_nothing"),
        (IgnoresLimits, "a_limited_message_is_sent_when_the_provider_says"),
        (NeverGivesUp, "a_rejected_message_is_not_sent_again"),
        (SaysItTwice, "an_uncertain_message_is_never_doubled"),
        (StartsTasks, "teardown_leaves_nothing"),
        (LeavesSockets, "teardown_leaves_nothing"),
        (LeavesThreads, "teardown_leaves_nothing"),
    ],
)
def test_a_fault_is_caught(
    runtime: type[Webhook], test: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "PATIENCE_S", 3.0)
    monkeypatch.setattr(LeavesThreads, "over", threading.Event())
    try:
        with pytest.raises(AssertionError):
            getattr(suite_of(runtime), f"test_{test}")()
    finally:
        LeavesThreads.over.set()
        while LeavesSockets.kept:
            LeavesSockets.kept.pop().close()
