"""RPC methods of the groups sessions are sorted into.

Source: OpenClaw gateway protocol, "sessions.groups.*".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from portico.clock import Clock
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.sessions import groups
from portico.sessions.changes import SessionChanges
from portico.sessions.groups import Catalogue, GroupExists, NoSuchGroup, TooManyGroups
from portico.sessions.patching import Label, NonEmpty
from portico.store import Store


class Put(Params, frozen=True, kw_only=True):
    """`{names, sectionOrder?}`."""

    names: list[Label]
    section_order: list[Label] | None = None


class Rename(Params, frozen=True, kw_only=True):
    """`{name, to}`."""

    name: Label
    to: Label


class Update(Params, frozen=True, kw_only=True):
    """`{name, cwd, worktree}`."""

    name: Label
    cwd: NonEmpty | None
    worktree: bool


class Named(Params, frozen=True):
    """`{name}`."""

    name: Label


class GroupShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """One group, and its place."""

    name: str
    position: int


class GroupsShown(Result, frozen=True, kw_only=True):
    """The groups in their order."""

    groups: tuple[GroupShown, ...] = msgspec.field()
    section_order: tuple[str, ...] | None = None


class GroupsChanged(Result, frozen=True, kw_only=True):
    """The groups after a change, and how many sessions it has changed."""

    ok: Literal[True] = msgspec.field()
    groups: tuple[GroupShown, ...] = msgspec.field()
    section_order: tuple[str, ...] | None = None
    updated_sessions: int = msgspec.field()


class Defaults(Result, frozen=True, kw_only=True):
    """What new sessions in a group begin with."""

    name: str
    cwd: str | None = None
    worktree: bool | None = None


class DefaultsShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The same for all groups."""

    defaults: tuple[Defaults, ...]


class DefaultsChanged(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The same after a change."""

    ok: Literal[True]
    defaults: tuple[Defaults, ...]


class GroupMethods:
    """`sessions.groups.*`."""

    def __init__(self, *, store: Store, clock: Clock, changes: SessionChanges) -> None:
        self._store = store
        self._clock = clock
        self._changes = changes

    @method("sessions.groups.list", scope=Scope.READ)
    async def list(self, call: Call, params: Empty) -> GroupsShown:
        """List the groups sessions are sorted into."""
        found = await self._store.read(groups.read)
        return GroupsShown(groups=_shown(found), section_order=found.section_order)

    @method("sessions.groups.defaults", scope=Scope.WRITE)
    async def defaults(self, call: Call, params: Empty) -> DefaultsShown:
        """List what new sessions begin with, by group."""
        return DefaultsShown(defaults=_defaults(await self._store.read(groups.read)))

    @method("sessions.groups.put", scope=Scope.WRITE)
    async def put(self, call: Call, params: Put) -> GroupsChanged:
        """Replace the list of groups; sessions keep theirs."""
        now = self._clock.now_ms()
        try:
            found = await self._store.write(groups.put, params.names, params.section_order, now=now)
        except TooManyGroups:
            raise InvalidRequest(
                f"invalid sessions.groups.put params: at most {groups.MAX_GROUPS} groups"
            ) from None
        return self._changed(found, ())

    @method("sessions.groups.rename", scope=Scope.WRITE)
    async def rename(self, call: Call, params: Rename) -> GroupsChanged:
        """Give a group another name, also in its sessions."""
        now = self._clock.now_ms()
        try:
            found, moved = await self._store.write(groups.rename, params.name, params.to, now=now)
        except NoSuchGroup:
            raise _unknown(params.name) from None
        except GroupExists:
            raise InvalidRequest(f"there is a group {params.to} already") from None
        return self._changed(found, moved)

    @method("sessions.groups.update", scope=Scope.WRITE)
    async def update(self, call: Call, params: Update) -> DefaultsChanged:
        """Say what new sessions in a group begin with."""
        try:
            found = await self._store.write(
                groups.set_defaults,
                params.name,
                cwd=params.cwd,
                worktree=params.worktree,
                now=self._clock.now_ms(),
            )
        except NoSuchGroup:
            raise _unknown(params.name) from None
        return DefaultsChanged(ok=True, defaults=_defaults(found))

    @method("sessions.groups.delete", scope=Scope.WRITE)
    async def delete(self, call: Call, params: Named) -> GroupsChanged:
        """Take a group away; its sessions stay, without a group."""
        now = self._clock.now_ms()
        found, moved = await self._store.write(groups.delete, params.name, now=now)
        return self._changed(found, moved)

    def _changed(self, found: Catalogue, moved: Sequence[str]) -> GroupsChanged:
        for key in moved:
            self._changes.announce(key, "patch")
        return GroupsChanged(
            ok=True,
            groups=_shown(found),
            section_order=found.section_order,
            updated_sessions=len(moved),
        )


def _shown(found: Catalogue) -> tuple[GroupShown, ...]:
    return tuple(
        GroupShown(name=one.name, position=place) for place, one in enumerate(found.groups)
    )


def _defaults(found: Catalogue) -> tuple[Defaults, ...]:
    return tuple(
        Defaults(name=one.name, cwd=one.cwd, worktree=one.worktree)
        for one in found.groups
        if one.cwd is not None or one.worktree is not None
    )


def _unknown(name: str) -> InvalidRequest:
    return InvalidRequest(f"unknown group: {name}")
