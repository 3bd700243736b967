"""What a Telegram bot does: send, show an answer while it grows, edit, react, ask.

Guarantees: a text Telegram does not take as formatted goes out as it stands; a preview becomes
the final message, it is not sent besides.

Source: https://core.telegram.org/bots/api#available-methods
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from telegram import Bot, InputPollOption, LinkPreviewOptions, Message, ReplyParameters
from telegram.constants import ChatAction, ParseMode
from telegram.error import BadRequest, ChatMigrated, TelegramError

from portico.channels.contract import Outgoing, OutgoingPoll, Receipt, Rejected
from portico.channels.media import MediaUnavailable, OutgoingFile, load
from portico.channels.model import ReplyRoute
from portico.channels.telegram.config import TelegramAccount
from portico.channels.telegram.markup import to_html
from portico.channels.telegram.troubles import classified
from portico.fetch import Fetcher

log = structlog.get_logger()

MAX_UNITS = 4096
"""UTF-16 units of one message."""
_PHOTOS = frozenset({"image/jpeg", "image/png", "image/webp"})


class TelegramSender:
    """The sending side of one bot."""

    def __init__(self, bot: Bot, config: TelegramAccount, fetcher: Fetcher) -> None:
        self._bot = bot
        self._config = config
        self._fetcher = fetcher
        self._previews: dict[str, tuple[Message, str]] = {}
        self._bytes = int(config.media_max_mb * 1024 * 1024)

    async def send(self, message: Outgoing) -> Receipt:
        """Send one message; its files first become part of it, or are named in it.

        Raises:
            ChannelError: see `troubles.classified`.
        """
        try:
            return await self._send(message)
        except TelegramError as error:
            raise classified(error) from error

    async def _send(self, message: Outgoing) -> Receipt:
        files, text = await self._files(message)
        preview = self._previews.pop(message.run_id or "", None)
        sent: Message | None = None
        if preview is not None and not files:
            sent = await self._finish_preview(preview[0], text)
        elif preview is not None:
            await self._take_back(preview[0])
        if sent is None and text:
            sent = await self._say(message.route, text)
        for file in files:
            sent = await self._attach(message.route, file)
        if sent is None:
            raise BadRequest("the message is empty")
        return Receipt(str(sent.message_id), {"chatId": str(sent.chat_id)})

    async def _files(self, message: Outgoing) -> tuple[list[OutgoingFile], str]:
        found: list[OutgoingFile] = []
        text = message.text
        for url in message.media:
            try:
                found.append(await load(url, fetcher=self._fetcher, max_bytes=self._bytes))
            except MediaUnavailable as error:
                text = f"{text}\n\n[a file is missing: {error}]".strip()
        return found, text

    async def _say(self, route: ReplyRoute, text: str) -> Message:
        where = self._where(route)
        try:
            return await self._formatted(where, text)
        except ChatMigrated as error:
            return await self._formatted({**where, "chat_id": error.new_chat_id}, text)

    async def _formatted(self, where: dict[str, Any], text: str) -> Message:
        options = LinkPreviewOptions(is_disabled=not self._config.link_preview)
        try:
            return await self._bot.send_message(
                text=to_html(text) or text,
                parse_mode=ParseMode.HTML,
                link_preview_options=options,
                **where,
            )
        except BadRequest as error:
            if not _is_about_markup(error):
                raise
        sent: Message | None = None
        for piece in _pieces(text):
            sent = await self._bot.send_message(text=piece, link_preview_options=options, **where)
        if sent is None:
            raise BadRequest("the message is empty")
        return sent

    async def _attach(self, route: ReplyRoute, file: OutgoingFile) -> Message:
        where = self._where(route)
        name = file.name
        match file.kind:
            case "image" if file.mime_type in _PHOTOS:
                return await self._bot.send_photo(photo=file.content, filename=name, **where)
            case "audio" if file.mime_type == "audio/ogg":
                return await self._bot.send_voice(voice=file.content, filename=name, **where)
            case "audio":
                return await self._bot.send_audio(audio=file.content, filename=name, **where)
            case "video":
                return await self._bot.send_video(video=file.content, filename=name, **where)
            case _:
                return await self._bot.send_document(document=file.content, filename=name, **where)

    def _where(self, route: ReplyRoute) -> dict[str, Any]:
        where: dict[str, Any] = {"chat_id": route.peer.id}
        if route.thread_id is not None:
            where["message_thread_id"] = _number(route.thread_id)
        quoted = route.context.get("replyToId")
        if quoted is None and self._config.reply_to_mode == "all":
            quoted = route.context.get("messageId")
        if quoted is not None:
            where["reply_parameters"] = ReplyParameters(
                _number(quoted), allow_sending_without_reply=True
            )
        return where

    async def preview(self, route: ReplyRoute, run_id: str, text: str) -> None:
        """Show an answer's text so far, as plain text.

        Raises:
            ChannelError: see `troubles.classified`.
        """
        shown = _clipped(text)
        known = self._previews.get(run_id)
        try:
            if known is None:
                sent = await self._bot.send_message(text=shown, **self._where(route))
            elif known[1] == shown:
                return
            else:
                sent = known[0]
                await self._bot.edit_message_text(
                    shown, chat_id=sent.chat_id, message_id=sent.message_id
                )
        except TelegramError as error:
            raise classified(error) from error
        self._previews[run_id] = (sent, shown)

    async def drop_preview(self, run_id: str) -> None:
        """Take a preview back."""
        known = self._previews.pop(run_id, None)
        if known is not None:
            await self._take_back(known[0])

    async def _finish_preview(self, preview: Message, text: str) -> Message | None:
        """Make a preview the final message; `None` when it is gone and must be sent anew."""
        where: dict[str, Any] = {"chat_id": preview.chat_id, "message_id": preview.message_id}
        try:
            await self._bot.edit_message_text(to_html(text), parse_mode=ParseMode.HTML, **where)
        except BadRequest as error:
            if "not found" in str(error).lower():
                return None
            if "not modified" in str(error).lower():
                return preview
            if not _is_about_markup(error):
                raise
            first, *rest = _pieces(text)
            await self._bot.edit_message_text(first, **where)
            for piece in rest:
                await self._bot.send_message(text=piece, chat_id=preview.chat_id)
        return preview

    async def _take_back(self, message: Message) -> None:
        try:
            await self._bot.delete_message(message.chat_id, message.message_id)
        except TelegramError as error:
            log.warning("telegram.preview_stays", error=str(error))

    async def edit(self, route: ReplyRoute, message_id: str, text: str) -> None:
        """Change a message's text. One that is as it should be already is changed."""
        where: dict[str, Any] = {"chat_id": route.peer.id, "message_id": _number(message_id)}
        try:
            try:
                await self._bot.edit_message_text(to_html(text), parse_mode=ParseMode.HTML, **where)
            except BadRequest as error:
                if not _is_about_markup(error):
                    raise
                await self._bot.edit_message_text(text, **where)
        except TelegramError as error:
            if "not modified" not in str(error).lower():
                raise classified(error) from error

    async def delete(self, route: ReplyRoute, message_id: str) -> None:
        """Delete a message: the bot's own of the last two days, or others' where it may."""
        try:
            await self._bot.delete_message(route.peer.id, _number(message_id))
        except TelegramError as error:
            raise classified(error) from error

    async def react(
        self, route: ReplyRoute, message_id: str, emoji: str, *, remove: bool = False
    ) -> None:
        """Set the bot's reaction, or take it back."""
        try:
            await self._bot.set_message_reaction(
                route.peer.id, _number(message_id), reaction=None if remove else emoji
            )
        except TelegramError as error:
            raise classified(error) from error

    async def typing(self, route: ReplyRoute, *, on: bool) -> None:
        """Show for five seconds that an answer is being written."""
        if not on:
            return
        thread = int(route.thread_id) if route.thread_id is not None else None
        try:
            await self._bot.send_chat_action(
                route.peer.id, ChatAction.TYPING, message_thread_id=thread
            )
        except TelegramError as error:
            log.debug("telegram.typing_not_shown", error=type(error).__name__)

    async def send_poll(self, poll: OutgoingPoll) -> Receipt:
        """Send a poll."""
        try:
            sent = await self._bot.send_poll(
                question=poll.question,
                options=[InputPollOption(option) for option in poll.options],
                allows_multiple_answers=poll.max_selections > 1,
                is_anonymous=poll.is_anonymous,
                open_period=poll.duration_s,
                **self._where(poll.route),
            )
        except TelegramError as error:
            raise classified(error) from error
        details = {"pollId": sent.poll.id} if sent.poll else {}
        return Receipt(str(sent.message_id), details)

    async def probe(self) -> Mapping[str, Any]:
        """Ask Telegram who the bot is."""
        try:
            me = await self._bot.get_me()
        except TelegramError as error:
            return {"ok": False, "error": str(classified(error))}
        return {"ok": True, "bot": {"id": str(me.id), "username": me.username}}


def _number(given: Any) -> int:
    """Return the id of a message or a topic as Telegram has it.

    Raises:
        Rejected: it is none of Telegram's.
    """
    try:
        return int(given)
    except (TypeError, ValueError):
        raise Rejected(f"{given} is no id of Telegram's") from None


def _is_about_markup(error: BadRequest) -> bool:
    text = str(error).lower()
    return "can't parse" in text or "too long" in text


def _pieces(text: str) -> list[str]:
    """Cut a text that is too long even for one message into as many as it takes."""
    pieces: list[str] = []
    while text:
        piece = text.encode("utf-16-le")[: 2 * MAX_UNITS].decode("utf-16-le", errors="ignore")
        pieces.append(piece)
        text = text[len(piece) :]
    return pieces


def _clipped(text: str) -> str:
    """Return the beginning of a text that is too long even as it stands."""
    units = text.encode("utf-16-le")
    if len(units) <= 2 * MAX_UNITS:
        return text
    return units[: 2 * (MAX_UNITS - 1)].decode("utf-16-le", errors="ignore") + "…"
