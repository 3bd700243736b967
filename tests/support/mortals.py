"""State machines of owners that share a database in memory and may die at any commit."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from typing import Any, Generic, Protocol, TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from tests.support.clock import FakeClock
from tests.support.memory import Dead, Memory, OwnedStore
from tests.support.waiting import loop_turns


class Mortal(Protocol):
    """What works on the database: one gateway's part of the path."""

    async def start(self) -> object: ...

    async def crash(self) -> None: ...


OwnerT = TypeVar("OwnerT", bound=Mortal)


class Mortals(RuleBasedStateMachine, Generic[OwnerT]):
    """Two owners at a time: whoever dies in a step is replaced at its end.

    A machine says what an owner is, what may happen (`rule`s that call `step`), how everything
    comes to rest at the end, and what must hold then. Its `initialize` begins with `found`.
    """

    at_once = 2

    @abstractmethod
    def new_owner(self, store: OwnedStore, name: str) -> OwnerT:
        """Return an owner that has not been started."""

    @abstractmethod
    async def come_to_rest(self) -> None:
        """Let everything end that was begun."""

    @abstractmethod
    def check_end(self) -> None:
        """Look at what is left."""

    def found(self, clock: FakeClock) -> None:
        """Make an empty database and the first owners."""
        self.loop = asyncio.new_event_loop()
        self.memory = Memory()
        self.clock = clock
        self.numbers = iter(range(10**6))
        self.owners: list[OwnerT] = []
        self.stores: list[OwnedStore] = []
        self.run(self.open(self.at_once))

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.run(self.come_to_rest())
            self.check_end()
        finally:
            for owner in self.owners:
                self.run(owner.crash())
            self.loop.close()
            self.memory.close()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    async def open(self, count: int) -> None:
        while len(self.owners) < count:
            store = OwnedStore(self.memory)
            owner = self.new_owner(store, f"owner-{next(self.numbers)}")
            self.owners.append(owner)
            self.stores.append(store)
            await owner.start()

    async def step(self, work: Any = None) -> None:
        """Do something until it is done or its owner dies, and let what follows from it happen."""
        if work is not None:
            task = asyncio.ensure_future(work)
            # Who dies in the middle of it tries again for a while: nobody waits for that.
            while not task.done() and not any(store.dead for store in self.stores):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(Dead, asyncio.CancelledError):
                await task
        await loop_turns(30)
        await self._bury()
        await self.open(self.at_once)

    async def _bury(self) -> None:
        for owner, store in list(zip(self.owners, self.stores, strict=True)):
            if store.dead:
                await owner.crash()
                self.owners.remove(owner)
                self.stores.remove(store)

    async def kill_all(self) -> None:
        """Everybody dies; nobody follows."""
        for store in self.stores:
            store.dead = True
        await self._bury()
