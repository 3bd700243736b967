"""RPC methods of channels: how they are, start, stop, log in and out; and their recorded events.

`channels.events` is Portico's own addition.

Source: OpenClaw gateway protocol, "channels.*, web.login.*".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec

from portico.channels.accounts import store as account_store
from portico.channels.accounts.life import RUNNING, AccountState
from portico.channels.accounts.login import NO_LOGIN, Logins
from portico.channels.accounts.service import Accounts
from portico.channels.accounts.status import (
    RESIDENTS,
    account_snapshot,
    issues_of,
    resident_snapshot,
)
from portico.channels.accounts.store import AccountRow, EventRow
from portico.channels.accounts.supervisor import Supervisor
from portico.channels.contract import LoginStep, Probes
from portico.clock import Clock
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.store import Store

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
PROBE_MS = 10_000
MOST_MS = 30_000
START_WAIT_S = 10.0
LOGIN_MS = 30_000
LOGIN_MOST_MS = 120_000
MAX_ISSUES = 50
STEP_S = 0.02


class Status(Params, frozen=True, kw_only=True):
    """`{probe?, timeoutMs?, channel?}`."""

    probe: bool = False
    timeout_ms: Count | None = None
    channel: NonEmpty | None = None


class ChannelsShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Every channel and account."""

    ts: int
    channel_order: list[str]
    channel_labels: dict[str, str]
    channel_detail_labels: dict[str, str]
    channel_meta: list[dict[str, Any]]
    channels: dict[str, Any]
    channel_accounts: dict[str, list[dict[str, Any]]]
    channel_default_account_id: dict[str, str]
    status_issues: list[dict[str, Any]]


class AccountRef(Params, frozen=True, kw_only=True):
    """`{channel, accountId?}`."""

    channel: NonEmpty
    account_id: NonEmpty | None = None


class Started(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What became of a start."""

    channel: str
    account_id: str
    started: bool
    outcome: str
    status_issues: list[dict[str, Any]]


class Stopped(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What became of a stop."""

    channel: str
    account_id: str
    stopped: bool


class LoggedOut(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What became of a logout."""

    channel: str
    account_id: str
    cleared: bool
    logged_out: bool


class LoginStart(Params, frozen=True, kw_only=True):
    """`{channel?, force?, timeoutMs?, verbose?, accountId?}`."""

    channel: NonEmpty | None = None
    force: bool = False
    timeout_ms: Count | None = None
    verbose: bool | None = None
    account_id: str | None = None


class LoginWait(Params, frozen=True, kw_only=True):
    """`{channel?, sessionKey?, timeoutMs?, accountId?, currentQrDataUrl?}`."""

    channel: NonEmpty | None = None
    session_key: NonEmpty | None = None
    timeout_ms: Count | None = None
    account_id: str | None = None
    current_qr_data_url: Annotated[str, msgspec.Meta(max_length=16_384)] | None = None


class LoginShown(Result, frozen=True, kw_only=True):
    """Where a login is."""

    message: str
    connected: bool = msgspec.field()
    qr_data_url: str | None = None


class Events(Params, frozen=True, kw_only=True):
    """`{channel?, accountId?, limit?}`."""

    channel: str | None = None
    account_id: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class EventsShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The newest events."""

    events: list[EventRow]


class ChannelMethods:
    """`channels.*` and `web.login.*`."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        logins: Logins,
        store: Store,
        clock: Clock,
        default_account: Callable[[str], str],
    ) -> None:
        self._accounts = accounts
        self._logins = logins
        self._store = store
        self._clock = clock
        self._default_account = default_account

    @method("channels.status", scope=Scope.READ)
    async def status(self, call: Call, params: Status) -> ChannelsShown:
        """Show every channel and account, on request with what the providers say."""
        timeout_s = min(params.timeout_ms or PROBE_MS, MOST_MS) / 1000
        found = [one for one in self._accounts.all() if params.channel in {None, one.channel}]
        rows = await self._accounts.rows() if found else {}
        probes = await self._probe(found, timeout_s) if params.probe else {}
        return self._shown(found, rows, probes, params.channel)

    def _shown(
        self,
        found: list[Supervisor],
        rows: Mapping[tuple[str, str], AccountRow],
        probes: Mapping[tuple[str, str], Mapping[str, Any]],
        only: str | None,
    ) -> ChannelsShown:
        now = self._clock.now_ms()
        accounts: dict[str, list[dict[str, Any]]] = {}
        labels, details, meta = {}, {}, []
        for one in found:
            key = (one.channel, one.account)
            shown = account_snapshot(one, rows.get(key), probes.get(key), now)
            accounts.setdefault(one.channel, []).append(shown)
            manifest = one.manifest
            labels[one.channel], details[one.channel] = manifest.label, manifest.blurb
        for resident in RESIDENTS:
            if only in {None, resident.id}:
                accounts[resident.id] = [resident_snapshot(now)]
                labels[resident.id], details[resident.id] = resident.label, resident.detail
        meta = [
            {"id": name, "label": labels[name], "detailLabel": details[name] or labels[name]}
            for name in accounts
        ]
        defaults = {name: self._default_of(name, accounts[name]) for name in accounts}
        return ChannelsShown(
            ts=now,
            channel_order=[*accounts],
            channel_labels=labels,
            channel_detail_labels={name: details[name] or labels[name] for name in accounts},
            channel_meta=meta,
            channels={name: _summary(accounts[name], defaults[name]) for name in accounts},
            channel_accounts=accounts,
            channel_default_account_id=defaults,
            status_issues=[issue for one in found for issue in issues_of(one)][:MAX_ISSUES],
        )

    async def _probe(
        self, found: list[Supervisor], timeout_s: float
    ) -> dict[tuple[str, str], Mapping[str, Any]]:
        live: list[tuple[Supervisor, object]] = [(one, one.live) for one in found]
        asked = [(one, account) for one, account in live if isinstance(account, Probes)]
        said = await asyncio.gather(*(_probed(account, timeout_s) for _, account in asked))
        return {
            (one.channel, one.account): answer for (one, _), answer in zip(asked, said, strict=True)
        }

    @method("channels.start", scope=Scope.ADMIN, audit="channel.started")
    async def start(self, call: Call, params: AccountRef) -> Started:
        """Start an account, or try it again now."""
        known = self._find(params.channel, params.account_id)
        if known.live is not None:
            return self._started(known, "already-running")
        await self._accounts.want(known.channel, known.account, "running")
        await self._settled(known)
        return self._started(known, _outcome(known))

    @method("channels.stop", scope=Scope.ADMIN, audit="channel.stopped")
    async def stop(self, call: Call, params: AccountRef) -> Stopped:
        """Stop an account until it is started again."""
        known = self._find(params.channel, params.account_id)
        await self._accounts.want(known.channel, known.account, "stopped")
        await _until(lambda: known.state not in RUNNING)
        return Stopped(
            channel=known.channel,
            account_id=known.account,
            stopped=known.state not in RUNNING,
        )

    @method("channels.logout", scope=Scope.ADMIN, audit="channel.logged_out")
    async def logout(self, call: Call, params: AccountRef) -> LoggedOut:
        """Stop an account and give its credentials back."""
        known = self._find(params.channel, params.account_id)
        cleared = await self._logins.logout(known)
        return LoggedOut(
            channel=known.channel, account_id=known.account, cleared=cleared, logged_out=cleared
        )

    @method("web.login.start", scope=Scope.ADMIN, audit="channel.login_started")
    async def login_start(self, call: Call, params: LoginStart) -> LoginShown:
        """Begin to log an account in: with a picture to scan, or a code."""
        known = self._login_account(params.channel, params.account_id)
        timeout_s = min(params.timeout_ms or LOGIN_MS, LOGIN_MOST_MS) / 1000
        return _login(await self._logins.start(known, force=params.force, timeout_s=timeout_s))

    @method("web.login.wait", scope=Scope.ADMIN)
    async def login_wait(self, call: Call, params: LoginWait) -> LoginShown:
        """Wait until a login is done, or shows something new."""
        known = self._login_account(params.channel, params.account_id)
        timeout_s = min(params.timeout_ms or LOGIN_MS, LOGIN_MOST_MS) / 1000
        step = await self._logins.wait(
            known, timeout_s=timeout_s, shown_qr=params.current_qr_data_url
        )
        return _login(step)

    @method("channels.events", scope=Scope.READ)
    async def events(self, call: Call, params: Events) -> EventsShown:
        """List what channels told besides messages, newest first."""
        found = await self._store.scan(
            account_store.list_events,
            channel=params.channel or "",
            account=params.account_id or "",
            limit=params.limit,
        )
        return EventsShown(events=found)

    def _find(self, channel: str, account: str | None) -> Supervisor:
        wanted = account or self._default_account(channel)
        known = self._accounts.find(channel, wanted)
        if known is not None:
            return known
        if any(one.id == channel for one in RESIDENTS):
            raise InvalidRequest(f"channel {channel} is built in: it always runs")
        if not any(one.channel == channel for one in self._accounts.all()):
            raise InvalidRequest(f"unknown channel: {channel}")
        raise InvalidRequest(f"unknown account of {channel}: {wanted}")

    def _login_account(self, channel: str | None, account: str | None) -> Supervisor:
        if channel is not None:
            return self._find(channel, account)
        for one in self._accounts.all():
            if one.manifest.capabilities.login != "none" and account in {None, "", one.account}:
                return one
        raise InvalidRequest(NO_LOGIN)

    def _default_of(self, channel: str, accounts: list[dict[str, Any]]) -> str:
        named = self._default_account(channel)
        ids = [str(one["accountId"]) for one in accounts]
        return named if named in ids else ids[0]

    def _started(self, known: Supervisor, outcome: str) -> Started:
        return Started(
            channel=known.channel,
            account_id=known.account,
            started=known.live is not None,
            outcome=outcome,
            status_issues=issues_of(known),
        )

    async def _settled(self, known: Supervisor) -> None:
        generation = known.seen.generation

        def is_settled() -> bool:
            if known.live is not None:
                return True
            has_tried = known.seen.generation > generation
            waits = known.state in {AccountState.UNUSABLE, AccountState.STANDBY}
            return known.state not in RUNNING and (has_tried or waits)

        await _until(is_settled)


def _outcome(known: Supervisor) -> str:
    return known.state.value if known.live is None else "started"


def _summary(accounts: list[dict[str, Any]], default: str) -> dict[str, Any]:
    shown = next(one for one in accounts if one["accountId"] == default)
    names = ("configured", "linked", "running", "connected", "lastError", "lastStartAt", "probe")
    return {name: shown[name] for name in names if name in shown}


async def _probed(account: Probes, timeout_s: float) -> Mapping[str, Any]:
    try:
        async with asyncio.timeout(timeout_s):
            return await account.probe()
    except TimeoutError:
        return {"ok": False, "error": f"no answer within {timeout_s:g} s"}
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for a state, for some seconds at most: who asked looks again otherwise."""
    try:
        async with asyncio.timeout(START_WAIT_S):
            while not condition():  # noqa: ASYNC110 - bounded, and seldom
                await asyncio.sleep(STEP_S)
    except TimeoutError:
        return


def _login(step: LoginStep) -> LoginShown:
    return LoginShown(message=step.message, connected=step.connected, qr_data_url=step.qr_data_url)
