"""What is to be seen of channels and their accounts.

Source: OpenClaw gateway protocol, "channels.status" and its account snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from portico.channels.accounts.life import RUNNING, AccountState
from portico.channels.accounts.store import AccountRow
from portico.channels.accounts.supervisor import Supervisor

S = AccountState
_HEALTH = {
    S.CONNECTED: "healthy",
    S.STARTING: "starting",
    S.LOST: "reconnecting",
    S.CLOSING: "stopping",
    S.WAITING: "restarting",
    S.BROKEN: "failing",
    S.LOGIN: "logged-out",
    S.UNUSABLE: "misconfigured",
    S.STANDBY: "standby",
    S.OFF: "stopped",
}
_ISSUE_KINDS = {
    S.UNUSABLE: ("config", "portico config validate"),
    S.LOGIN: ("auth", "log the account in, or set a new token"),
    S.BROKEN: ("runtime", "see the log: portico logs tail"),
    S.WAITING: ("runtime", None),
}


@dataclass(frozen=True, slots=True)
class Resident:
    """A channel that is built in and has no accounts to keep: always there."""

    id: str
    label: str
    detail: str


RESIDENTS = (
    Resident("webchat", "WebChat", "the page and other clients of the control plane"),
    Resident("http", "HTTP API", "the gateway message API"),
)


def resident_snapshot(now: int) -> dict[str, Any]:
    """Return the one account of a built-in channel."""
    return {
        "accountId": "default",
        "enabled": True,
        "configured": True,
        "linked": True,
        "running": True,
        "connected": True,
        "healthState": "healthy",
        "lastTransportActivityAt": now,
    }


def account_snapshot(
    account: Supervisor, row: AccountRow | None, probe: Mapping[str, Any] | None, now: int
) -> dict[str, Any]:
    """Return what is to be seen of an account.

    Args:
        row: what another replica recorded, when the account runs there.
        probe: what the provider just said.
    """
    seen, state = account.snapshot(), account.state
    if state is S.STANDBY and row is not None:
        seen, state = row, AccountState(row.observed)
    config = account.entry.config
    shown: dict[str, Any] = {
        "accountId": account.account,
        "name": None if config is None else config.name,
        "enabled": account.entry.enabled,
        "configured": config is not None and config.missing is None,
        "running": state in RUNNING,
        "connected": state is S.CONNECTED,
        "reconnectAttempts": seen.failures,
        "lastConnectedAt": seen.connected_at,
        "lastError": seen.last_error,
        "healthState": _HEALTH[state],
        "lastStartAt": seen.started_at,
        "lastStopAt": seen.stopped_at,
        "lastInboundAt": seen.received_at,
        "lastOutboundAt": seen.sent_at,
        "lastTransportActivityAt": seen.alive_at,
        "dmPolicy": None if config is None else config.dm_policy,
        "allowFrom": None if config is None else list(config.allow_from),
        "state": state.value,
        "desired": seen.desired,
        "generation": seen.generation,
        "restarts": seen.restarts,
        "owner": seen.owner,
    }
    if seen.identity is not None:
        shown["application"] = seen.identity
    if probe is not None:
        shown |= {"probe": dict(probe), "lastProbeAt": now}
    # A type of text or a list may be left out; the times may be null.
    return {
        name: value
        for name, value in shown.items()
        if value is not None or name.endswith("At") or name == "lastError"
    }


def issues_of(account: Supervisor) -> list[dict[str, Any]]:
    """Return what an operator should know."""
    found = _ISSUE_KINDS.get(account.state)
    if found is None or not account.is_wanted:
        return []
    kind, fix = found
    issue = {
        "channel": account.channel,
        "accountId": account.account,
        "kind": kind,
        "message": account.error or account.state.value,
    }
    return [issue if fix is None else {**issue, "fix": fix}]


def health_of(accounts: Iterable[Supervisor]) -> dict[str, Any]:
    """Return the channels' part of the health summary."""
    by_channel: dict[str, list[Supervisor]] = {}
    for account in accounts:
        by_channel.setdefault(account.channel, []).append(account)
    channels = {name: _health(found) for name, found in by_channel.items()}
    labels = {name: found[0].manifest.label for name, found in by_channel.items()}
    for resident in RESIDENTS:
        channels[resident.id] = {"configured": True, "linked": True}
        labels[resident.id] = resident.label
    return {"channels": channels, "channelOrder": [*channels], "channelLabels": labels}


def _health(accounts: list[Supervisor]) -> dict[str, Any]:
    shown = {
        one.account: {
            "accountId": one.account,
            "configured": one.entry.config is not None,
            "running": one.state in RUNNING,
            "connected": one.state is S.CONNECTED,
            "healthState": _HEALTH[one.state],
            **({"lastError": one.error} if one.error else {}),
        }
        for one in accounts
    }
    return {
        "configured": any(one["configured"] for one in shown.values()),
        "linked": any(one["connected"] for one in shown.values()),
        "accounts": shown,
    }
