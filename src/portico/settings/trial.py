"""Whether the gateway is well with a configuration it has just taken over.

Well means: its checks pass (the database takes writes, the port answers), and every account of a
channel that was connected, and is still wanted, is connected. Accounts are looked at only when the
change concerns channels: that a provider is away is no reason to refuse another agent.

Guarantees: an answer within the given time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from portico.clock import Clock
from portico.config.keypath import KeyPath

POLL_S = 0.1
CHECK_TIMEOUT_S = 2.0

Check = Callable[[], Awaitable[str | None]]
"""Says why something is not well, or `None`."""
Account = tuple[str, str]


class RunningAccounts(Protocol):
    """The accounts of channels, as far as a trial looks at them."""

    def connected(self) -> Mapping[Account, object]:
        """Return those that are connected, with what they are made from."""
        ...

    def trouble_of(self, account: Account, made_from: object, since_ms: int) -> str | None:
        """Say why an account is not connected (again, if it is made anew); `None`: it is fine."""
        ...


@dataclass(frozen=True, slots=True)
class Begun:
    """How things were before the change."""

    at_ms: int
    accounts: Mapping[Account, object]


class HealthTrial:
    """Asks the checks and looks at the accounts until all is well, or time is up."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        accounts: RunningAccounts,
        clock: Clock,
        patience_s: Callable[[], float],
    ) -> None:
        self._checks = checks
        self._accounts = accounts
        self._clock = clock
        self._patience_s = patience_s

    def begin(self, changed: set[KeyPath]) -> Begun:
        """Note which accounts are to be there afterwards."""
        concerns_channels = any(path[:1] == ("channels",) for path in changed)
        accounts = dict(self._accounts.connected()) if concerns_channels else {}
        return Begun(self._clock.now_ms(), accounts)

    async def verdict(self, begun: Begun) -> str | None:
        """Return why the gateway is not well, or `None`."""
        deadline_s = self._clock.monotonic_s() + self._patience_s()
        while True:
            troubles = await self._troubles(begun)
            if not troubles:
                return None
            if self._clock.monotonic_s() >= deadline_s:
                return "; ".join(troubles)
            await asyncio.sleep(POLL_S)

    async def _troubles(self, begun: Begun) -> list[str]:
        found = [await _ask(name, check) for name, check in self._checks.items()]
        found += [
            self._accounts.trouble_of(account, made_from, begun.at_ms)
            for account, made_from in begun.accounts.items()
        ]
        return [one for one in found if one is not None]


async def _ask(name: str, check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            reason = await check()
    except TimeoutError:
        reason = f"no answer within {CHECK_TIMEOUT_S:g} s"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the reason
        reason = type(error).__name__
    return None if reason is None else f"{name}: {reason}"
