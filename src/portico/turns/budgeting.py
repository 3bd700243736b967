"""Budgets as the path sees them: asked before a run begins, settled with its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from portico.agents.runtime import Usage
from portico.budgets.model import Notice, Spender
from portico.store import Work


class Budgets(Protocol):
    """Who pays for runs."""

    async def admit(self, spender: Spender) -> str | None:
        """Reserve what a run may need; or return, for the person, why it may not begin."""
        ...

    def settle(self, spender: Spender, usage: Usage, *, now: int) -> Work[Sequence[Notice]]:
        """The work that replaces the reservation by what was used; part of the run's end."""
        ...

    def charge(self, spender: Spender, usage: Usage, *, now: int) -> Work[None]:
        """The work that counts what was used outside a turn; nothing was reserved for it."""
        ...

    def release(self, run_id: str) -> Work[None]:
        """The work that gives the reservation of a run back that will begin again."""
        ...

    def tell(self, notices: Iterable[Notice]) -> None:
        """Tell the operator what a committed end brought about."""
        ...


class Unlimited:
    """Everybody may spend."""

    async def admit(self, spender: Spender) -> str | None:
        """Let it begin."""
        return None

    def settle(self, spender: Spender, usage: Usage, *, now: int) -> Work[Sequence[Notice]]:
        """Nothing was reserved."""
        yield from ()
        return ()

    def charge(self, spender: Spender, usage: Usage, *, now: int) -> Work[None]:
        """Nobody counts."""
        yield from ()

    def release(self, run_id: str) -> Work[None]:
        """Nothing was reserved."""
        yield from ()

    def tell(self, notices: Iterable[Notice]) -> None:
        """There is nothing to tell."""
