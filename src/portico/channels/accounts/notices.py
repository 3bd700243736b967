"""Telling the operator, once per outage, that an account is down, is tried rarely, or is back.

Guarantees: a blip is not worth a notice; whatever is said is in the log too; nothing here raises.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from portico.channels.accounts.life import AccountState
from portico.channels.accounts.supervisor import Supervisor

log = structlog.get_logger()

S = AccountState
NEEDS_PERSON = frozenset({S.LOGIN, S.UNUSABLE})


class LifecycleNotices:
    """Watches accounts for the operator.

    Args:
        say: sends a text to the operator's chat; `None`: the log is enough.
        after_failures: failures in a row before an account is said to be down.
    """

    def __init__(self, *, say: Callable[[str], None] | None, after_failures: int = 3) -> None:
        self._say = say
        self._after_failures = after_failures
        self._told: dict[tuple[str, str], AccountState] = {}

    def changed(self, account: Supervisor, before: AccountState) -> None:
        """An account is in another state."""
        key, state = (account.channel, account.account), account.state
        told = self._told.get(key)
        if state is S.OFF:
            self._told.pop(key, None)
        elif state in NEEDS_PERSON and told is not state:
            self._tell(account, state, f"needs you: {account.error or 'it cannot start'}")
        elif state is S.BROKEN and told is not state:
            times = f"restarted {account.failures} times without success"
            self._tell(account, state, f"{times}; it is now tried rarely. {account.error or ''}")
        elif state is S.WAITING and told is None and account.failures >= self._after_failures:
            self._tell(account, state, f"is down: {account.error or 'it does not connect'}")

    def healthy(self, account: Supervisor) -> None:
        """An account is well again."""
        if self._told.pop((account.channel, account.account), None) is not None:
            self._send(account, "is back.", "channel.back")

    def _tell(self, account: Supervisor, state: AccountState, text: str) -> None:
        self._told[account.channel, account.account] = state
        self._send(account, text.strip(), "channel.down")

    def _send(self, account: Supervisor, text: str, event: str) -> None:
        log.warning(event, channel=account.channel, account=account.account, text=text)
        if self._say is not None:
            self._say(f"{account.manifest.label} ({account.account}) {text}")
