"""What a Slack app does: send, show an answer while it grows, edit, react, say that it writes.

Guarantees:
    - A message carries its delivery's id as metadata. One that may have arrived already is looked
      for in the conversation, and only sent when it is not there.
    - A preview becomes the final message; it is not sent besides.

Source: https://docs.slack.dev/reference/methods (chat.*, conversations.*, files.*, reactions.*)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from portico.channels.contract import (
    ChannelError,
    DirectoryEntry,
    NotReady,
    Outgoing,
    RateLimited,
    Receipt,
    Rejected,
    Transient,
    Uncertain,
)
from portico.channels.media import MediaUnavailable, OutgoingFile, load
from portico.channels.model import ReplyRoute
from portico.channels.slack.config import SlackAccount
from portico.channels.slack.emoji import name_of
from portico.channels.slack.files import Shelf
from portico.channels.slack.inbound import Self
from portico.channels.slack.looking import (
    Found,
    Lookout,
    Place,
    delivery_metadata,
    preview_metadata,
)
from portico.channels.slack.markup import to_mrkdwn
from portico.channels.slack.people import People
from portico.channels.slack.presence import Presence, react
from portico.channels.slack.troubles import Refused, asked
from portico.clock import Clock
from portico.fetch import Fetcher

log = structlog.get_logger()

CHANNEL_ID, MESSAGE_ID = "channelId", "messageId"
MAX_UPDATE_CHARS = 4000
"""The longest text of an edit; a new message may be longer."""
EDIT_EVERY_S = 1.2
"""Slack lets an app edit some fifty times a minute."""
MAX_PREVIEWS = 200
MAX_THREADS = 1000
_GONE = frozenset(
    {"message_not_found", "cant_update_message", "edit_window_closed", "msg_too_long"}
)


@dataclass(slots=True)
class Preview:
    """An answer that is shown while it grows.

    Attributes:
        ts: empty when Slack's answer was lost: then it may be there, or not.
    """

    place: Place
    ts: str
    shown: str = ""


class SlackSender:
    """The sending side of one app."""

    def __init__(
        self, client: AsyncWebClient, config: SlackAccount, fetcher: Fetcher, clock: Clock
    ) -> None:
        self._client = client
        self._config = config
        self._fetcher = fetcher
        self._clock = clock
        self._me = Self("", None, "")
        self._people = People(client)
        self._lookout = Lookout(client, clock)
        self._presence = Presence(client, clock, reaction=config.typing_reaction)
        self._bytes = int(config.media_max_mb * 1024 * 1024)
        self._shelf: Shelf | None = None
        self._previews: dict[str, Preview] = {}
        self._edit_due_s = 0.0
        self._threads: dict[tuple[str, str], None] = {}  # where the app has spoken, oldest first

    # -- messages --------------------------------------------------------------------------------

    async def send(self, message: Outgoing) -> Receipt:
        """Send one message; its files follow it.

        Raises:
            ChannelError: see `troubles.classified`.
        """
        files, text = await self._files(message)
        if not files and not text:
            raise Rejected("the message is empty")
        place = await self._place(message.route)
        preview, found = await self._known(place, message)
        ids = [found.ts] if found.ts else []
        if text and not ids:
            ids = [await self._say(place, text, message.delivery_id, preview)]
        elif preview is not None and preview.ts not in ids:
            await self._take_back(preview)
        for file in files:
            ids.append(found.file_ts.get(file.name) or await self._attach(place, file, after=ids))
        self._previews.pop(message.run_id or "", None)
        self._spoke_in(place)
        return Receipt(ids[0], {CHANNEL_ID: place.channel})

    async def _known(self, place: Place, message: Outgoing) -> tuple[Preview | None, Found]:
        """Return the message's preview, and what of it has arrived already."""
        preview = self._previews.get(message.run_id or "")
        is_lost = preview is not None and not preview.ts
        if not message.may_have_arrived and not is_lost:
            return preview, Found()
        found = await self._lookout.look(place, message, own_id=self._me.user_id)
        if preview is None or is_lost:
            preview = Preview(place, found.preview_ts) if found.preview_ts else None
        return preview, found

    async def _files(self, message: Outgoing) -> tuple[list[OutgoingFile], str]:
        found: list[OutgoingFile] = []
        text = message.text
        for url in message.media:
            try:
                found.append(await load(url, fetcher=self._fetcher, max_bytes=self._bytes))
            except MediaUnavailable as error:
                text = f"{text}\n\n[a file is missing: {error}]".strip()
        return found, text

    async def _place(self, route: ReplyRoute) -> Place:
        channel = str(route.context.get(CHANNEL_ID) or route.peer.id)
        if channel[:1] in {"U", "W"}:
            channel = await self._people.direct(channel)
        thread_ts = route.thread_id or route.context.get("replyToId")
        if thread_ts is None and self._config.replies_in_thread(route.peer.kind):
            thread_ts = route.context.get(MESSAGE_ID)
        return Place(channel, thread_ts)

    async def _say(self, place: Place, text: str, delivery_id: str, preview: Preview | None) -> str:
        shown = to_mrkdwn(text) or text
        metadata = delivery_metadata(delivery_id)
        if preview is not None:
            if await self._finish(preview, shown, metadata):
                return preview.ts
            await self._take_back(preview)
        return await self._post(place, shown, metadata)

    async def _post(self, place: Place, text: str, metadata: dict[str, Any]) -> str:
        sent = await asked(
            self._client.chat_postMessage(
                channel=place.channel,
                text=text,
                thread_ts=place.thread_ts,
                metadata=metadata,
                unfurl_links=self._config.unfurl_links,
                unfurl_media=self._config.unfurl_media,
            )
        )
        return str(sent.get("ts"))

    async def _finish(self, preview: Preview, text: str, metadata: dict[str, Any]) -> bool:
        """Make a preview the final message; `False` when it must be sent anew."""
        if len(text) > MAX_UPDATE_CHARS:
            return False
        try:
            await asked(
                self._client.chat_update(
                    channel=preview.place.channel, ts=preview.ts, text=text, metadata=metadata
                )
            )
        except Refused as error:
            if error.code in _GONE:
                return False
            raise
        return True

    async def _attach(self, place: Place, file: OutgoingFile, *, after: Sequence[str]) -> str:
        """Share a file; return its id: Slack does not tell that of its message.

        Args:
            after: what of the message is sent already, and would be again with another attempt.
        """
        if self._shelf is None:
            raise NotReady("not connected")
        try:
            file_id = await self._shelf.upload(self._client, file)
            await asked(
                self._client.files_completeUploadExternal(
                    files=[{"id": file_id, "title": file.name}],
                    channel_id=place.channel,
                    thread_ts=place.thread_ts,
                )
            )
        except (RateLimited, Transient) as error:
            if after:
                raise Uncertain(f"a file is missing: {error}") from error
            raise
        return file_id

    # -- what grows ------------------------------------------------------------------------------

    async def preview(self, route: ReplyRoute, run_id: str, text: str) -> None:
        """Show an answer's text so far.

        Raises:
            ChannelError: see `troubles.classified`.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._edit_due_s:
            raise RateLimited("not so fast", retry_after_s=self._edit_due_s - now_s)
        known, shown = self._previews.get(run_id), _clipped(text)
        if known is not None and (known.shown == shown or not known.ts):
            return
        self._edit_due_s = now_s + EDIT_EVERY_S
        if known is None:
            self._previews[run_id] = await self._begin_preview(route, run_id, shown)
            while len(self._previews) > MAX_PREVIEWS:
                del self._previews[next(iter(self._previews))]
            return
        await asked(
            self._client.chat_update(
                channel=known.place.channel,
                ts=known.ts,
                text=shown,
                metadata=preview_metadata(run_id),
            )
        )
        known.shown = shown

    async def _begin_preview(self, route: ReplyRoute, run_id: str, text: str) -> Preview:
        place = await self._place(route)
        try:
            ts = await self._post(place, text, preview_metadata(run_id))
        except Uncertain:  # a second one would be one too many
            ts = ""
        return Preview(place, ts, text)

    async def drop_preview(self, run_id: str) -> None:
        """Take a preview back."""
        known = self._previews.pop(run_id, None)
        if known is not None and known.ts:
            await self._take_back(known)

    async def _take_back(self, preview: Preview) -> None:
        try:
            await asked(self._client.chat_delete(channel=preview.place.channel, ts=preview.ts))
        except ChannelError as error:
            log.warning("slack.preview_stays", error=str(error))

    async def typing(self, route: ReplyRoute, *, on: bool) -> None:
        """Show that an answer is being written: a status in a thread, or a reaction."""
        message_id = route.context.get(MESSAGE_ID)
        await self._presence.show(await self._place(route), message_id, on=on)

    # -- the rest --------------------------------------------------------------------------------

    async def edit(self, route: ReplyRoute, message_id: str, text: str) -> None:
        """Change a message's text."""
        place = await self._place(route)
        shown = to_mrkdwn(text) or text
        await asked(self._client.chat_update(channel=place.channel, ts=message_id, text=shown))

    async def delete(self, route: ReplyRoute, message_id: str) -> None:
        """Delete a message of the app's own."""
        place = await self._place(route)
        await asked(self._client.chat_delete(channel=place.channel, ts=message_id))

    async def react(
        self, route: ReplyRoute, message_id: str, emoji: str, *, remove: bool = False
    ) -> None:
        """Add a reaction of the app, or take it back."""
        name = name_of(emoji)
        if name is None:
            raise Rejected(f"Slack takes an emoji's name, such as thumbsup, not {emoji!r}")
        place = await self._place(route)
        await react(self._client, place.channel, message_id, name, remove=remove)

    async def directory(self, *, query: str, limit: int) -> Sequence[DirectoryEntry]:
        """Return people and channels."""
        return await self._people.entries(query=query, limit=limit)

    async def probe(self) -> Mapping[str, Any]:
        """Ask Slack who the app is."""
        try:
            me = await asked(self._client.auth_test(), reading=True)
        except ChannelError as error:
            return {"ok": False, "error": str(error)}
        bot = {"id": me.get("user_id"), "username": me.get("user")}
        return {"ok": True, "bot": bot, "team": {"id": me.get("team_id"), "name": me.get("team")}}

    def _spoke_in(self, place: Place) -> None:
        if place.thread_ts is not None:
            self._threads[place.channel, place.thread_ts] = None
            while len(self._threads) > MAX_THREADS:
                del self._threads[next(iter(self._threads))]

    def _has_spoken_in(self, channel: str, thread_ts: str | None) -> bool:
        return thread_ts is not None and (channel, thread_ts) in self._threads


def _clipped(text: str) -> str:
    """Return the beginning of a text, formatted, as much as an edit takes."""
    room = MAX_UPDATE_CHARS - 1
    shown = to_mrkdwn(text) or text
    while len(shown) > MAX_UPDATE_CHARS:
        room = room * 9 // 10
        shown = f"{to_mrkdwn(text[:room])}…"
    return shown
