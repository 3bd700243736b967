"""What a Slack app does: send, show an answer while it grows, edit, react, say that it writes.

Guarantees:
    - A message carries its delivery's id as metadata. One that may have arrived already is looked
      for in the conversation, and only sent when it is not there.
    - A preview becomes the final message; it is not sent besides.

Source: https://docs.slack.dev/reference/methods (chat.*, conversations.*, files.*, reactions.*)
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    Uncertain,
)
from portico.channels.media import MediaUnavailable, OutgoingFile, load
from portico.channels.model import ReplyRoute
from portico.channels.slack.config import SlackAccount
from portico.channels.slack.emoji import name_of
from portico.channels.slack.files import Shelf
from portico.channels.slack.inbound import Self
from portico.channels.slack.markup import to_mrkdwn
from portico.channels.slack.people import People
from portico.channels.slack.troubles import Refused, asked
from portico.clock import Clock
from portico.fetch import Fetcher

log = structlog.get_logger()

CHANNEL_ID, MESSAGE_ID = "channelId", "messageId"
MAX_UPDATE_CHARS = 4000
"""The longest text of an edit; a new message may be longer."""
EDIT_EVERY_S = 1.2
"""Slack lets an app edit some fifty times a minute."""
SETTLE_S = 1.5
"""How long a message whose answer was lost may take until it is to be seen."""
LOOK_BACK_S = 2 * 3600
FILES_LOOK_BACK_S = 600
MAX_LOOKED_AT = 1000
MAX_PREVIEWS = 200
MAX_THREADS = 1000
STATUS = "is typing…"
STATUS_EVERY_S = 60
_DELIVERY, _PREVIEW = "portico_delivery", "portico_preview"
_GONE = frozenset(
    {"message_not_found", "cant_update_message", "edit_window_closed", "msg_too_long"}
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message goes."""

    channel: str
    thread_ts: str | None = None


@dataclass(slots=True)
class Preview:
    """An answer that is shown while it grows.

    Attributes:
        ts: empty when Slack's answer was lost: then it may be there, or not.
    """

    place: Place
    ts: str
    shown: str = ""


@dataclass(slots=True)
class Found:
    """What of a delivery is there already."""

    ts: str | None = None
    preview_ts: str | None = None
    file_ts: dict[str, str] = field(default_factory=dict)  # by the file's name


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
        self._bytes = int(config.media_max_mb * 1024 * 1024)
        self._shelf: Shelf | None = None
        self._previews: dict[str, Preview] = {}
        self._edit_due_s = 0.0
        self._shows_status = True
        self._status_due_s: dict[Place, float] = {}
        self._marked: set[tuple[str, str]] = set()
        self._threads: dict[tuple[str, str], None] = {}  # where the app has spoken, oldest first

    # -- messages --------------------------------------------------------------------------------

    async def send(self, message: Outgoing) -> Receipt:
        """Send one message; its files follow it.

        Raises:
            ChannelError: see `troubles.classified`.
        """
        files, text = await self._files(message)
        place = await self._place(message.route)
        known = self._previews.get(message.run_id or "")
        is_lost = known is not None and not known.ts
        looks = message.may_have_arrived or is_lost
        found = await self._look(place, message) if looks else Found()
        if known is None or is_lost:
            known = Preview(place, found.preview_ts) if found.preview_ts else None
        ts = found.ts
        if ts is None and text:
            ts = await self._say(place, text, message.delivery_id, known)
        elif known is not None and ts != known.ts:
            await self._take_back(known)
        for file in files:
            sent = found.file_ts.get(file.name) or await self._attach(place, file)
            ts = ts or sent
        if ts is None:
            raise Rejected("the message is empty")
        self._previews.pop(message.run_id or "", None)
        self._spoke_in(place)
        return Receipt(ts, {CHANNEL_ID: place.channel})

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
        metadata = {"event_type": _DELIVERY, "event_payload": {"id": delivery_id}}
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

    async def _attach(self, place: Place, file: OutgoingFile) -> str:
        """Share a file; return its id: Slack does not tell that of its message."""
        if self._shelf is None:
            raise NotReady("not connected")
        file_id = await self._shelf.upload(self._client, file)
        await asked(
            self._client.files_completeUploadExternal(
                files=[{"id": file_id, "title": file.name}],
                channel_id=place.channel,
                thread_ts=place.thread_ts,
            )
        )
        return file_id

    # -- what has arrived already ----------------------------------------------------------------

    async def _look(self, place: Place, message: Outgoing) -> Found:
        """Look for a delivery; twice, before it is believed not to be there.

        Raises:
            ChannelError: it cannot be told; a refusal leaves that to a person.
        """
        found = await self._looked(place, message)
        if found.ts is None:
            await asyncio.sleep(SETTLE_S)
            found = await self._looked(place, message)
        return found

    async def _looked(self, place: Place, message: Outgoing) -> Found:
        found = Found()
        own = await self._own_messages(place)
        for one in own:
            metadata = one.get("metadata") or {}
            said = metadata.get("event_payload") or {}
            kind = metadata.get("event_type")
            if kind == _DELIVERY and said.get("id") == message.delivery_id:
                found.ts = str(one["ts"])
            elif kind == _PREVIEW and message.run_id and said.get("runId") == message.run_id:
                found.preview_ts = str(one["ts"])
        if message.media and (found.ts or not message.text):
            # They carry no metadata: told by their names, after the text, or lately.
            since_s = float(found.ts or self._clock.now_ms() / 1000 - FILES_LOOK_BACK_S)
            recent = (one for one in own if float(one["ts"]) > since_s)
            found.file_ts = {
                str(file.get("name")): str(one["ts"])
                for one in recent
                for file in one.get("files") or ()
            }
        return found

    async def _own_messages(self, place: Place) -> list[dict[str, Any]]:
        """Return what the app said lately where a message goes, with its metadata."""
        oldest = f"{self._clock.now_ms() / 1000 - LOOK_BACK_S:.6f}"
        more: dict[str, Any] = {"oldest": oldest, "include_all_metadata": True, "limit": 200}
        found: list[dict[str, Any]] = []
        while len(found) < MAX_LOOKED_AT:
            call = (
                self._client.conversations_history(channel=place.channel, **more)
                if place.thread_ts is None
                else self._client.conversations_replies(
                    channel=place.channel, ts=place.thread_ts, **more
                )
            )
            page = await asked(call, reading=True)
            found += [one for one in page.get("messages") or () if isinstance(one, dict)]
            more["cursor"] = (page.get("response_metadata") or {}).get("next_cursor")
            if not more["cursor"]:
                return [one for one in found if one.get("user") == self._me.user_id]
        raise Rejected("too much was said there to tell whether the message has arrived")

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
        await asked(self._client.chat_update(channel=known.place.channel, ts=known.ts, text=shown))
        known.shown = shown

    async def _begin_preview(self, route: ReplyRoute, run_id: str, text: str) -> Preview:
        place = await self._place(route)
        metadata = {"event_type": _PREVIEW, "event_payload": {"runId": run_id}}
        try:
            ts = await self._post(place, text, metadata)
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
        place, message_id = await self._place(route), route.context.get(MESSAGE_ID)
        if self._config.typing_reaction and message_id:
            await self._mark(place.channel, str(message_id), on=on)
        if place.thread_ts is not None and self._is_status_due(place, on=on):
            await self._set_status(place, STATUS if on else "")

    def _is_status_due(self, place: Place, *, on: bool) -> bool:
        """Whether Slack must be told: it shows a status for two minutes, if nothing is said."""
        now_s = self._clock.monotonic_s()
        due_s = self._status_due_s.pop(place, 0.0)
        if not on or not self._shows_status:
            return due_s > 0
        self._status_due_s[place] = due_s if now_s < due_s else now_s + STATUS_EVERY_S
        return now_s >= due_s

    async def _set_status(self, place: Place, status: str) -> None:
        try:
            await asked(
                self._client.assistant_threads_setStatus(
                    channel_id=place.channel, thread_ts=str(place.thread_ts), status=status
                )
            )
        except Refused as error:  # this app may not, or this workspace has no such thing
            self._shows_status = False
            self._status_due_s.clear()
            log.info("slack.status_not_shown", error=str(error))

    async def _mark(self, channel: str, ts: str, *, on: bool) -> None:
        if on is ((channel, ts) in self._marked):
            return
        (self._marked.add if on else self._marked.discard)((channel, ts))
        await self._react(channel, ts, str(self._config.typing_reaction), remove=not on)

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
        await self._react(place.channel, message_id, name, remove=remove)

    async def _react(self, channel: str, ts: str, name: str, *, remove: bool) -> None:
        change = self._client.reactions_remove if remove else self._client.reactions_add
        try:
            await asked(change(channel=channel, timestamp=ts, name=name))
        except Refused as error:
            if error.code not in {"already_reacted", "no_reaction"}:
                raise

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
