"""What a homeserver tells, in the channel's own shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are at the homeserver, and what proves it."""

    user_id: str
    device_id: str
    access_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RoomNews:
    """What happened in one room since the last sync.

    Attributes:
        events: as they came, in order; encrypted ones decrypted where that was possible.
        is_limited: there is more between where we were and the first of them.
        before: where older events can be asked for.
        receipts: (event, who has read it, thread).
    """

    room_id: str
    events: list[dict[str, Any]]
    is_limited: bool = False
    before: str | None = None
    receipts: Sequence[tuple[str, str, str | None]] = ()


@dataclass(frozen=True, slots=True)
class Invitation:
    """Somebody asks us into a room."""

    room_id: str
    inviter: str
    is_direct: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Synced:
    """The answer to one sync.

    Attributes:
        next_batch: the position after it.
        directs: the list of direct rooms by person, when it has changed.
    """

    next_batch: str
    joined: Mapping[str, RoomNews]
    left: Mapping[str, RoomNews]
    invited: Mapping[str, Invitation]
    directs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RoomView:
    """What is known of a room.

    Attributes:
        people: how many are in it or invited, with us.
        members: names by user id, as far as they were told.
    """

    room_id: str
    name: str | None
    alias: str | None
    people: int
    is_encrypted: bool
    members: Mapping[str, str | None]
