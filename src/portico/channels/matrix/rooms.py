"""Which rooms are one-to-one, and which invitations are accepted.

A room is direct when at most two people are in it and one of these holds: the account's list of
direct rooms (`m.direct`) has it, whoever invited us said so, or it has neither name nor alias.
With a third person it is a group, whatever anybody says: group rules hold there.

Source: https://spec.matrix.org/latest/client-server-api/#direct-messaging
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from portico.channels.matrix.config import MatrixAccount
from portico.channels.matrix.homeserver import Homeserver
from portico.channels.matrix.model import Invitation, RoomView

PAIR = 2
OPEN_S = 10.0


class Rooms:
    """The rooms of an account."""

    def __init__(self, home: Homeserver, config: MatrixAccount) -> None:
        self._home = home
        self._config = config
        self._directs: dict[str, list[str]] = {}
        self._said_direct: set[str] = set()
        self._opening = asyncio.Lock()
        self._opened: set[str] = set()
        self._news = asyncio.Event()

    def learn(self, directs: Mapping[str, Any]) -> None:
        """Take note of the account's list of direct rooms."""
        self._directs = {
            user: [room for room in rooms if isinstance(room, str)]
            for user, rooms in directs.items()
            if isinstance(rooms, list)
        }

    def is_direct(self, room_id: str) -> bool:
        """Whether a room is one-to-one."""
        view = self._home.room(room_id)
        if view is None or view.people > PAIR:
            return False
        return self._is_listed(room_id) or not (view.name or view.alias)

    def _is_listed(self, room_id: str) -> bool:
        return room_id in self._said_direct or any(
            room_id in rooms for rooms in self._directs.values()
        )

    # -- invitations -----------------------------------------------------------------------------

    def refusal(self, invitation: Invitation) -> str | None:
        """Return why an invitation is not accepted; `None`: it is."""
        match self._config.auto_join:
            case "always":
                return None
            case "off":
                return "autoJoin is off"
            case "allowlist":
                is_named = self._is_known(invitation) or self._may_be_used(invitation)
                return None if is_named else "neither who invites nor the room is allowed"
            case _:
                return self._refusal_by_policy(invitation)

    def _refusal_by_policy(self, invitation: Invitation) -> str | None:
        if invitation.is_direct:
            return self._direct_refusal(invitation)
        return None if self._may_be_used(invitation) else "the room is not among those allowed"

    def _direct_refusal(self, invitation: Invitation) -> str | None:
        match self._config.dm_policy:
            case "disabled":
                return "dmPolicy is disabled"
            case "allowlist":
                return None if self._is_known(invitation) else "who invites is not in allowFrom"
            case _:
                return None

    def _is_known(self, invitation: Invitation) -> bool:
        known = {*self._config.allow_from, *self._config.group_allow_from}
        return "*" in known or invitation.inviter in known

    def _may_be_used(self, invitation: Invitation) -> bool:
        config = self._config
        named = {invitation.room_id, *invitation.aliases}
        if named & {*config.auto_join_allowlist}:
            return True
        if config.group_policy == "disabled":
            return False
        rules = config.groups.get(invitation.room_id) or config.groups.get("*")
        return rules is not None and rules.enabled

    async def accept(self, invitation: Invitation) -> None:
        """Join, and remember a direct room as such.

        Raises:
            Trouble: it did not work.
        """
        if invitation.is_direct:
            self._said_direct.add(invitation.room_id)
        await self._home.join(invitation.room_id)
        if invitation.is_direct:
            await self._remember(invitation.inviter, invitation.room_id)

    # -- where to write --------------------------------------------------------------------------

    async def with_person(self, user_id: str) -> str:
        """Return the direct room with somebody; make one when there is none.

        Raises:
            Trouble: it did not work.
            TimeoutError: it was made, and has not been seen yet.
        """
        async with self._opening:
            room_id = self._shared_with(user_id)
            if room_id is None:
                room_id = await self._home.open_direct(user_id, encrypted=self._home.encrypts)
                self._opened.add(room_id)
                await self._remember(user_id, room_id)
            async with asyncio.timeout(OPEN_S):
                while self._home.room(room_id) is None:  # until a sync has told of it
                    await self._news.wait()
            return room_id

    def _shared_with(self, user_id: str) -> str | None:
        for room_id in reversed(self._directs.get(user_id, [])):
            if room_id in self._opened or self._has_both(self._home.room(room_id)):
                return room_id
        for view in self._home.rooms():
            if user_id in view.members and self._has_both(view) and self.is_direct(view.room_id):
                return view.room_id
        return None

    def _has_both(self, view: RoomView | None) -> bool:
        return view is not None and view.people == PAIR

    def synced(self, left: Iterable[str]) -> None:
        """Take note of a sync: rooms may have come, and some were left."""
        for room_id in left:
            self._opened.discard(room_id)
            self._home.forget_room(room_id)
        self._news.set()
        self._news.clear()

    async def _remember(self, user_id: str, room_id: str) -> None:
        rooms = self._directs.setdefault(user_id, [])
        if room_id not in rooms:
            rooms.append(room_id)
            await self._home.set_directs(self._directs)

    def all(self) -> list[RoomView]:
        """Return all rooms the account is in."""
        return self._home.rooms()
