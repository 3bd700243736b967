"""What is known of the servers a bot is in: their channels and threads, and the bot's roles there.

Told by the gateway when a session begins; after a resumed one, asked for when it is needed.

Guarantees: bounded; a channel Discord does not show to the bot counts as a plain one.

Source: https://docs.discord.com/developers/resources/channel
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from portico.channels.discord.client import Api
from portico.channels.discord.troubles import told

MOST_PLACES = 20_000
MOST_ROLES = 500
THREADS = frozenset({10, 11, 12})
SPOKEN_IN = THREADS | {0, 2, 5, 13}
"""Kinds of channels that hold messages: text, voice, announcements, stages, threads."""

T = TypeVar("T")


class Newest(Generic[T]):
    """A table that forgets what was used longest ago."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str) -> T | None:
        """Return what is held."""
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def put(self, key: str, value: T) -> None:
        """Hold something."""
        self._held[key] = value
        self._held.move_to_end(key)
        while len(self._held) > self._most:
            self._held.popitem(last=False)

    def drop(self, key: str) -> T | None:
        """Forget something; return it."""
        return self._held.pop(key, None)

    def names(self) -> tuple[str, ...]:
        """Return the keys, the newest last."""
        return tuple(self._held)


@dataclass(frozen=True, slots=True)
class Place:
    """One channel or thread of a server.

    Attributes:
        kind: Discord's number of the type.
        last_message_id: as far as it was told.
    """

    id: str
    kind: int
    guild_id: str | None
    parent_id: str | None
    name: str
    last_message_id: int = 0

    @property
    def is_thread(self) -> bool:
        """Whether it belongs to a channel."""
        return self.kind in THREADS


def place_of(raw: Mapping[str, Any], guild_id: str | None) -> Place:
    """Read a channel object."""
    return Place(
        str(raw["id"]),
        int(raw.get("type", 0)),
        str(raw.get("guild_id") or guild_id or "") or None,
        str(raw["parent_id"]) if raw.get("parent_id") else None,
        str(raw.get("name") or ""),
        int(raw.get("last_message_id") or 0),
    )


class Places:
    """The channels and roles a bot knows of."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._places: Newest[Place] = Newest(MOST_PLACES)
        self._own_roles: Newest[frozenset[str]] = Newest(MOST_ROLES)
        self.bot_id = ""

    def learn_guild(self, raw: Mapping[str, Any]) -> list[Place]:
        """Take in a server; return its channels and threads where people write."""
        guild_id = str(raw["id"])
        found = self._learn([*raw.get("channels", ()), *raw.get("threads", ())], guild_id)
        for member in raw.get("members", ()):
            if member.get("user", {}).get("id") == self.bot_id:
                self._own_roles.put(guild_id, frozenset(map(str, member.get("roles", ()))))
        return [place for place in found if place.kind in SPOKEN_IN]

    def learn(self, raw: Mapping[str, Any]) -> None:
        """Take in a channel or a thread."""
        self._learn([raw], None)

    def learn_own_roles(self, guild_id: str, roles: Iterable[str | int]) -> None:
        """Take in the bot's roles in a server."""
        self._own_roles.put(guild_id, frozenset(map(str, roles)))

    def forget(self, channel_id: str) -> None:
        """A channel is gone."""
        self._places.drop(channel_id)

    def _learn(self, raws: Iterable[Mapping[str, Any]], guild_id: str | None) -> list[Place]:
        found = [place_of(raw, guild_id) for raw in raws]
        for place in found:
            self._places.put(place.id, place)
        return found

    async def place(self, channel_id: str, guild_id: str | None) -> Place:
        """Return a channel of a server, asked for if need be.

        Raises:
            Unreachable: it is not known whether it is a thread, and of which channel.
        """
        if (known := self._places.get(channel_id)) is not None:
            return known
        found = await told(lambda: self._api.get_channel(channel_id))
        if found is None:
            return Place(channel_id, 0, guild_id, None, "")
        place = place_of(found, guild_id)
        self._places.put(place.id, place)
        return place

    def name_of(self, channel_id: str) -> str | None:
        """Return a channel's name, if it is known."""
        place = self._places.get(channel_id)
        return place.name if place is not None and place.name else None

    async def own_roles(self, guild_id: str) -> frozenset[str]:
        """Return the bot's roles in a server. Raises as `place`."""
        if (known := self._own_roles.get(guild_id)) is not None:
            return known
        member = await told(lambda: self._api.get_member(guild_id, self.bot_id))
        self.learn_own_roles(guild_id, member["roles"] if member else ())
        return self._own_roles.get(guild_id) or frozenset()
