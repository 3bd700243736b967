"""One Matrix account that runs: it receives by long poll.

Theory of operation: the first request asks where everything stands (rooms, invitations); from then
on each asks for what is new since the stored position, which moves in the transaction of the last
event a request brought. What is not on disk comes again; event ids tell what was there before.

Guarantees:
    - A fresh account takes in nothing that was said before it was started.
    - An event that cannot be understood is recorded as it came; it holds up nothing.
    - A message whose keys are missing is recorded, and taken in when they come in time.

Not here: sending (sending.py), what was missed (catching_up.py).

Source: https://spec.matrix.org/latest/client-server-api/#syncing
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from portico.channels.contract import AccountContext, AuthExpired, Misconfigured
from portico.channels.matrix.catching_up import CatchingUp
from portico.channels.matrix.config import MatrixAccount
from portico.channels.matrix.files import attachment
from portico.channels.matrix.homeserver import CAN_ENCRYPT, Homeserver
from portico.channels.matrix.inbound import Place, Said, read, receipt, unknown
from portico.channels.matrix.model import Invitation, Login, Synced
from portico.channels.matrix.rooms import Rooms
from portico.channels.matrix.sending import MESSAGE, MatrixSender
from portico.channels.matrix.session import Session
from portico.channels.matrix.troubles import Trouble
from portico.channels.model import ChannelEvent, Peer
from portico.fetch import Fetcher, FetchSettings

log = structlog.get_logger()

PAGE = 50
MAX_LOCKED = 200
"""Messages without keys that are tried again."""
MAX_INVITATIONS = 50
ENCRYPTED = "m.room.encrypted"
NO_LIBRARY = "encryption needs a package that is not installed: pip install 'portico[matrix]'"
CANNOT_READ = (
    "I cannot read this room: it is encrypted, and this account takes no part in encryption. "
    "Please write to me in a room that is not encrypted."
)
_FILTER: dict[str, Any] = {
    "presence": {"not_types": ["*"]},
    "account_data": {"types": ["m.direct"]},
    "room": {
        "account_data": {"not_types": ["*"]},
        "ephemeral": {"types": ["m.receipt"]},
        "state": {"lazy_load_members": True},
        "timeline": {"limit": PAGE, "lazy_load_members": True},
    },
}
_FIRST: dict[str, Any] = {
    **_FILTER,
    "room": {**_FILTER["room"], "timeline": {"limit": 1}, "ephemeral": {"not_types": ["*"]}},
}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to take in: an event of a room, or something that is an event already."""

    room_id: str
    raw: dict[str, Any] | None = None
    event: ChannelEvent | None = None


class Matrix(MatrixSender):
    """One run of one account."""

    def __init__(self, ctx: AccountContext) -> None:
        config: MatrixAccount = ctx.config
        if config.encryption and not CAN_ENCRYPT:
            raise Misconfigured(NO_LIBRARY)
        home = Homeserver(
            config.homeserver, proxy=config.proxy, crypto=ctx.folder if config.encryption else None
        )
        super().__init__(ctx, home, Rooms(home, config), Fetcher(FetchSettings()))
        self._session = Session(config, ctx.folder)
        self._catching_up = CatchingUp(home, limit=config.catch_up_limit)
        self._my_name: str | None = None
        self._locked: OrderedDict[str, Item] = OrderedDict()
        self._joining: set[str] = set()

    async def run(self) -> None:
        """Receive until cancelled.

        Raises:
            AuthExpired: the token, or user and password, are not accepted.
        """
        try:
            await self._receive()
        except Trouble as trouble:
            if not trouble.is_logged_out:
                raise ConnectionError(str(trouble)) from trouble
            self._session.forget()  # the next start logs in anew, where there is a password
            raise AuthExpired(f"the access token is not accepted ({trouble})") from trouble
        finally:
            await self._home.close()
            await self._fetcher.close()

    async def _receive(self) -> None:
        login = await self._session.open(self._home)
        first = await self._home.sync(since=None, wait_s=0, limits=self._first_filter())
        await self._keep_keys()
        self._rooms.learn(first.directs or {})
        self._my_name = await self._own_name()
        since = _position(self._ctx.cursor, login)
        if since is None:
            since = first.next_batch
            await self._ctx.keep_cursor(_cursor(login, since))
        self._ctx.connected(
            identity={"id": login.user_id, "name": self._my_name, "deviceId": login.device_id}
        )
        await self._answer(first)
        while True:
            news = await self._home.sync(
                since=since, wait_s=self._config.poll_seconds, limits=_FILTER
            )
            self._ctx.alive()
            await self._keep_keys()
            await self._answer(news)
            await self._take(news, since, login)
            since = news.next_batch

    def _first_filter(self) -> dict[str, Any]:
        """Ask in words never used before: Synapse keeps answers to the same first question.

        An old one may tell of two people in a room where there are three by now.
        """
        now_ms = self._ctx.clock.now_ms()
        unique = f"@{self._ctx.generation}-{now_ms}:portico.invalid"
        return {**_FIRST, "presence": {"not_types": ["*"], "not_senders": [unique]}}

    async def _own_name(self) -> str | None:
        try:
            return await self._home.display_name()
        except Trouble as trouble:
            if trouble.is_logged_out:
                raise
            return None  # it has no profile

    async def _keep_keys(self) -> None:
        try:
            await self._home.keep_keys()
        except Trouble as trouble:
            if trouble.is_logged_out:
                raise
            log.warning("matrix.keys_not_kept", account=self._ctx.account, error=str(trouble))

    # -- what came -------------------------------------------------------------------------------

    async def _take(self, news: Synced, since: str, login: Login) -> None:
        """Take everything in; the position moves with the last of it."""
        if news.directs is not None:
            self._rooms.learn(news.directs)
        items = [item async for item in self._items(news, since)]
        cursor = _cursor(login, news.next_batch)
        for item in items[:-1]:
            await self._take_one(item, None)
        if items:
            await self._take_one(items[-1], cursor)
        elif news.next_batch != since:
            await self._ctx.keep_cursor(cursor)
        self._rooms.synced(news.left)
        await self._unlock()

    async def _items(self, news: Synced, since: str) -> AsyncIterator[Item]:
        for room_id, room in news.joined.items():
            events, is_cut = await self._catching_up.whole(room, since=since)
            if is_cut:
                yield Item(room_id, event=_gap(room_id, since))
            for item in self._of_others(room_id, events):
                yield item
            for event_id, user_id, _thread in room.receipts:
                if user_id != self._home.user_id:
                    yield Item(
                        room_id, event=receipt(room_id, event_id, user_id, self._place(room_id))
                    )
        for room_id, room in news.left.items():
            for item in self._of_others(room_id, room.events):
                yield item

    def _of_others(self, room_id: str, events: list[dict[str, Any]]) -> Iterator[Item]:
        for raw in events:
            if raw.get("sender") == self._home.user_id:
                self._remember(str(raw.get("event_id")))
            else:
                yield Item(room_id, raw)

    async def _take_one(self, item: Item, cursor: str | None) -> None:
        if item.event is not None:
            await self._ctx.note(item.event, cursor=cursor)
            return
        raw = item.raw or {}
        if raw.get("type") == ENCRYPTED:
            await self._cannot_read(item, cursor)
            return
        try:
            found = read(raw, self._place(item.room_id))
        except Exception as error:  # noqa: BLE001  # an odd event must not hold up the others
            log.warning("matrix.event_not_understood", error=type(error).__name__)
            found = unknown(raw, item.room_id)
        if isinstance(found, ChannelEvent):
            await self._ctx.note(found, cursor=cursor)
        else:
            await self._hand_in(found, cursor)

    async def _hand_in(self, said: Said, cursor: str | None) -> None:
        message = said.message
        if said.file is not None:
            # What a stranger sent is named, not fetched.
            most = self._bytes if await self._ctx.is_wanted(message) else 0
            file = await attachment(self._home, said.file, max_bytes=most)
            message = msgspec.structs.replace(message, attachments=(file,))
        await self._ctx.receive(message, cursor=cursor)

    def _place(self, room_id: str) -> Place:
        return Place(
            room_id,
            is_direct=self._rooms.is_direct(room_id),
            me=self._home.user_id,
            my_name=self._my_name,
            own=self._own,
            threads=self._config.thread_replies,
            name_of=lambda user_id: self._home.name_in(room_id, user_id),
        )

    # -- what cannot be read ---------------------------------------------------------------------

    async def _cannot_read(self, item: Item, cursor: str | None) -> None:
        """Record a message we have no key for; try again later, or say that it is in vain."""
        raw, room_id = item.raw or {}, item.room_id
        problem = "the keys are missing" if self._home.encrypts else "encryption is off"
        noted = ChannelEvent(
            event_key=str(raw.get("event_id")),
            kind="other",
            peer=self._place(room_id).peer(str(raw.get("sender"))),
            sender=str(raw.get("sender")),
            data={"type": ENCRYPTED, "problem": problem},
        )
        is_new = await self._ctx.note(noted, cursor=cursor)
        if is_new:
            log.warning(
                "matrix.cannot_decrypt", account=self._ctx.account, room=room_id, problem=problem
            )
        if self._home.encrypts:
            self._locked[noted.event_key] = item
            if len(self._locked) > MAX_LOCKED:
                self._locked.popitem(last=False)
        elif is_new:
            await self._say_so(room_id)

    async def _unlock(self) -> None:
        """Take in messages whose keys have come since."""
        for key, item in [*self._locked.items()]:
            found = self._home.decrypt(item.raw or {}, item.room_id)
            if found is not None:
                del self._locked[key]
                await self._take_one(Item(item.room_id, found), None)

    async def _say_so(self, room_id: str) -> None:
        """Tell an encrypted room, once, that we cannot read it."""
        told = ChannelEvent(
            event_key=f"told:{room_id}",
            kind="other",
            peer=Peer("group", room_id),
            data={"type": ENCRYPTED, "told": CANNOT_READ},
        )
        if not await self._ctx.note(told):
            return
        content = {"msgtype": "m.notice", "body": CANNOT_READ, "m.mentions": {}}
        try:
            await self._home.send(room_id, MESSAGE, content, f"told.{room_id[1:]}")
        except Trouble as trouble:
            log.warning("matrix.room_not_told", room=room_id, error=str(trouble))

    # -- invitations -----------------------------------------------------------------------------

    async def _answer(self, news: Synced) -> None:
        for invitation in news.invited.values():
            key = f"invite:{invitation.room_id}:{invitation.inviter}"
            refusal = self._rooms.refusal(invitation)
            if refusal is not None:
                await self._ctx.note(_invited(key, invitation, refusal))
            elif len(self._joining) >= MAX_INVITATIONS:
                await self._ctx.note(_invited(key, invitation, "too many invitations at once"))
            elif invitation.room_id not in self._joining:
                self._joining.add(invitation.room_id)
                self._ctx.tasks.start(self._join(key, invitation), name="matrix.join")

    async def _join(self, key: str, invitation: Invitation) -> None:
        """Come into a room, beside receiving: other servers may be slow."""
        problem: str | None = None
        try:
            await self._rooms.accept(invitation)
        except Trouble as trouble:
            problem = str(trouble)
            log.warning("matrix.not_joined", room=invitation.room_id, error=problem)
        finally:
            self._joining.discard(invitation.room_id)
        await self._ctx.note(_invited(key, invitation, problem))

    # -- leaving for good ------------------------------------------------------------------------

    async def logout(self) -> bool:
        """Let the server and the account's folder forget the token."""
        try:
            return await self._session.log_out(self._home)
        finally:
            await self._home.close()
            await self._fetcher.close()


def _cursor(login: Login, position: str) -> str:
    return json.dumps([login.user_id, position])


def _position(cursor: str | None, login: Login) -> str | None:
    """Return where this user was; another user's position says nothing."""
    if cursor is None:
        return None
    try:
        user_id, position = json.loads(cursor)
    except ValueError:
        return None
    return str(position) if user_id == login.user_id else None


def _gap(room_id: str, since: str) -> ChannelEvent:
    return ChannelEvent(
        event_key=f"gap:{room_id}:{since}",
        kind="other",
        peer=Peer("group", room_id),
        data={"problem": "more was said than catchUpLimit allows; the oldest was not taken in"},
    )


def _invited(key: str, invitation: Invitation, refusal: str | None) -> ChannelEvent:
    data: dict[str, Any] = {"type": "invite", "roomId": invitation.room_id}
    data |= {"joined": True} if refusal is None else {"joined": False, "reason": refusal}
    return ChannelEvent(event_key=key, kind="other", sender=invitation.inviter, data=data)
