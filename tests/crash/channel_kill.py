"""Kill the gateway again and again while people write through a channel and are answered.

    class TestPigeon(ChannelKill):
        channel = "pigeon"

        @asynccontextmanager
        async def provider(self):
            async with FakeLoft() as loft:
                yield loft                 # the Provider of the conformance suite

Several accounts, each with a provider of its own. During the storm providers tell again what they
have told before. At the end every message must have been answered exactly once, in order. Where
the provider takes no key with a message (`keyed` in the manifest) nobody can know whether one that
was under way arrived: then none may be answered twice, and every answer that is missing must be
shown to the operator as a delivery of unknown outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from portico.channels.manifest import Manifest
from portico.testkit import Provider
from tests.e2e.gateway import GatewayProcess, Operator

PATIENCE_S = 120.0
MIDST_S = 1.0
"""How long a kill waits at most for the answers it wants to come in between."""
SETTLED_S = 1.0
"""When nothing has come for so long after the last answer, nothing comes any more."""


@dataclass
class Account:
    """One account, whom it talks to, and what was said to it."""

    name: str
    provider: Provider
    keys: list[str]


class ChannelKill:
    """Subclass it, name the manifest, and give a fake provider.

    Attributes:
        settings: what all accounts are configured with, besides `Provider.settings`.
        accounts: how many there are.
    """

    manifest: ClassVar[Manifest]
    settings: ClassVar[dict[str, Any]] = {}
    accounts: ClassVar[int] = 4

    def provider(self) -> AbstractAsyncContextManager[Provider]:
        """Open a fake provider for one account."""
        raise NotImplementedError

    def attach(self, provider: Provider, door: str) -> None:
        """Tell a provider that posts to the gateway where: `…/integrations/<channel>/<account>`."""

    def text(self, number: int) -> str:
        """Return what is said."""
        return f"message {number}"

    def answer(self, text: str) -> str:
        """Return what is answered."""
        return f"Echo: {text}"

    async def interrupt(
        self, gateway: GatewayProcess, meanwhile: Callable[[], Awaitable[None]]
    ) -> None:
        """End the gateway in the middle, and start it again."""
        await asyncio.to_thread(gateway.kill)
        await meanwhile()
        await asyncio.to_thread(gateway.start)

    async def test_killed_twice_every_message_is_answered_once_in_order(
        self, tmp_path: Path
    ) -> None:
        """A hundred messages, two kills."""
        await self.storm(tmp_path, messages=100, kills=2)

    @pytest.mark.crash
    async def test_killed_again_and_again(self, tmp_path: Path) -> None:
        """A thousand messages, twenty kills."""
        await self.storm(tmp_path, messages=1_000, kills=20)

    async def storm(self, folder: Path, *, messages: int, kills: int) -> None:
        """Say so many messages, kill so often, and look at what people have got."""
        seed = random.randrange(10**9)
        print(f"seed {seed}", file=sys.stderr)
        chance = random.Random(seed)
        texts = [self.text(number) for number in range(messages // self.accounts)]
        expected = [self.answer(text) for text in texts]
        async with self._scene(folder) as (gateway, accounts):
            for part in _parts(texts, kills):
                before = _arrived(accounts)
                for account in accounts:
                    account.keys.extend([await account.provider.say(text) for text in part])
                wanted = before + chance.randint(0, len(part) * len(accounts))
                await _until_arrived(accounts, wanted)
                await self.interrupt(gateway, lambda: _tell_again(accounts, chance))
            await self._until_over(gateway, accounts, expected[-1])
            await _until_quiet(accounts)
            unknown = await self._unknown(gateway)
            for account in accounts:
                _check(account, expected, unknown=[at for at in unknown if at[0] == account.name])
            self._report(messages, accounts, unknown)
            assert await asyncio.to_thread(gateway.stop) == 0
            assert gateway.tracebacks() == []

    @asynccontextmanager
    async def _scene(self, folder: Path) -> AsyncIterator[tuple[GatewayProcess, list[Account]]]:
        channel = self.manifest.id
        async with AsyncExitStack() as stack:
            accounts = [
                Account(f"a{number}", await stack.enter_async_context(self.provider()), [])
                for number in range(self.accounts)
            ]
            gateway = GatewayProcess(folder / "state", config=self._config(accounts))
            await asyncio.to_thread(gateway.start)
            for account in accounts:
                self.attach(
                    account.provider, f"{gateway.url}/integrations/{channel}/{account.name}"
                )
            try:
                yield gateway, accounts
            finally:
                await asyncio.to_thread(gateway.kill)

    def _config(self, accounts: list[Account]) -> dict[str, Any]:
        kept = {one.name: {**one.provider.settings(), **self.settings} for one in accounts}
        common = {"dmPolicy": "open", "allowFrom": ["*"], "streaming": "off"}
        return {
            "gateway": {"auth": {"mode": "token", "token": "crash-test-of-the-gateway"}},
            "messages": {"queue": {"cap": 10_000}},
            "session": {"dmScope": "per-account-channel-peer"},
            "channels": {self.manifest.id: {**common, "accounts": kept}},
        }

    async def _until_over(
        self, gateway: GatewayProcess, accounts: list[Account], last: str
    ) -> None:
        """Wait until the last answers have arrived, or are known to be of unknown outcome."""
        async with asyncio.timeout(PATIENCE_S):
            while left := {one.name for one in accounts if last not in _said(one)}:
                unknown = await self._unknown(gateway)
                if left <= {name for name, text in unknown if text == last}:
                    return
                await asyncio.sleep(0.2)

    async def _unknown(self, gateway: GatewayProcess) -> list[tuple[str, str]]:
        """Return account and text of each delivery of which nobody knows whether it arrived."""
        if self.manifest.capabilities.keyed:
            return []

        def ask() -> list[tuple[str, str]]:
            with Operator(gateway) as operator:
                found = operator.call("deliveries.list", state="unknown", limit=1_000)
            return [(one["accountId"], one["text"]) for one in found["deliveries"]]

        return await asyncio.to_thread(ask)

    def _report(
        self, messages: int, accounts: list[Account], unknown: list[tuple[str, str]]
    ) -> None:
        sent = _arrived(accounts)
        again = sum(one.provider.attempts() for one in accounts) - sent
        print(
            f"{self.manifest.id}: {messages} said, {sent} answers arrived, {again} sends repeated,"
            f" {len(unknown)} of unknown outcome",
            file=sys.stderr,
        )


def _parts(texts: list[str], count: int) -> list[list[str]]:
    """Cut texts into so many parts, none empty."""
    size = -(-len(texts) // count)
    return [texts[at : at + size] for at in range(0, len(texts), size)]


async def _until_arrived(accounts: list[Account], wanted: int) -> None:
    with contextlib.suppress(TimeoutError):  # an answer of unknown outcome never comes
        async with asyncio.timeout(MIDST_S):
            while _arrived(accounts) < wanted:
                await asyncio.sleep(0.002)


def _arrived(accounts: list[Account]) -> int:
    return sum(len(one.provider.sent()) for one in accounts)


async def _tell_again(accounts: list[Account], chance: random.Random) -> None:
    """Repeat what was acknowledged, as after a lost acknowledgement."""
    for account in accounts:
        over = [key for key in account.keys if account.provider.is_acknowledged(key)]
        for key in chance.sample(over, min(2, len(over))):
            await account.provider.repeat(key)


def _check(account: Account, expected: list[str], *, unknown: list[tuple[str, str]]) -> None:
    said = _said(account)
    assert len(said) == len(set(said)), "answered twice"
    missing = set(expected) - set(said)
    assert said == [text for text in expected if text not in missing], "not in order"
    assert missing <= {text for _, text in unknown}, "an answer is lost"


def _said(account: Account) -> list[str]:
    return [one.text for one in account.provider.sent()]


async def _until_quiet(accounts: list[Account]) -> None:
    """Whatever comes twice has come by then."""
    loop = asyncio.get_running_loop()
    count, since_s = -1, loop.time()
    while loop.time() - since_s < SETTLED_S:
        now = sum(one.provider.attempts() for one in accounts)
        if now != count:
            count, since_s = now, loop.time()
        await asyncio.sleep(0.05)
