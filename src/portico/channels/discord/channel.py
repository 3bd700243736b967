"""One Discord bot that runs: it receives over the gateway.

Theory of operation: each event is put in the lane of its conversation; lanes run side by side, and
the sequence number Discord is told moves over what is on disk. The session and that number are
part of the cursor: after a lost connection, or a restart, the session is resumed and Discord tells
everything again that was not on disk. When it cannot be resumed, a new session begins and what was
written meanwhile is fetched (history.py).

Guarantees:
    - An event is confirmed to Discord only after it is on disk.
    - An event that cannot be understood is recorded as it came; it holds up nothing.
    - Life is what comes in over the gateway, heartbeats answered included, and nothing else.

Not here: sending (sending.py), taking in (reading.py), the library (client.py).

Source: https://docs.discord.com/developers/events/gateway
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import aiohttp
import discord
import structlog
from discord.gateway import ReconnectWebSocket
from discord.http import Route

from portico.channels.contract import AccountContext, AuthExpired
from portico.channels.discord.client import Bot, Failed5xx, Gateway, Refused429
from portico.channels.discord.cursor import (
    MOST_DIRECT,
    Cursor,
    read_cursor,
    snowflake,
    write_cursor,
)
from portico.channels.discord.files import attachment_fetcher
from portico.channels.discord.history import History
from portico.channels.discord.inbound import MEMBERS
from portico.channels.discord.interactions import PONG, Interactions
from portico.channels.discord.places import Newest, Places
from portico.channels.discord.progress import Lanes, Progress
from portico.channels.discord.reading import ODD, Reader, Told
from portico.channels.discord.sending import DiscordSender
from portico.channels.discord.troubles import (
    TOKEN_REFUSED,
    TROUBLES,
    Unreachable,
    classified,
    closed,
)
from portico.fetch import Fetcher, FetchSettings

log = structlog.get_logger()

CONNECT_S = 15.0
PAUSE_S = (1.0, 5.0)
"""Discord asks for a random wait before a new session after an invalid one."""
LEARNED = frozenset(
    {"CHANNEL_CREATE", "CHANNEL_UPDATE", "THREAD_CREATE", "THREAD_UPDATE", "CHANNEL_DELETE"}
    | {"THREAD_DELETE", "THREAD_LIST_SYNC", "GUILD_MEMBER_UPDATE"}
)
HOUSEKEEPING = ("GUILD_", "CHANNEL_", "THREAD_", "STAGE_", "INTEGRATION_", "ENTITLEMENT_")
"""About servers and their shape: nothing for an agent, and told again with each session."""
QUIET = frozenset({"TYPING_START", "PRESENCE_UPDATE", "USER_UPDATE", "VOICE_STATE_UPDATE"})
HOUR_MS = 3_600_000
_NO_CONNECTION = (OSError, aiohttp.ClientError, Failed5xx, Refused429)


class Discord(DiscordSender):
    """One run of one bot."""

    def __init__(self, ctx: AccountContext) -> None:
        self._ctx = ctx
        self._bot = Bot(ctx.config, on_frame=ctx.alive, room=self._room, happened=self._happened)
        api = self._bot.api
        interactions = Interactions(api, ctx.clock)
        super().__init__(
            api,
            ctx.config,
            interactions=interactions,
            fetcher=Fetcher(FetchSettings()),
            clock=ctx.clock,
        )
        stored = read_cursor(ctx.cursor)
        self._session, self._url = stored.session, stored.url
        self._progress = Progress(sequence=stored.sequence, mark=stored.mark)
        self._known: Newest[None] = Newest(MOST_DIRECT)
        for channel_id in stored.direct:
            self._known.put(channel_id, None)
        self._lanes = Lanes(ctx.tasks, self._advance)
        self._places = Places(api)
        self._inward = attachment_fetcher(ctx.config.api_url)
        self._reader = Reader(
            ctx,
            places=self._places,
            interactions=interactions,
            fetcher=self._inward,
            direct=self._known,
            cursor=self._cursor,
        )
        self._history: History | None = None
        self._awaited: frozenset[str] = frozenset()
        self._is_greeted = False
        self._is_kept = True

    async def run(self) -> None:
        """Receive until cancelled.

        Raises:
            AuthExpired: the token is not accepted.
            Misconfigured: Discord does not grant what the account asks for.
        """
        try:
            await self._log_in()
            while True:
                await self._stay_connected()
        except Unreachable:
            raise
        except TROUBLES as error:
            raise Unreachable(f"Discord: {classified(error)}") from error
        finally:
            await self._bot.leave()
            await self._inward.close()
            await self._fetcher.close()

    async def _log_in(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._bot.login(self._config.token)
        except discord.LoginFailure as error:
            raise AuthExpired(TOKEN_REFUSED) from error
        self.bot_id = self._reader.bot_id = self._places.bot_id = str(self._bot.identity["id"])
        self._interactions.application_id = str(self._bot.application_id)
        if self._config.slash_command.enabled:
            self._ctx.tasks.start(self._offer_commands(), name="discord.commands")

    async def _offer_commands(self) -> None:
        try:
            await self._interactions.offer(self._config.slash_command.name)
        except TROUBLES as error:
            log.warning("discord.commands_not_set", error=str(classified(error)))

    # -- the connection --------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        """Receive over one connection until it is lost."""
        self._is_greeted = False
        is_resumed = self._session is not None and self._progress.sequence is not None
        try:
            gateway = await self._connect(is_resumed=is_resumed)
            while True:
                await gateway.poll_event()
        except ReconnectWebSocket as again:
            await self._lost(again, is_resumed=is_resumed)
        except discord.ConnectionClosed as error:
            intents = self._config.intents
            raise closed(
                error.code, content=intents.message_content, members=intents.guild_members
            ) from error

    async def _connect(self, *, is_resumed: bool) -> Gateway:
        before = self._progress
        if is_resumed:
            self._progress = Progress(sequence=before.sequence, mark=before.mark)
            return await self._resume(before.sequence)
        self._session = self._url = None
        self._progress = Progress(sequence=None, mark=before.mark)
        async with asyncio.timeout(CONNECT_S):
            return await self._bot.open_gateway(await self._gateway_url(is_new=True))

    async def _resume(self, sequence: int | None) -> Gateway:
        resume = partial(self._bot.open_gateway, session=self._session, sequence=sequence)
        try:
            async with asyncio.timeout(CONNECT_S):
                return await resume(str(self._url))
        except _NO_CONNECTION as error:  # the address of a session may be gone while it is not
            log.info("discord.session_address_gone", error=type(error).__name__)
            await self._bot.hang_up()
        async with asyncio.timeout(CONNECT_S):
            return await resume(await self._gateway_url(is_new=False))

    async def _gateway_url(self, *, is_new: bool) -> str:
        found = await self._api.request(Route("GET", "/gateway/bot"))
        limit = found.get("session_start_limit") or {}
        if is_new and limit.get("remaining", 1) <= 0:
            wait_s = int(limit.get("reset_after", 0)) // 1000
            raise Unreachable(f"Discord lets this bot begin no more sessions for {wait_s} s")
        return str(found["url"])

    async def _lost(self, again: ReconnectWebSocket, *, is_resumed: bool) -> None:
        """Prepare the next connection; raise when this one never came to life."""
        await self._bot.hang_up()
        if not again.resume:
            self._session = None
        was_refused = is_resumed and not again.resume
        if not self._is_greeted and not was_refused:
            raise Unreachable("Discord's gateway hangs up before it says hello")
        self._ctx.disconnected("the gateway hung up; connecting again")
        if not again.resume:
            await asyncio.sleep(random.uniform(*PAUSE_S))

    # -- events ----------------------------------------------------------------------------------

    async def _room(self) -> None:
        await self._lanes.room()

    def _happened(self, name: str, raw: Any) -> None:
        """Sort an event into its lane. Called by the library, in order; raises nothing."""
        gateway = self._bot.gateway
        if gateway is None or gateway.received is None:
            return
        entry = self._progress.begin(gateway.received)
        key = f"event:{self._session}:{entry.sequence}"
        try:
            self._sort(Told(name, raw, entry, key))
        except ODD as error:
            log.warning("discord.event_not_understood", event_name=name, error=repr(error))
            told = Told(f"{name} (malformed)", raw, entry, key)
            self._lanes.put("", entry, partial(self._reader.note, told))
        self._advance()

    def _sort(self, told: Told) -> None:
        match told.name:
            case "READY":
                self._begin(told)
            case "RESUMED":
                self._greet()
            case "GUILD_CREATE":
                self._learn_guild(told)
            case "MESSAGE_CREATE":
                self._put(told, self._reader.take)
            case "INTERACTION_CREATE":
                if told.raw["type"] != PONG:
                    self._put(told, self._reader.use)
            case name if name in LEARNED:
                self._learn(name, told.raw)
            case _:
                if self._is_worth_a_note(told):
                    self._put(told, self._reader.note)

    def _is_worth_a_note(self, told: Told) -> bool:
        match told.name:
            case "MESSAGE_UPDATE":
                return str((told.raw.get("author") or {}).get("id")) != self.bot_id
            case "MESSAGE_REACTION_ADD" | "MESSAGE_REACTION_REMOVE":
                return str(told.raw["user_id"]) != self.bot_id
            case "GUILD_DELETE":
                return not told.raw.get("unavailable")
            case name if name in MEMBERS:
                return True
            case name:
                return name not in QUIET and not name.startswith(HOUSEKEEPING)

    def _put(self, told: Told, work: Callable[[Told], Awaitable[None]]) -> None:
        lane = str(told.raw.get("channel_id") or "")
        self._lanes.put(lane, told.entry, partial(work, told))

    def _begin(self, told: Told) -> None:
        """A new session: what was said since the last one is fetched first."""
        raw = told.raw
        self._session, self._url = str(raw["session_id"]), str(raw["resume_gateway_url"])
        self._awaited = frozenset(str(one["id"]) for one in raw.get("guilds", ()))
        now_ms, most_ms = self._ctx.clock.now_ms(), self._config.catch_up_hours * HOUR_MS
        after = Cursor(mark=self._progress.mark).fetch_after(now_ms=now_ms, most_ms=most_ms)
        self._history = None
        if after is not None and most_ms:
            self._history = History(self._api, self._reader, self._config, after=after)
            for channel_id in self._known.names():
                self._fetch(channel_id, None, told)
        if self._progress.mark is None:
            self._progress.mark = snowflake(now_ms)
        else:
            self._greet()
        self._is_kept = False

    def _fetch(self, channel_id: str, guild_id: str | None, told: Told) -> None:
        if self._history is not None:
            work = partial(self._history.fetch, channel_id, guild_id, told.entry, told.key)
            self._lanes.put(channel_id, told.entry, work)

    def _learn_guild(self, told: Told) -> None:
        guild_id = str(told.raw["id"])
        if told.raw.get("unavailable"):
            return
        found = self._places.learn_guild(told.raw)
        if self._history is not None and guild_id in self._awaited:
            for place in found:
                if self._history.has_news(place):
                    self._fetch(place.id, guild_id, told)

    def _learn(self, name: str, raw: Mapping[str, Any]) -> None:
        if name == "GUILD_MEMBER_UPDATE":
            if str(raw["user"]["id"]) == self.bot_id:
                self._places.learn_own_roles(str(raw["guild_id"]), raw.get("roles", ()))
        elif name == "THREAD_LIST_SYNC":
            for thread in raw.get("threads", ()):
                self._places.learn({**thread, "guild_id": raw["guild_id"]})
        elif name.endswith("DELETE"):
            self._places.forget(str(raw["id"]))
        else:
            self._places.learn(raw)

    def _greet(self) -> None:
        self._is_greeted = True
        self._ctx.connected(identity=self._bot.identity)

    # -- how far it is ---------------------------------------------------------------------------

    def _advance(self) -> None:
        self._progress.advance()
        sequence, gateway = self._progress.sequence, self._bot.gateway
        if sequence is None:
            return
        if gateway is not None:
            gateway.settle(sequence)
        if not self._is_kept:
            self._is_kept = True
            self._ctx.tasks.start(self._keep(), name="discord.cursor")

    async def _keep(self) -> None:
        """Store where the new session begins; only then, the first time, is it said to be there."""
        await self._ctx.keep_cursor(self._cursor())
        if not self._is_greeted:
            self._greet()

    def _cursor(self) -> str:
        """Return where we are, for the next run: never ahead of what is on disk."""
        progress = self._progress
        session = self._session if progress.sequence is not None else None
        return write_cursor(
            Cursor(
                session=session,
                url=self._url if session else None,
                sequence=progress.sequence,
                mark=progress.mark,
                direct=self._known.names(),
            )
        )
