"""What a Discord bot does: send, show an answer while it grows, edit, react, ask.

Theory of operation: each message carries a nonce made from the delivery's id, and Discord returns
the message it has in place of a second one with the same nonce. It remembers nonces for a few
minutes only; when a delivery is in doubt for longer, the channel's messages since then are looked
through for it first.

Guarantees:
    - Nobody is pinged by what an agent writes: `allowed_mentions` is empty in every message.
    - A preview, or the response that a slash command waits for, becomes the final message.

Source: https://docs.discord.com/developers/resources/message#create-message
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import discord
import structlog
from discord.http import MultipartParameters, Route, handle_message_parameters
from discord.utils import MISSING

from portico.channels.contract import (
    DirectoryEntry,
    Outgoing,
    OutgoingPoll,
    Receipt,
    Rejected,
    Uncertain,
)
from portico.channels.discord.client import Api
from portico.channels.discord.config import SNOWFLAKE, DiscordAccount
from portico.channels.discord.cursor import snowflake
from portico.channels.discord.interactions import Interactions, Use
from portico.channels.discord.markup import to_discord
from portico.channels.discord.places import SPOKEN_IN, THREADS, Newest
from portico.channels.discord.troubles import TROUBLES, classified
from portico.channels.media import MediaUnavailable, OutgoingFile, load
from portico.channels.model import ReplyRoute
from portico.channels.text import split_markdown, utf16_units
from portico.clock import Clock
from portico.fetch import Fetcher

log = structlog.get_logger()

MAX_TEXT = 2000
MAX_FILES = 10
NONCE_IS_GOOD_MS = 60_000
"""Discord says "a few minutes"; counted on for less."""
CLOCKS_DIFFER_MS = 30_000
SEND_TIMEOUT_S = 25.0
MOST_KNOWN = 1_000
MOST_SERVERS = 10
HOUR_S = 3600
MAX_POLL_HOURS = 768
_ID = re.compile(SNOWFLAKE)


@dataclass(frozen=True, slots=True)
class _Part:
    """One message of Discord's."""

    content: str
    files: Sequence[OutgoingFile]
    nonce: str

    def params(self, **more: Any) -> MultipartParameters:
        """Return it as a request; files are read anew for each."""
        files = [discord.File(io.BytesIO(f.content), filename=f.name) for f in self.files]
        return handle_message_parameters(
            content=self.content,
            files=files or MISSING,
            allowed_mentions=discord.AllowedMentions.none(),
            **more,
        )

    def is_in(self, message: Mapping[str, Any]) -> bool:
        """Whether a message that was sent is this one."""
        if message.get("nonce") is not None:
            return str(message["nonce"]) == self.nonce
        names = [one.get("filename") for one in message.get("attachments", ())]
        same = str(message.get("content") or "").strip() == self.content.strip()
        return same and len(names) == len(self.files)


class DiscordSender:
    """The sending side of one bot."""

    def __init__(
        self,
        api: Api,
        config: DiscordAccount,
        *,
        interactions: Interactions,
        fetcher: Fetcher,
        clock: Clock,
    ) -> None:
        self._api = api
        self._config = config
        self._interactions = interactions
        self._fetcher = fetcher
        self._clock = clock
        self._bytes = int(config.media_max_mb * 1024 * 1024)
        self._previews: Newest[tuple[str, str, str]] = Newest(MOST_KNOWN)  # channel, message, text
        self._shown: Newest[Use] = Newest(MOST_KNOWN)
        self._direct: Newest[str] = Newest(MOST_KNOWN)
        self._sent: Newest[str] = Newest(MOST_KNOWN)
        self._quoted: Newest[str] = Newest(MOST_KNOWN)
        self.bot_id = ""

    async def send(self, message: Outgoing) -> Receipt:
        """Send one message, its files with it.

        Raises:
            ChannelError: see `troubles.classified`.
        """
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                return await self._send(message)
        except TimeoutError as error:
            raise Uncertain("Discord did not answer in time") from error
        except TROUBLES as error:
            raise classified(error) from error

    async def _send(self, message: Outgoing) -> Receipt:
        files, text = await self._files(message)
        parts = _parts(message.delivery_id, to_discord(text), files)
        if not parts:
            raise Rejected("the message is empty")
        channel_id = await self._channel_of(message.route)
        ids = [await self._first(channel_id, message, parts[0])]
        ids += [await self._post(channel_id, message, part) for part in parts[1:]]
        return Receipt(ids[0], {"channelId": channel_id, "messageIds": ids})

    async def _files(self, message: Outgoing) -> tuple[list[OutgoingFile], str]:
        found: list[OutgoingFile] = []
        text = message.text
        for url in message.media:
            try:
                found.append(await load(url, fetcher=self._fetcher, max_bytes=self._bytes))
            except MediaUnavailable as error:
                text = f"{text}\n\n[a file is missing: {error}]".strip()
        return found, text

    async def _first(self, channel_id: str, message: Outgoing, part: _Part) -> str:
        """Send the first part: it takes the place of what stands for it already."""
        asked = message.route.context.get("interactionId")
        use = await self._interactions.waiting(asked, delivery_id=message.delivery_id)
        if use is not None and (found := await self._respond(use, part)) is not None:
            return found
        known = self._previews.get(message.run_id or "")
        if known is not None and (found := await self._finish_preview(known, part)) is not None:
            self._previews.drop(message.run_id or "")
            return found
        return await self._post(channel_id, message, part, quotes=self._quotes(message))

    async def _respond(self, use: Use, part: _Part) -> str | None:
        try:
            return str((await self._interactions.answer(use, part.params()))["id"])
        except discord.HTTPException as error:
            if error.status not in {401, 404}:
                raise
            self._interactions.forget(use)  # its time was up
            return None

    async def _finish_preview(self, preview: tuple[str, str, str], part: _Part) -> str | None:
        """Make a preview the final message; `None` when it is gone and must be sent anew."""
        channel_id, message_id, _ = preview
        try:
            await self._api.edit_message(channel_id, message_id, params=part.params())
        except discord.NotFound:
            return None
        return message_id

    async def _post(
        self, channel_id: str, message: Outgoing, part: _Part, *, quotes: Any = MISSING
    ) -> str:
        found = await self._sent_before(channel_id, message, part)
        if found is None:
            params = part.params(nonce=part.nonce, message_reference=quotes)
            found = str((await self._api.send_message(channel_id, params=params))["id"])
        self._sent.put(found, part.nonce)
        return found

    async def _sent_before(self, channel_id: str, message: Outgoing, part: _Part) -> str | None:
        """Return the message an earlier attempt made, when its nonce may be forgotten."""
        since_ms = message.made_ms
        if not message.may_have_arrived or since_ms is None:
            return None
        if self._clock.now_ms() - since_ms < NONCE_IS_GOOD_MS:
            return None
        after = snowflake(since_ms - CLOCKS_DIFFER_MS)
        for one in reversed(await self._api.logs_from(channel_id, 100, after=after)):
            is_ours = str(one["author"]["id"]) == self.bot_id
            is_others = self._sent.get(str(one["id"])) not in {None, part.nonce}
            if is_ours and not is_others and part.is_in(one):
                return str(one["id"])
        return None

    def _quotes(self, message: Outgoing) -> Any:
        mode, quoted = self._config.reply_to_mode, message.route.context.get("messageId")
        if quoted is None or mode == "off":
            return MISSING
        answer = message.run_id or message.delivery_id
        if mode == "first" and self._quoted.get(answer) not in {None, message.delivery_id}:
            return MISSING
        self._quoted.put(answer, message.delivery_id)
        return {"message_id": str(quoted), "fail_if_not_exists": False}

    async def _channel_of(self, route: ReplyRoute) -> str:
        """Return the channel a conversation is in; people have one that is opened for them."""
        wanted = route.thread_id or route.peer.id.removeprefix("channel:").removeprefix("user:")
        if not _ID.match(wanted):
            raise Rejected(f"{wanted!r} is no id of Discord's")
        if route.peer.kind != "direct" or route.thread_id is not None:
            return wanted
        if _ID.match(told := str(route.context.get("channelId") or "")):
            return told
        if (known := self._direct.get(wanted)) is not None:
            return known
        opened = str((await self._api.start_private_message(wanted))["id"])
        self._direct.put(wanted, opened)
        return opened

    # -- while an answer grows -------------------------------------------------------------------

    async def preview(self, route: ReplyRoute, run_id: str, text: str) -> None:
        """Show an answer's text so far.

        Raises:
            ChannelError: see `troubles.classified`.
        """
        part = _Part(_clipped(to_discord(text)), (), _nonce(f"preview:{run_id}", 0))
        try:
            await self._show(route, run_id, part)
        except TROUBLES as error:
            raise classified(error) from error

    async def _show(self, route: ReplyRoute, run_id: str, part: _Part) -> None:
        asked = route.context.get("interactionId")
        use = await self._interactions.waiting(asked, delivery_id=None)
        known = self._previews.get(run_id)
        if use is not None:
            self._shown.put(run_id, use)
            await self._interactions.answer(use, part.params())
        elif known is None:
            channel_id = await self._channel_of(route)
            sent = await self._api.send_message(channel_id, params=part.params(nonce=part.nonce))
            self._previews.put(run_id, (channel_id, str(sent["id"]), part.content))
        elif known[2] != part.content:
            channel_id, message_id, _ = known
            await self._api.edit_message(channel_id, message_id, params=part.params())
            self._previews.put(run_id, (channel_id, message_id, part.content))

    async def drop_preview(self, run_id: str) -> None:
        """Take a preview back."""
        if (use := self._shown.drop(run_id)) is not None:
            await self._interactions.withdraw(use)
        known = self._previews.drop(run_id)
        if known is None:
            return
        try:
            await self._api.delete_message(known[0], known[1])
        except TROUBLES as error:
            log.warning("discord.preview_stays", error=type(error).__name__)

    async def typing(self, route: ReplyRoute, *, on: bool) -> None:
        """Show for ten seconds that an answer is being written."""
        if not on or route.context.get("interactionId") is not None:
            return
        try:
            await self._api.send_typing(await self._channel_of(route))
        except (*TROUBLES, Rejected) as error:
            log.debug("discord.typing_not_shown", error=type(error).__name__)

    # -- besides ---------------------------------------------------------------------------------

    async def edit(self, route: ReplyRoute, message_id: str, text: str) -> None:
        """Change a message's text."""
        part = _Part(to_discord(text), (), "")
        try:
            channel_id = await self._channel_of(route)
            await self._api.edit_message(channel_id, _id(message_id), params=part.params())
        except TROUBLES as error:
            raise classified(error) from error

    async def delete(self, route: ReplyRoute, message_id: str) -> None:
        """Delete a message: the bot's own, or others' where it may."""
        try:
            await self._api.delete_message(await self._channel_of(route), _id(message_id))
        except TROUBLES as error:
            raise classified(error) from error

    async def react(
        self, route: ReplyRoute, message_id: str, emoji: str, *, remove: bool = False
    ) -> None:
        """Add the bot's reaction, or take it back; own emoji of a server as `name:id`."""
        change = self._api.remove_own_reaction if remove else self._api.add_reaction
        try:
            await change(await self._channel_of(route), _id(message_id), emoji.strip("<>"))
        except TROUBLES as error:
            raise classified(error) from error

    async def send_poll(self, poll: OutgoingPoll) -> Receipt:
        """Send a poll; it is open for whole hours, a day unless said otherwise."""
        hours = math.ceil((poll.duration_s or 24 * HOUR_S) / HOUR_S)
        shape = {
            "question": {"text": poll.question},
            "answers": [{"poll_media": {"text": option}} for option in poll.options],
            "duration": min(max(1, hours), MAX_POLL_HOURS),
            "allow_multiselect": poll.max_selections > 1,
        }
        nonce = {"nonce": _nonce(poll.delivery_id, 0), "enforce_nonce": True}
        try:
            channel_id = await self._channel_of(poll.route)
            route = Route("POST", "/channels/{channel_id}/messages", channel_id=channel_id)
            sent = await self._api.request(route, json={"poll": shape, **nonce})
        except TROUBLES as error:
            raise classified(error) from error
        return Receipt(str(sent["id"]), {"channelId": channel_id})

    async def directory(self, *, query: str, limit: int) -> Sequence[DirectoryEntry]:
        """Return channels of the bot's servers, and members where something is asked for."""
        found: list[DirectoryEntry] = []
        try:
            for server in await self._api.get_guilds(MOST_SERVERS):
                found += await self._in_server(server["id"], server["name"], query, limit)
        except TROUBLES as error:
            raise classified(error) from error
        return found[:limit]

    async def _in_server(
        self, server_id: Any, server: str, query: str, limit: int
    ) -> list[DirectoryEntry]:
        found = [
            DirectoryEntry("channel", str(one["id"]), f"#{one['name']} ({server})")
            for one in await self._api.get_all_guild_channels(server_id)
            if one["type"] in SPOKEN_IN - THREADS
            and query.lower() in f"{one['id']} {one['name']}".lower()
        ]
        if query:
            path = "/guilds/{guild_id}/members/search"
            asked = {"query": query, "limit": max(1, min(limit, 100))}
            members = await self._api.request(Route("GET", path, guild_id=server_id), params=asked)
            for user in (member["user"] for member in members):
                name = user.get("global_name") or user["username"]
                found.append(DirectoryEntry("user", str(user["id"]), name, user["username"]))
        return found

    async def probe(self) -> Mapping[str, Any]:
        """Ask Discord who the bot is."""
        try:
            me = await self._api.request(Route("GET", "/users/@me"))
        except TROUBLES as error:
            return {"ok": False, "error": str(classified(error))}
        return {"ok": True, "bot": {"id": str(me["id"]), "username": me["username"]}}


def _parts(delivery_id: str, text: str, files: Sequence[OutgoingFile]) -> list[_Part]:
    """Return the messages a delivery becomes: most often one, with its files."""
    texts = split_markdown(text, MAX_TEXT, measure=utf16_units)
    batches = [files[at : at + MAX_FILES] for at in range(0, len(files), MAX_FILES)]
    count = max(len(texts), len(batches))
    texts += [""] * (count - len(texts))
    batches += [()] * (count - len(batches))
    return [
        _Part(content, batch, _nonce(delivery_id, number))
        for number, (content, batch) in enumerate(zip(texts, batches, strict=True))
    ]


def _nonce(delivery_id: str, number: int) -> str:
    """Return what marks a part of a delivery, in the 25 characters Discord takes."""
    digest = hashlib.sha256(delivery_id.encode()).digest()[:15]
    return f"{base64.urlsafe_b64encode(digest).decode()}.{number}"[:25]


def _clipped(text: str) -> str:
    """Return the beginning of a text that is too long for one message."""
    pieces = split_markdown(text, MAX_TEXT - 2, measure=utf16_units)
    return f"{pieces[0]} …" if len(pieces) > 1 else text


def _id(given: str) -> str:
    if not _ID.match(given):
        raise Rejected(f"{given!r} is no id of Discord's")
    return given
