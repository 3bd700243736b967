"""Logging accounts in and out, on behalf of a person who looks at a screen.

Guarantees: one login per account at a time; one that nobody waits for any more is ended. An account
that was logged in is started; one that was logged out is stopped first.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import structlog

from portico.channels.accounts import store as account_store
from portico.channels.accounts.life import RUNNING
from portico.channels.accounts.run import Run
from portico.channels.accounts.service import Accounts
from portico.channels.accounts.supervisor import Supervisor
from portico.channels.contract import LoginStep, LogsIn, LogsOut
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.store import Store
from portico.tasks import Tasks

log = structlog.get_logger()

ABANDONED_S = 300.0
STOP_S = 15.0
STEP_S = 0.02
NO_LOGIN = "web login provider is not available"


@dataclass(slots=True)
class _Attempt:
    """A login under way."""

    account: LogsIn
    run: Run
    ending: asyncio.TimerHandle


class Logins:
    """The logins of all accounts."""

    def __init__(self, accounts: Accounts, *, store: Store, tasks: Tasks) -> None:
        self._accounts = accounts
        self._store = store
        self._tasks = tasks
        self._attempts: dict[tuple[str, str], _Attempt] = {}

    async def start(self, known: Supervisor, *, force: bool, timeout_s: float) -> LoginStep:
        """Begin a login; return what is shown to the person.

        Raises:
            InvalidRequest: the channel has no such thing.
            Unavailable: the provider does not answer.
        """
        await self._end(known)
        await self._stopped(known)
        account, run = await known.make_idle()
        if not isinstance(account, LogsIn):
            raise InvalidRequest(NO_LOGIN)
        later = asyncio.get_running_loop().call_later(
            ABANDONED_S, lambda: self._tasks.start(self._end(known), name="channels.login_ends")
        )
        self._attempts[known.channel, known.account] = _Attempt(account, run, later)
        try:
            async with asyncio.timeout(timeout_s):
                step = await account.login_start(force=force)
        except Exception as error:
            await self._end(known)
            raise Unavailable(f"login did not begin: {_said(error)}") from error
        return await self._seen(known, step)

    async def wait(self, known: Supervisor, *, timeout_s: float, shown_qr: str | None) -> LoginStep:
        """Return when something has changed, or when the time is up.

        Raises:
            InvalidRequest: no login is under way.
            Unavailable: it failed.
        """
        attempt = self._attempts.get((known.channel, known.account))
        if attempt is None:
            raise InvalidRequest("no login is under way; start one: web.login.start")
        try:
            async with asyncio.timeout(timeout_s + STOP_S):
                step = await attempt.account.login_wait(timeout_s=timeout_s, shown_qr=shown_qr)
        except Exception as error:
            await self._end(known)
            raise Unavailable(f"login failed: {_said(error)}") from error
        return await self._seen(known, step)

    async def logout(self, known: Supervisor) -> bool:
        """Stop an account and give its credentials back; `False` when there were none.

        Raises:
            Unavailable: the provider does not answer; the account is stopped.
        """
        await self._end(known)
        await self._stopped(known)
        account, run = await known.make_idle()
        try:
            async with asyncio.timeout(STOP_S):
                cleared = isinstance(account, LogsOut) and await account.logout()
        except Exception as error:
            raise Unavailable(f"logout failed: {_said(error)}") from error
        finally:
            await run.close(None, within_s=STOP_S)
        if cleared:
            await self._store.write(account_store.forget_login, known.channel, known.account)
        return cleared

    async def _seen(self, known: Supervisor, step: LoginStep) -> LoginStep:
        if step.connected:
            await self._end(known)
            await self._accounts.want(known.channel, known.account, "running")
        return step

    async def _end(self, known: Supervisor) -> None:
        attempt = self._attempts.pop((known.channel, known.account), None)
        if attempt is None:
            return
        attempt.ending.cancel()
        with contextlib.suppress(Exception):  # it is thrown away
            async with asyncio.timeout(STOP_S):
                await attempt.account.login_end()
        await attempt.run.close(None, within_s=STOP_S)

    async def _stopped(self, known: Supervisor) -> None:
        """A login and a run of one account would get into each other's way."""
        await self._accounts.want(known.channel, known.account, "stopped")
        try:
            async with asyncio.timeout(STOP_S):
                while known.state in RUNNING:  # noqa: ASYNC110 - bounded, and seldom
                    await asyncio.sleep(STEP_S)
        except TimeoutError:
            raise Unavailable("the account does not stop; try again") from None


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
