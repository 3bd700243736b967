"""One Telegram bot that runs: it receives by long poll or webhook.

Guarantees:
    - The offset moves in the transaction that stores the update, and only a later `getUpdates`
      confirms it to Telegram: what is not on disk comes again.
    - An update that cannot be understood is recorded as it came; it holds up nothing.
    - The parts of an album are one message.

Not here: sending (sending.py).

Uses python-telegram-bot's `Bot`, `Request` and types; the loop is ours.
Source: https://core.telegram.org/bots/api
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
import structlog
from telegram import Bot, Update
from telegram.error import (
    BadRequest,
    Conflict,
    EndPointNotFound,
    InvalidToken,
    TelegramError,
)
from telegram.request import HTTPXRequest

from portico.channels.contract import (
    AccountContext,
    AuthExpired,
    DoorRequest,
    DoorResponse,
    HttpDoor,
)
from portico.channels.telegram.config import TelegramAccount
from portico.channels.telegram.files import attachments
from portico.channels.telegram.inbound import Incoming, event, inbound, said_in, unknown
from portico.channels.telegram.sending import TelegramSender
from portico.channels.telegram.troubles import TAKEN, TOKEN_REFUSED, told
from portico.fetch import Fetcher, FetchSettings
from portico.net.tls import trusted

log = structlog.get_logger()
# They log every address that is called, and the address has the token in it. What goes wrong is
# ours to tell, without a traceback.
for _chatty, _least in (
    ("httpx", logging.WARNING),
    ("httpcore", logging.WARNING),
    ("telegram", logging.CRITICAL),
):
    logging.getLogger(_chatty).setLevel(_least)

ALBUM_PAUSE_S = 0.6
"""How long the parts of an album may be apart."""
ALBUM_TRIES = 5
SEND_TIMEOUT_S = 20.0
DOOR_BYTES = 1 << 20
_EVERYTHING = json.dumps(list(Update.ALL_TYPES))


class Telegram(TelegramSender):
    """One run of one bot."""

    def __init__(self, ctx: AccountContext) -> None:
        config: TelegramAccount = ctx.config
        polls = HTTPXRequest(
            connection_pool_size=2,
            connect_timeout=10,
            proxy=config.proxy,
            httpx_kwargs={"verify": trusted()},
        )
        super().__init__(_bot(config, polls), config, Fetcher(FetchSettings()))
        self._ctx = ctx
        self._polls = polls

    async def run(self) -> None:
        """Receive until cancelled.

        Raises:
            AuthExpired: the token is not accepted.
            ConnectionError: Telegram cannot be reached, or somebody else receives.
        """
        try:
            await self._bot.initialize()
            if self._config.webhook_url is None:
                await self._poll()
            else:
                await self._listen(self._config.webhook_url)
        except (InvalidToken, EndPointNotFound) as error:
            raise AuthExpired(TOKEN_REFUSED) from error
        except Conflict as error:
            raise ConnectionError(TAKEN) from error
        except BadRequest:
            raise
        except TelegramError as error:  # the network's weather, or Telegram's
            raise ConnectionError(told(error)) from error
        finally:
            await self._bot.shutdown()
            await self._fetcher.close()

    async def _poll(self) -> None:
        await self._bot.delete_webhook()
        self._greet()
        offset = int(self._ctx.cursor or 0)
        while True:
            batch = await self._updates(offset, wait_s=self._config.poll_seconds)
            self._ctx.alive()
            batch = await self._whole_albums(batch, offset)
            for update in _grouped(batch):
                await self._take(update)
                offset = update[-1]["update_id"] + 1

    async def _updates(self, offset: int, *, wait_s: int) -> list[dict[str, Any]]:
        """Ask for updates as they come: the library's own call fails on one it cannot read."""
        asked = urlencode({"offset": offset, "timeout": wait_s, "allowed_updates": _EVERYTHING})
        url = f"{self._bot.base_url}/getUpdates?{asked}"
        found = await self._polls.post(url, read_timeout=wait_s + 10)
        if not isinstance(found, list):
            raise ConnectionError("Telegram's answer is not a list of updates")
        return found

    async def _whole_albums(self, batch: list[dict[str, Any]], offset: int) -> list[dict[str, Any]]:
        """Look again, without confirming anything, until an album at the end grows no more."""
        for _ in range(ALBUM_TRIES):
            if not batch or _album_of(batch[-1]) is None:
                break
            await asyncio.sleep(ALBUM_PAUSE_S)
            again = await self._updates(offset, wait_s=0)
            if len(again) <= len(batch):
                break
            batch = again
        return batch

    async def _listen(self, public_url: str) -> None:
        path = self._ctx.open_door(
            HttpDoor(self._ctx.account, handle=self._posted, max_body_bytes=DOOR_BYTES)
        )
        await self._bot.set_webhook(
            f"{public_url.rstrip('/')}{path}",
            secret_token=self._config.webhook_secret,
            allowed_updates=list(Update.ALL_TYPES),
        )
        self._greet()
        await asyncio.Event().wait()

    async def _posted(self, request: DoorRequest) -> DoorResponse:
        given = request.headers.get("x-telegram-bot-api-secret-token", "")
        if not hmac.compare_digest(given.encode(), (self._config.webhook_secret or "").encode()):
            return DoorResponse(401, b"wrong secret\n")
        try:
            raw = msgspec.json.decode(request.body, type=dict[str, Any])
            update_id = int(raw["update_id"])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            return DoorResponse(400, b"not an update\n")
        self._ctx.alive()
        await self._take([{**raw, "update_id": update_id}])
        return DoorResponse()

    def _greet(self) -> None:
        me = self._bot.bot
        self._ctx.connected(identity={"id": str(me.id), "username": me.username})
        self._ctx.tasks.start(self._offer_commands(), name="telegram.commands")

    async def _offer_commands(self) -> None:
        own = [(it.command, it.description) for it in self._config.custom_commands]
        try:
            await self._bot.set_my_commands([*self._ctx.menu, *own])
        except TelegramError as error:
            log.warning("telegram.menu_not_set", account=self._ctx.account, error=str(error))

    async def _take(self, raws: list[dict[str, Any]]) -> None:
        """Take in one update, or the updates of one album."""
        first, cursor = raws[0], str(raws[-1]["update_id"] + 1)
        try:
            updates = [Update.de_json(raw, self._bot) for raw in raws]
            said = (said_in(update, bot=self._bot.bot) for update in updates)
            messages = tuple(filter(None, said))
            noted = None if messages else event(updates[0], first)
        except Exception as error:  # noqa: BLE001  # an odd update must not hold up the others
            log.warning("telegram.update_not_understood", error=repr(error))
            messages, noted = (), unknown(first["update_id"], first)
        if noted is not None:
            await self._ctx.note(noted, cursor=cursor)
            return
        incoming = Incoming(messages, int(cursor))
        bare = inbound(incoming, bot=self._bot.bot, files=())
        # What a stranger sent is named, not fetched.
        most = self._bytes if await self._ctx.is_wanted(bare) else 0
        files = [
            file
            for message in messages
            for file in await attachments(self._bot, message, max_bytes=most)
        ]
        await self._ctx.receive(
            msgspec.structs.replace(bare, attachments=tuple(files)), cursor=cursor
        )


def _bot(config: TelegramAccount, polls: HTTPXRequest) -> Bot:
    root, proxy = config.api_root.rstrip("/"), config.proxy
    return Bot(
        config.bot_token,
        base_url=f"{root}/bot",
        base_file_url=f"{root}/file/bot",
        request=HTTPXRequest(
            connection_pool_size=32,
            read_timeout=SEND_TIMEOUT_S,
            write_timeout=SEND_TIMEOUT_S,
            connect_timeout=5,
            pool_timeout=5,
            proxy=proxy,
            httpx_kwargs={"verify": trusted()},
        ),
        get_updates_request=polls,
    )


def _album_of(raw: Mapping[str, Any]) -> str | None:
    message = raw.get("message") or raw.get("channel_post") or {}
    return message.get("media_group_id") if isinstance(message, dict) else None


def _grouped(batch: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Put the updates of one album together; they follow each other."""
    groups: list[list[dict[str, Any]]] = []
    for raw in batch:
        album = _album_of(raw)
        if album is not None and groups and _album_of(groups[-1][0]) == album:
            groups[-1].append(raw)
        else:
            groups.append([raw])
    return groups
