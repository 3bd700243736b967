"""What a Matrix account does: send, show an answer while it grows, edit, react, ask.

Guarantees: every event of a delivery goes out with a transaction id made of the delivery's id, so
the same delivery again is the same events; a preview becomes the final message by an edit, and is
kept until that has worked; nothing goes out unencrypted into an encrypted room.

Source: https://spec.matrix.org/latest/client-server-api/#transaction-identifiers
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from portico.channels.contract import (
    AccountContext,
    ChannelError,
    DirectoryEntry,
    Outgoing,
    OutgoingPoll,
    RateLimited,
    Receipt,
    Rejected,
    Transient,
)
from portico.channels.matrix.config import MatrixAccount
from portico.channels.matrix.content import (
    POLL,
    edited,
    file_content,
    poll_content,
    relation,
    text_content,
)
from portico.channels.matrix.homeserver import Homeserver
from portico.channels.matrix.inbound import ROOM
from portico.channels.matrix.rooms import Rooms
from portico.channels.matrix.troubles import Trouble, classified
from portico.channels.media import MediaUnavailable, OutgoingFile, load
from portico.channels.model import ReplyRoute
from portico.fetch import Fetcher

log = structlog.get_logger()

MESSAGE = "m.room.message"
TYPING_S = 10.0
EDIT_EVERY_S = 2.0
"""Homeservers count edits as messages, and take few per second."""
MAX_OWN = 2_000
MAX_PREVIEWS = 500
_CLEAR = "the room is encrypted, and encryption is off for this account"


@dataclass(slots=True)
class Preview:
    """An answer that is shown while it grows."""

    room_id: str
    event_id: str
    text: str
    due_s: float


class MatrixSender:
    """The sending side of one account."""

    def __init__(
        self, ctx: AccountContext, home: Homeserver, rooms: Rooms, fetcher: Fetcher
    ) -> None:
        self._ctx = ctx
        self._config: MatrixAccount = ctx.config
        self._home = home
        self._rooms = rooms
        self._fetcher = fetcher
        self._previews: OrderedDict[str, Preview] = OrderedDict()
        self._edits = 0
        self._own: OrderedDict[str, None] = OrderedDict()
        self._bytes = int(self._config.media_max_mb * 1024 * 1024)

    async def send(self, message: Outgoing) -> Receipt:
        """Send one message; its files follow it, or are named in it.

        Raises:
            ChannelError: see `troubles.classified`.
        """
        try:
            return await self._send(message)
        except Trouble as trouble:
            raise classified(trouble) from trouble

    async def _send(self, message: Outgoing) -> Receipt:
        files, text = await self._files(message)
        if not (text or files):
            raise Rejected("the message is empty")
        room_id = await self._room(message.route)
        tie = relation(message.route, quotes=self._config.quotes)
        sent = await self._text(message, room_id, text, tie) if text else None
        for number, file in enumerate(files):
            event_id = await self._file(room_id, file, tie, f"{message.delivery_id}.{number}")
            sent = sent or event_id
        if not text:
            await self.drop_preview(message.run_id or "")
        self._previews.pop(message.run_id or "", None)
        return Receipt(sent or "", {ROOM: room_id})

    async def _text(self, message: Outgoing, room_id: str, text: str, tie: dict[str, Any]) -> str:
        """Send a text, in its preview's place if there is one."""
        preview = self._previews.get(message.run_id or "")
        is_edit = preview is not None and preview.room_id == room_id

        def content(*, is_formatted: bool) -> dict[str, Any]:
            fresh = text_content(text, is_formatted=is_formatted)
            if preview is not None and is_edit:
                return edited(preview.event_id, fresh)
            return {**fresh, "m.relates_to": tie} if tie else fresh

        try:
            sent = await self._put(room_id, content(is_formatted=True), message.delivery_id)
        except Trouble as trouble:
            if trouble.code != "M_TOO_LARGE":
                raise
            sent = await self._put(room_id, content(is_formatted=False), message.delivery_id)
        return preview.event_id if preview is not None and is_edit else sent

    async def _files(self, message: Outgoing) -> tuple[list[OutgoingFile], str]:
        found: list[OutgoingFile] = []
        text = message.text
        for url in message.media:
            try:
                found.append(await load(url, fetcher=self._fetcher, max_bytes=self._bytes))
            except MediaUnavailable as error:
                text = f"{text}\n\n[a file is missing: {error}]".strip()
        return found, text

    async def _file(self, room_id: str, file: OutgoingFile, tie: dict[str, Any], txn: str) -> str:
        mxc, secret = await self._home.upload(
            file.content,
            mime_type=file.mime_type,
            name=file.name,
            encrypted=self._home.encrypts and self._is_encrypted(room_id),
        )
        content = file_content(file, mxc=mxc, secret=secret)
        return await self._put(room_id, {**content, "m.relates_to": tie} if tie else content, txn)

    async def _put(
        self, room_id: str, content: dict[str, Any], txn: str, *, kind: str = MESSAGE
    ) -> str:
        if self._is_encrypted(room_id) and not self._home.encrypts:
            raise Rejected(_CLEAR)
        event_id = await self._home.send(room_id, kind, content, txn)
        self._remember(event_id)
        return event_id

    def _remember(self, event_id: str) -> None:
        self._own[event_id] = None
        if len(self._own) > MAX_OWN:
            self._own.popitem(last=False)

    def _is_encrypted(self, room_id: str) -> bool:
        view = self._home.room(room_id)
        return view is not None and view.is_encrypted

    async def _room(self, route: ReplyRoute) -> str:
        """Return the room a route leads to; for somebody never met, a new one."""
        known = route.context.get(ROOM)
        if isinstance(known, str):
            return known
        to = route.peer.id
        if to.startswith("@"):
            return await self._with_person(to)
        if to.startswith("#"):
            return await self._home.resolve(to)
        if to.startswith("!"):
            return to
        raise Rejected("a room's id (!…), its alias (#…) or a user's id (@…) is needed")

    async def _with_person(self, user_id: str) -> str:
        try:
            return await self._rooms.with_person(user_id)
        except TimeoutError:
            raise Transient(f"the new room with {user_id} is not there yet") from None

    # -- while it grows --------------------------------------------------------------------------

    async def preview(self, route: ReplyRoute, run_id: str, text: str) -> None:
        """Show an answer's text so far, as plain text.

        Raises:
            ChannelError: see `troubles.classified`; `RateLimited` before its time.
        """
        now_s = self._ctx.clock.monotonic_s()
        known = self._previews.get(run_id)
        if known is not None and now_s < known.due_s:
            raise RateLimited("not yet", retry_after_s=known.due_s - now_s)
        shown = text[: self._text_limit()]
        try:
            if known is None:
                await self._begin_preview(route, run_id, shown)
            elif known.text != shown:
                content = edited(known.event_id, text_content(shown, is_formatted=False))
                self._edits += 1
                txn = f"{run_id}.{self._ctx.generation}.{self._edits}"
                await self._put(known.room_id, content, txn)
                known.text, known.due_s = shown, now_s + EDIT_EVERY_S
        except Trouble as trouble:
            raise classified(trouble) from trouble

    async def _begin_preview(self, route: ReplyRoute, run_id: str, text: str) -> None:
        room_id = await self._room(route)
        tie = relation(route, quotes=self._config.quotes)
        content = text_content(text, is_formatted=False)
        event_id = await self._put(
            room_id, {**content, "m.relates_to": tie} if tie else content, f"{run_id}.preview"
        )
        due_s = self._ctx.clock.monotonic_s() + EDIT_EVERY_S
        self._previews[run_id] = Preview(room_id, event_id, text, due_s)
        if len(self._previews) > MAX_PREVIEWS:
            self._previews.popitem(last=False)

    def _text_limit(self) -> int:
        return self._config.text_chunk_limit or 4000

    async def drop_preview(self, run_id: str) -> None:
        """Take a preview back."""
        known = self._previews.pop(run_id, None)
        if known is None:
            return
        try:
            await self._home.redact(known.room_id, known.event_id, f"{run_id}.drop")
        except Trouble as trouble:
            log.warning("matrix.preview_stays", error=str(trouble))

    # -- besides ---------------------------------------------------------------------------------

    async def edit(self, route: ReplyRoute, message_id: str, text: str) -> None:
        """Change a message's text."""
        self._edits += 1
        txn = f"edit.{self._ctx.generation}.{self._ctx.clock.now_ms()}.{self._edits}"
        try:
            room_id = await self._room(route)
            await self._put(room_id, edited(message_id, text_content(text)), txn)
        except Trouble as trouble:
            raise classified(trouble) from trouble

    async def delete(self, route: ReplyRoute, message_id: str) -> None:
        """Take a message back: the account's own, or others' where it may."""
        try:
            room_id = await self._room(route)
            await self._home.redact(room_id, message_id, f"delete.{message_id[1:]}")
        except Trouble as trouble:
            raise classified(trouble) from trouble

    async def react(
        self, route: ReplyRoute, message_id: str, emoji: str, *, remove: bool = False
    ) -> None:
        """Add a reaction, or take it back."""
        try:
            room_id = await self._room(route)
            if remove:
                await self._unreact(room_id, message_id, emoji)
                return
            tie = {"rel_type": "m.annotation", "event_id": message_id, "key": emoji}
            txn = f"react.{self._ctx.clock.now_ms()}.{message_id[1:]}"
            await self._home.send(room_id, "m.reaction", {"m.relates_to": tie}, txn)
        except Trouble as trouble:
            if trouble.code == "M_DUPLICATE_ANNOTATION":
                return
            raise classified(trouble) from trouble

    async def _unreact(self, room_id: str, message_id: str, emoji: str) -> None:
        for reaction in await self._home.reactions_to(room_id, message_id):
            key = ((reaction.get("content") or {}).get("m.relates_to") or {}).get("key")
            if reaction.get("sender") == self._home.user_id and key == emoji:
                event_id = str(reaction["event_id"])
                await self._home.redact(room_id, event_id, f"unreact.{event_id[1:]}")

    async def typing(self, route: ReplyRoute, *, on: bool) -> None:
        """Show for some seconds that an answer is being written, or stop showing it."""
        await self._best_effort("typing", self._typing(route, on))

    async def _typing(self, route: ReplyRoute, on: bool) -> None:  # noqa: FBT001 - private
        await self._home.typing(await self._room(route), on=on, for_s=TYPING_S)

    async def mark_read(self, route: ReplyRoute, message_id: str) -> None:
        """Mark a message, and all before it, as read."""
        await self._best_effort("read", self._mark_read(route, message_id))

    async def _mark_read(self, route: ReplyRoute, message_id: str) -> None:
        thread_id = None if route.thread_id == message_id else route.thread_id
        await self._home.mark_read(await self._room(route), message_id, thread_id)

    async def _best_effort(self, what: str, call: Any) -> None:
        try:
            await call
        except (Trouble, ChannelError) as error:
            log.debug("matrix.not_shown", what=what, error=str(error))

    async def send_poll(self, poll: OutgoingPoll) -> Receipt:
        """Send a poll."""
        if poll.duration_s is not None:
            raise Rejected("polls on Matrix end when they are ended: leave the duration out")
        if poll.is_anonymous:
            raise Rejected("polls on Matrix show who has voted")
        try:
            room_id = await self._room(poll.route)
            tie = relation(poll.route, quotes=False)
            content = poll_content(poll)
            sent = await self._put(
                room_id,
                {**content, "m.relates_to": tie} if tie else content,
                poll.delivery_id,
                kind=POLL,
            )
        except Trouble as trouble:
            raise classified(trouble) from trouble
        return Receipt(sent, {ROOM: room_id, "pollId": sent})

    async def directory(self, *, query: str, limit: int) -> Sequence[DirectoryEntry]:
        """Return rooms the account is in and people it shares one with."""
        wanted = query.casefold()
        found: dict[str, DirectoryEntry] = {}
        for view in self._rooms.all():
            if not self._rooms.is_direct(view.room_id):
                found[view.room_id] = DirectoryEntry("group", view.room_id, view.name, view.alias)
            for user_id, name in view.members.items():
                if user_id != self._home.user_id:
                    found[user_id] = DirectoryEntry("user", user_id, name, user_id)
        fits = [
            one
            for one in found.values()
            if any(wanted in part.casefold() for part in (one.id, one.name or "", one.handle or ""))
        ]
        return fits[:limit]

    async def probe(self) -> Mapping[str, Any]:
        """Ask the homeserver who we are."""
        try:
            me = await self._home.whoami_again()
        except Trouble as trouble:
            return {"ok": False, "error": str(trouble)}
        return {"ok": True, "user": {"id": me.user_id, "deviceId": me.device_id}}
