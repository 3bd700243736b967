"""Who is here: the gateway itself, connected clients, and what they say of themselves.

Guarantees: the gateway's own entry comes first, the others newest first; at most 200. An entry of
somebody who is gone stays for five minutes, one of a connected client as long as the connection.
A burst of changes is published once.

Not here: connections (`web`), the RPC methods that show and change presence (`system`).

Source: OpenClaw gateway protocol, "Snapshot", "Immediately after hello", "system-presence".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from portico.clock import Clock

TTL_MS = 300_000
MAX_ENTRIES = 200
COALESCE_S = 0.05
COALESCE_PER_CLIENT_S = 0.001  # everybody is told of everybody: many clients, fewer tellings
_EPHEMERAL_MODES = frozenset({"cli", "probe", "backend"})

Later = Callable[[float, Callable[[], None]], Any]


class PublishEvent(Protocol):
    """`Hub.publish`, as far as presence needs it."""

    def __call__(
        self, name: str, payload: Any, *, state_version: tuple[int, int] | None = None
    ) -> None:
        """Send an event to everybody it is for."""
        ...


class PresenceEntry(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """One line of the presence table."""

    ts: int
    host: str | None = None
    client_id: str | None = None
    ip: str | None = None
    version: str | None = None
    platform: str | None = None
    device_family: str | None = None
    model_identifier: str | None = None
    time_zone: str | None = None
    mode: str | None = None
    last_input_seconds: int | None = None
    reason: str | None = None
    tags: tuple[str, ...] | None = None
    text: str | None = None
    online_since: int | None = None
    device_id: str | None = None
    roles: tuple[str, ...] | None = None
    scopes: tuple[str, ...] | None = None
    instance_id: str | None = None


class StateVersion:
    """The two counters that tell clients which state they have seen."""

    __slots__ = ("health", "presence")

    def __init__(self) -> None:
        self.presence = 1
        self.health = 1

    @property
    def pair(self) -> tuple[int, int]:
        """Presence and health, as events carry them."""
        return self.presence, self.health

    def bump_presence(self) -> tuple[int, int]:
        """Count a change of presence."""
        self.presence += 1
        return self.pair

    def bump_health(self) -> tuple[int, int]:
        """Count a change of health."""
        self.health += 1
        return self.pair


def gateway_entry(
    *, host: str, ip: str | None, version: str, platform: str, instance_id: str, now_ms: int
) -> PresenceEntry:
    """Describe the gateway itself."""
    where = f"{host} ({ip})" if ip else host
    return PresenceEntry(
        ts=now_ms,
        host=host,
        ip=ip,
        version=version,
        platform=platform,
        mode="gateway",
        reason="self",
        instance_id=instance_id,
        text=f"Gateway: {where} · app {version} · mode gateway · reason self",
    )


class Presence:
    """The presence table."""

    def __init__(
        self,
        *,
        hub_publish: PublishEvent,
        clock: Clock,
        state_version: StateVersion,
        self_entry: PresenceEntry,
        later: Later,
    ) -> None:
        """Begin with the gateway alone.

        Args:
            later: runs a function after some seconds (`loop.call_later`).
        """
        self._publish = hub_publish
        self._clock = clock
        self._version = state_version
        self._self_entry = self_entry
        self._later = later
        self._entries: dict[str, PresenceEntry] = {}  # oldest change first
        self._connected: dict[str, int] = {}
        self._is_flush_due = False

    def list(self) -> list[PresenceEntry]:
        """Return everybody: the gateway first, then the newest."""
        self._prune()
        now = self._clock.now_ms()
        myself = msgspec.structs.replace(self._self_entry, ts=now)
        return [myself, *reversed(self._entries.values())]

    def joined(self, key: str, entry: PresenceEntry) -> None:
        """Note that a client connected. Clients that come and go are not shown."""
        if entry.mode in _EPHEMERAL_MODES:
            return
        self._connected[key] = self._connected.get(key, 0) + 1
        self._put(key, entry)

    def left(self, key: str) -> None:
        """Note that a client's connection ended."""
        count = self._connected.get(key, 0)
        if count > 1:
            self._connected[key] = count - 1
            return
        if self._connected.pop(key, None) is None:
            return
        entry = self._entries.get(key)
        if entry is not None:
            changed = msgspec.structs.replace(entry, reason="disconnect", ts=self._clock.now_ms())
            self._put(key, changed)

    def update(self, key: str, **fields: Any) -> PresenceEntry:
        """Merge what somebody says of itself into its entry, and publish it."""
        now = self._clock.now_ms()
        known = self._entries.get(key) or PresenceEntry(ts=now)
        entry = msgspec.structs.replace(known, **{**fields, "ts": now})
        self._put(key, entry)
        return entry

    def _put(self, key: str, entry: PresenceEntry) -> None:
        self._entries.pop(key, None)
        self._entries[key] = entry
        self._prune()
        self._version.bump_presence()
        if not self._is_flush_due:
            self._is_flush_due = True
            wait_s = COALESCE_S + COALESCE_PER_CLIENT_S * len(self._connected)
            self._later(wait_s, self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        self._publish("presence", {"presence": self.list()}, state_version=self._version.pair)

    def _prune(self) -> None:
        oldest = self._clock.now_ms() - TTL_MS
        gone = [
            key
            for key, entry in self._entries.items()
            if entry.ts < oldest and key not in self._connected
        ]
        for key in gone:
            del self._entries[key]
        while len(self._entries) > MAX_ENTRIES - 1:
            del self._entries[next(iter(self._entries))]


def client_text(entry: PresenceEntry) -> str:
    """Say in one line who somebody is."""
    parts = [f"Node: {entry.host or 'unknown'}"]
    if entry.version:
        parts.append(f"app {entry.version}")
    if entry.mode:
        parts.append(f"mode {entry.mode}")
    return " · ".join(parts)
