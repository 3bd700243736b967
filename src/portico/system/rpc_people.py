"""RPC methods about the person at the gateway: one owner, and what their clients remember.

A gateway has one owner; everybody who comes in with its secret, or with a device that was let in,
is that person.

Source: OpenClaw gateway protocol, "users.self", "users.list", "users.prefs.*".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from portico.clock import Clock
from portico.events.hub import Hub
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.store import Store, Work, documents

OWNER_ID = "owner"
PEOPLE = "people"
PLACE = f"prefs/{OWNER_ID}"
MAX_PREFS = 500
MAX_VALUE_BYTES = 65_536
AT_ONCE = 32
Key = Annotated[str, msgspec.Meta(pattern=r"^.{1,256}$")]


class PrefsAsked(Params, frozen=True):
    """`{keys?}`."""

    keys: Annotated[list[Key], msgspec.Meta(max_length=AT_ONCE)] | None = None


class PrefsGiven(Params, frozen=True, kw_only=True):
    """`{entries, expectedEntries?}`; null removes one."""

    entries: dict[Key, Any]
    expected_entries: dict[Key, Any] | None = None


class Prefs(Result, frozen=True, omit_defaults=False):
    """What clients remember."""

    status: Literal["ok"]
    entries: dict[str, Any]


class PrefsKept(Result, frozen=True, omit_defaults=False):
    """Whether it was kept."""

    status: Literal["ok", "conflict"]


class PeopleMethods:
    """`users.self`, `users.list`, `users.prefs.get`, `users.prefs.set`."""

    def __init__(self, *, store: Store, clock: Clock, hub: Hub) -> None:
        self._store = store
        self._clock = clock
        self._hub = hub

    @method("users.self", scope=Scope.READ)
    async def self(self, call: Call, params: Empty) -> dict[str, Any]:
        """Say who the caller is: the gateway's one owner, known since this was first asked."""
        return {"profile": await self._profile()}

    @method("users.list", scope=Scope.READ)
    async def list(self, call: Call, params: Empty) -> dict[str, Any]:
        """List the people of the gateway: its one owner."""
        return {"profiles": [await self._profile()]}

    async def _profile(self) -> dict[str, Any]:
        since_ms = await self._store.write(_known_since, now=self._clock.now_ms())
        return {
            "id": OWNER_ID,
            "displayName": None,
            "avatarMime": None,
            "mergedInto": None,
            "createdAt": since_ms,
            "updatedAt": since_ms,
            "emails": [],
            "githubIdentity": None,
            "hasAvatar": False,
        }

    @method("users.prefs.get", scope=Scope.READ)
    async def get(self, call: Call, params: PrefsAsked) -> Prefs:
        """Return what clients remember for the owner: all of it, or what is named."""
        kept = await self._store.read(documents.list_of, PLACE)
        wanted = kept if params.keys is None else params.keys
        return Prefs("ok", {key: kept[key] for key in wanted if key in kept})

    @method("users.prefs.set", scope=Scope.WRITE)
    async def set(self, call: Call, params: PrefsGiven) -> PrefsKept:
        """Remember something for the owner's clients, if nobody has changed it meanwhile."""
        if len(params.entries) > AT_ONCE:
            raise InvalidRequest(f"invalid users.prefs.set params: at most {AT_ONCE} entries")
        for key, value in params.entries.items():
            if len(msgspec.json.encode(value)) > MAX_VALUE_BYTES:
                raise InvalidRequest(
                    f"invalid users.prefs.set params: at /entries/{key}: more than "
                    f"{MAX_VALUE_BYTES} bytes"
                )
        outcome = await self._store.write(
            _keep, params.entries, params.expected_entries or {}, now=self._clock.now_ms()
        )
        if outcome == "full":
            raise InvalidRequest(
                f"there are {MAX_PREFS} preferences already",
                details={
                    "code": "USER_PREFS_LIMIT_EXCEEDED",
                    "limit": MAX_PREFS,
                    "currentCount": await self._store.read(documents.count_of, PLACE),
                },
            )
        if outcome == "conflict":
            return PrefsKept("conflict")
        keys = sorted(params.entries)
        if keys:
            self._hub.publish("users.prefs.changed", {"profileId": OWNER_ID, "keys": keys})
        return PrefsKept("ok")


def _known_since(*, now: int) -> Work[int]:
    since = yield from documents.find(PEOPLE, OWNER_ID)
    if since is None:
        since = now
        yield from documents.put(PEOPLE, OWNER_ID, since, now=now)
    return int(since)


def _keep(
    entries: dict[str, Any], expected: dict[str, Any], *, now: int
) -> Work[Literal["ok", "conflict", "full"]]:
    for key, value in expected.items():
        if (yield from documents.find(PLACE, key)) != value:
            return "conflict"
    added = 0
    for key, value in entries.items():
        if value is not None and (yield from documents.find(PLACE, key)) is None:
            added += 1
    if added and (yield from documents.count_of(PLACE)) + added > MAX_PREFS:
        return "full"
    for key, value in entries.items():
        if value is None:
            yield from documents.remove(PLACE, key)
        else:
            yield from documents.put(PLACE, key, value, now=now)
    return "ok"
