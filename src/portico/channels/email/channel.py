"""One mailbox that is read: what arrives is taken in, in order, and marked as read.

Guarantees:
    - The cursor moves in the transaction that stores the mail; the mail is marked as read (and
      moved) after it. What is not on disk is found again.
    - A mail that cannot be read, or that must not be answered, is recorded with the reason; it
      holds up nothing.
    - Health is the IMAP connection: however well mail is sent, a server that does not answer is
      left and asked anew.

Not here: sending (sending.py), what a mail says (reading.py), what becomes of it (inbound.py).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict, deque
from contextlib import AbstractAsyncContextManager

import structlog
from typing_extensions import override

from portico.channels.contract import (
    AccountContext,
    AuthExpired,
    Misconfigured,
    Outgoing,
    Receipt,
)
from portico.channels.email import inbound
from portico.channels.email.config import EmailAccount
from portico.channels.email.imap import Fetched, Imap, ImapRefused, LoginRefused, Unparsable
from portico.channels.email.mailbox import Position, begin
from portico.channels.email.reading import Letter, Limits, Unreadable, key_of, read
from portico.channels.email.sending import EmailSender
from portico.channels.model import ChannelEvent, InboundMessage
from portico.fetch import Fetcher, FetchSettings

log = structlog.get_logger()

HOUR_MS = 3_600_000
MAX_SENDERS = 5_000
LARGE_BYTES = 128 * 1024
"""Larger mail is read beside the event loop."""
BYTES_PER_MB = 1_000_000


class Answered:
    """How many answers each sender got within an hour, of the senders answered last."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, deque[int]] = OrderedDict()

    def add(self, address: str, now_ms: int) -> None:
        """Note an answer."""
        self._times.setdefault(address, deque(maxlen=10_000)).append(now_ms)
        self._times.move_to_end(address)
        if len(self._times) > MAX_SENDERS:
            self._times.popitem(last=False)

    def count(self, address: str, now_ms: int) -> int:
        """Return how many there were."""
        times = self._times.get(address)
        while times and times[0] <= now_ms - HOUR_MS:
            times.popleft()
        return len(times or ())


class Email(EmailSender):
    """One run of one mailbox."""

    def __init__(self, ctx: AccountContext) -> None:
        config: EmailAccount = ctx.config
        super().__init__(config, ctx.clock, Fetcher(FetchSettings()))
        self._ctx = ctx
        self._answered = Answered()
        self._limits = Limits(
            text_chars=config.text_max_chars,
            file_bytes=int(config.media_max_mb * BYTES_PER_MB),
            files=config.attachments_max,
        )

    async def run(self) -> None:
        """Read the mailbox until cancelled.

        Raises:
            AuthExpired: the server does not accept the login.
            Misconfigured: there is no such folder.
        """
        try:
            context = self._context = await asyncio.to_thread(_context, self._config)
            async with self._connect(context) as imap:
                await self._log_in_to(imap)
                await self._follow(imap)
        except LoginRefused as refused:
            raise AuthExpired(f"the IMAP server does not accept the login: {refused}") from refused
        finally:
            await self._fetcher.close()

    def _connect(self, context: ssl.SSLContext) -> AbstractAsyncContextManager[Imap]:
        config = self._config
        return Imap.connect(
            config.imap_address,
            tls=config.imap_tls,
            context=context,
            timeout_s=config.timeout_seconds,
            max_literal_bytes=self._fetched_bytes + 1024,
            heard=self._ctx.alive,
        )

    @property
    def _fetched_bytes(self) -> int:
        return int(self._config.message_max_mb * BYTES_PER_MB)

    async def _log_in_to(self, imap: Imap) -> None:
        config = self._config
        if config.access_token is not None:
            await imap.login_with_token(config.login, config.access_token)
        else:
            await imap.login(config.login, config.password or "")
        await imap.introduce()

    async def _follow(self, imap: Imap) -> None:
        config = self._config
        try:
            folder = await imap.select(config.folder)
        except ImapRefused as refused:
            raise Misconfigured(f"folder {config.folder}: {refused}") from refused
        position, is_renumbered = begin(
            self._ctx.cursor,
            folder,
            takes_unread=config.first_start == "unseen",
            now_s=self._ctx.clock.now_ms() // 1000,
        )
        if is_renumbered:
            await self._note_renumbered(position)
        elif self._ctx.cursor != position.cursor:
            await self._ctx.keep_cursor(position.cursor)
        self._ctx.connected(identity={"address": config.address, "folder": config.folder})
        can_idle = config.idle and imap.can("IDLE")
        while True:
            position = await self._take_new(imap, position)
            if can_idle:
                await imap.idle(config.idle_seconds)
            else:
                await asyncio.sleep(config.poll_seconds)
                await imap.noop()
                imap.has_news = True

    async def _take_new(self, imap: Imap, position: Position) -> Position:
        while imap.has_news:
            if position.uid < position.unread_until:
                uids = f"{position.uid + 1}:{position.unread_until}"
                for uid in await imap.search(uids, unseen=True):
                    position = await self._take(imap, uid, position)
                position = position.past(position.unread_until, 0)
                await self._ctx.keep_cursor(position.cursor)
            # `n:*` always names the last message, however small its number.
            for uid in await imap.search(f"{position.uid + 1}:*"):
                if uid > position.uid:
                    position = await self._take(imap, uid, position)
        return position

    async def _take(self, imap: Imap, uid: int, position: Position) -> Position:
        """Take in one mail, whatever it is."""
        try:
            fetched = await imap.fetch(uid, max_bytes=self._fetched_bytes)
        except (ImapRefused, Unparsable) as error:
            position = position.past(uid, 0)
            key = f"uid:{position.uid_validity}:{uid}"
            odd = inbound.unreadable(key, uid, f"the server does not hand it out: {error}", 0)
            await self._ctx.note(odd, cursor=position.cursor)
            return position
        arrived_s = 0 if fetched is None else fetched.arrived_s
        is_wanted = fetched is not None and position.wants(uid, arrived_s)
        position = position.past(uid, arrived_s)
        if fetched is not None and is_wanted:
            await self._hand_in(fetched, position.cursor)
            await self._put_away(imap, uid)
        return position

    async def _hand_in(self, fetched: Fetched, cursor: str) -> None:
        found = await self._read(fetched)
        if isinstance(found, ChannelEvent):
            log.info("email.not_answered", account=self._ctx.account, kind=found.kind)
            await self._ctx.note(found, cursor=cursor)
        else:
            await self._ctx.receive(found, cursor=cursor)

    async def _read(self, fetched: Fetched) -> InboundMessage | ChannelEvent:
        content = fetched.content
        try:
            if len(content) > LARGE_BYTES:
                letter = await asyncio.to_thread(read, content, self._limits)
            else:
                letter = read(content, self._limits)
            found = inbound.taken(letter, self._config, is_cut=fetched.is_cut)
        except Unreadable as error:
            return inbound.unreadable(key_of(content), fetched.uid, str(error), fetched.size_bytes)
        except Exception as error:  # noqa: BLE001  # an odd mail must not hold up the others
            log.warning("email.not_understood", account=self._ctx.account, error=repr(error))
            why = type(error).__name__
            return inbound.unreadable(key_of(content), fetched.uid, why, fetched.size_bytes)
        return self._within_limit(found, letter)

    def _within_limit(
        self, found: InboundMessage | ChannelEvent, letter: Letter
    ) -> InboundMessage | ChannelEvent:
        limit = self._config.answers_per_hour
        if isinstance(found, ChannelEvent) or not limit:
            return found
        if self._answered.count(found.sender, self._ctx.clock.now_ms()) < limit:
            return found
        return inbound.over_limit(letter, limit)

    async def _put_away(self, imap: Imap, uid: int) -> None:
        """Mark a mail as read and move it, once it is on disk; best effort."""
        config = self._config
        try:
            if config.mark_seen:
                await imap.mark_seen(uid)
            if config.move_to is not None:
                await imap.move(uid, config.move_to)
        except ImapRefused as refused:
            log.warning("email.not_put_away", account=self._ctx.account, error=str(refused))

    async def _note_renumbered(self, position: Position) -> None:
        reason = "the server has numbered its mail anew: only what is unread and new is taken"
        event = ChannelEvent(
            event_key=f"uidvalidity:{position.uid_validity}", kind="other", data={"reason": reason}
        )
        log.warning("email.renumbered", account=self._ctx.account)
        await self._ctx.note(event, cursor=position.cursor)

    @override
    async def send(self, message: Outgoing) -> Receipt:
        """Send one message as a mail.

        Raises:
            ChannelError: see `troubles`.
        """
        receipt = await super().send(message)
        self._answered.add(message.route.peer.id, self._ctx.clock.now_ms())
        return receipt


def _context(config: EmailAccount) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if config.tls_ca_file is not None:
        try:
            context.load_verify_locations(cafile=config.tls_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(f"tlsCaFile: {error}") from error
    return context
