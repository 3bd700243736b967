"""Taking in what people wrote and did: built from Discord's objects, then stored.

Guarantees: whatever cannot be understood is recorded as it came; a message is on disk when `take`
returns; a command is acknowledged to Discord after that.

Not here: which event is what (channel.py), what was missed (history.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from portico.channels.admission import Verdict
from portico.channels.contract import AccountContext
from portico.channels.discord.config import DiscordAccount
from portico.channels.discord.files import attachments
from portico.channels.discord.inbound import WRITTEN, Where, asked, event, inbound, unknown
from portico.channels.discord.interactions import COMMAND, Interactions, said_with
from portico.channels.discord.places import Newest, Places
from portico.channels.discord.progress import Entry
from portico.channels.model import ChannelEvent, InboundMessage
from portico.fetch import Fetcher

log = structlog.get_logger()

ODD = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What a payload that is not as documented raises here."""
Raw = Mapping[str, Any]
_CHANNEL = re.compile(r"<#(\d{1,20})>")


@dataclass(frozen=True, slots=True)
class Told:
    """What the gateway, or the history, told.

    Attributes:
        key: names the event when it has no id of its own.
        guild_id: of a message from the history, which does not say it.
        roles: of its author, likewise.
    """

    name: str
    raw: Raw
    entry: Entry
    key: str
    guild_id: str | None = None
    roles: tuple[str, ...] | None = None


class Reader:
    """Takes in messages, commands and events of one account."""

    def __init__(
        self,
        ctx: AccountContext,
        *,
        places: Places,
        interactions: Interactions,
        fetcher: Fetcher,
        direct: Newest[None],
        cursor: Callable[[], str],
    ) -> None:
        self._ctx = ctx
        self._config: DiscordAccount = ctx.config
        self._places = places
        self._interactions = interactions
        self._fetcher = fetcher
        self._direct = direct
        self._cursor = cursor
        self._bytes = int(self._config.media_max_mb * 1024 * 1024)
        self.bot_id = ""

    async def take(self, told: Told) -> None:
        """Take in a message somebody wrote."""
        try:
            message = await self._message(told)
            message_id = int(told.raw["id"])
        except ODD as error:
            await self._odd(told, error)
            return
        if message is None:
            return
        if message.peer.kind == "direct":
            self._direct.put(str(told.raw["channel_id"]), None)
        if message.text or message.attachments:
            await self._ctx.receive(message, cursor=self._cursor())
        else:  # a bare embed, or a text Discord does not show to this bot
            await self.note(replace(told, name="MESSAGE_CREATE without content"))
        told.entry.message_id = message_id

    async def _message(self, told: Told) -> InboundMessage | None:
        raw = told.raw
        if str(raw["author"]["id"]) == self.bot_id:
            return None
        if raw.get("type", 0) not in WRITTEN:
            await self.note(told)
            return None
        where = await self._where(told)
        message = inbound(raw, where, files=())
        if (raw["author"].get("bot") or raw.get("webhook_id")) and not self._answers_bots(message):
            await self.note(replace(told, name="MESSAGE_CREATE by a bot"))
            return None
        found = raw.get("attachments", ())
        if not found:
            return message
        most = self._bytes if await self._ctx.is_wanted(message) else 0
        files = await attachments(found, fetcher=self._fetcher, max_bytes=most)
        return inbound(raw, where, files=files)

    def _answers_bots(self, message: InboundMessage) -> bool:
        wanted = self._config.allow_bots
        return wanted is True or (wanted == "mentions" and bool(message.mentioned))

    async def use(self, told: Told) -> None:
        """Take in the use of a command, and tell Discord that it was seen."""
        try:
            wanted = self._config.slash_command
            text = said_with(told.raw, wanted.name) if wanted.enabled else None
            message = None if text is None else await self._asked(told, text)
            use = self._interactions.begin(told.raw) if told.raw["type"] == COMMAND else None
        except ODD as error:
            await self._odd(told, error)
            return
        if message is None or use is None:
            await self.note(told)
            if use is not None:
                await self._interactions.decline(use)
            return
        if message.peer.kind == "direct":
            self._direct.put(str(told.raw["channel_id"]), None)
        received = await self._ctx.receive(message, cursor=self._cursor())
        if received.duplicate:  # answered before, or with a plain message
            if not use.acknowledged.is_set():
                self._interactions.forget(use)
        elif received.verdict is Verdict.ADMIT:
            await self._interactions.defer(use)
        else:
            await self._interactions.decline(use)

    async def _asked(self, told: Told, text: str) -> InboundMessage:
        raw = told.raw
        channel = raw.get("channel")
        if raw.get("guild_id") and isinstance(channel, Mapping) and "type" in channel:
            self._places.learn({**channel, "guild_id": raw["guild_id"]})
        return asked(raw, await self._where(told), text=text)

    async def note(self, told: Told) -> None:
        """Record what is no message."""
        try:
            noted = event(told.name, told.raw, key=told.key)
        except ODD as error:
            await self._odd(told, error)
            return
        await self.record(noted)

    async def record(self, noted: ChannelEvent) -> None:
        """Record an event."""
        await self._ctx.note(noted, cursor=self._cursor())

    async def _odd(self, told: Told, error: Exception) -> None:
        log.warning("discord.event_not_understood", event_name=told.name, error=repr(error))
        await self.record(unknown(told.name, told.raw, key=told.key))

    async def _where(self, told: Told) -> Where:
        raw = told.raw
        channel_id = str(raw["channel_id"])
        given = raw.get("guild_id") or told.guild_id
        if not given:
            return Where(channel_id, self.bot_id)
        guild_id, roles = str(given), told.roles
        if roles is None:
            roles = tuple(map(str, (raw.get("member") or {}).get("roles", ())))
        is_role_named = bool(raw.get("mention_roles"))
        return Where(
            channel_id,
            self.bot_id,
            guild_id=guild_id,
            place=await self._places.place(channel_id, guild_id),
            own_roles=await self._places.own_roles(guild_id) if is_role_named else frozenset(),
            roles=roles,
            names=self._names(str(raw.get("content") or "")),
        )

    def _names(self, content: str) -> dict[str, str]:
        known = ((found, self._places.name_of(found)) for found in _CHANNEL.findall(content))
        return {f"#{found}": f"#{name}" for found, name in known if name is not None}
