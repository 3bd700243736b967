"""Messages that were written while nobody listened, fetched.

Theory of operation: a resumed session tells what was missed. A new one does not: then each known
conversation is asked for its messages after the last one that is on disk, before anything new of it
is taken in. Servers say with each channel which message is the newest, so only those with news are
asked; one-to-one conversations are known from the cursor.

Guarantees: bounded in conversations, messages and age; what is left out for that is recorded as an
event. What was taken in before comes again and is known by its key.

Not here: what happened to messages meanwhile (edits, reactions), commands used meanwhile, and the
first words of a person who never wrote before: Discord does not tell them afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from portico.channels.discord.client import Api
from portico.channels.discord.config import DiscordAccount
from portico.channels.discord.inbound import missed
from portico.channels.discord.places import Newest, Place
from portico.channels.discord.progress import Entry
from portico.channels.discord.reading import Reader, Told
from portico.channels.discord.troubles import told
from portico.config.sections.channels import EVERY_GROUP

MOST_CHANNELS = 200
MOST_MESSAGES = 500
PAGE = 100
MOST_MEMBERS = 200
AT_ONCE = 5


class History:
    """Fetches what one new session does not tell."""

    def __init__(self, api: Api, reader: Reader, config: DiscordAccount, *, after: int) -> None:
        """Prepare to fetch messages with ids above `after`."""
        self._api = api
        self._reader = reader
        self._config = config
        self._after = after
        self._asked = 0
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._roles: Newest[tuple[str, ...]] = Newest(MOST_MEMBERS)

    def has_news(self, place: Place) -> bool:
        """Whether something was written in a channel that people may use."""
        return place.last_message_id > self._after and self._is_allowed(place)

    def _is_allowed(self, place: Place) -> bool:
        if self._config.group_policy == "disabled":
            return False
        rules = self._config.rules_of_groups
        for name in (place.id, place.parent_id, place.guild_id, EVERY_GROUP):
            if name is not None and (found := rules.get(name)) is not None:
                return found.enabled
        return False

    async def fetch(self, channel_id: str, guild_id: str | None, entry: Entry, key: str) -> None:
        """Take in what was written in a conversation.

        Raises:
            Unreachable: it cannot be asked for now.
        """
        self._asked += 1
        if self._asked > MOST_CHANNELS:
            await self._leave_out(channel_id, key, f"more than {MOST_CHANNELS} conversations")
            return
        after = self._after
        for _ in range(MOST_MESSAGES // PAGE):
            page = await self._page(channel_id, after)
            if page is None:
                await self._leave_out(channel_id, key, "Discord does not show them to the bot")
                return
            for raw in page:
                await self._take(raw, guild_id, entry, f"{key}:{raw['id']}")
                after = int(raw["id"])
            if len(page) < PAGE:
                return
        await self._leave_out(channel_id, key, f"more than {MOST_MESSAGES} messages")

    async def _page(self, channel_id: str, after: int) -> list[dict[str, Any]] | None:
        """Return the next messages, the oldest first; `None`: they are not for this bot."""

        async def ask() -> Any:
            async with self._turn:
                return await self._api.logs_from(channel_id, PAGE, after=after)

        found: list[dict[str, Any]] | None = await told(ask)
        return None if found is None else sorted(found, key=lambda raw: int(raw["id"]))

    async def _take(
        self, raw: Mapping[str, Any], guild_id: str | None, entry: Entry, key: str
    ) -> None:
        roles = None if guild_id is None else await self._roles_of(raw, guild_id)
        own = Entry(entry.sequence)  # the whole counts only when the last of it is done
        told = Told("MESSAGE_CREATE", raw, own, key, guild_id=guild_id, roles=roles)
        await self._reader.take(told)
        if own.message_id is not None:
            entry.message_id = max(entry.message_id or 0, own.message_id)

    async def _roles_of(self, raw: Mapping[str, Any], guild_id: str) -> tuple[str, ...]:
        """Return what an author is in a server: the history does not say."""
        author = raw.get("author") or {}
        who = f"{guild_id}:{author.get('id')}"
        if (known := self._roles.get(who)) is not None:
            return known
        roles: tuple[str, ...] = ()
        if not author.get("bot") and not raw.get("webhook_id"):
            member = await told(lambda: self._api.get_member(guild_id, author.get("id", "0")))
            roles = tuple(map(str, member["roles"])) if member else ()  # none for who has left
        self._roles.put(who, roles)
        return roles

    async def _leave_out(self, channel_id: str, key: str, why: str) -> None:
        await self._reader.record(missed(channel_id, key=f"{key}:missed:{channel_id}", why=why))
