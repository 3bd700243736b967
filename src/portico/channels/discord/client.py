"""discord.py, bent to what an account owes: events as they come, in order, and one place for HTTP.

Theory of operation: of the library we use its login, its REST client with the rate-limit buckets,
and its gateway connection with heartbeats, compression, IDENTIFY and RESUME. Its caches and its
event dispatch (a task per event, in no order) are not used: each event goes to us as it came.

Guarantees:
    - The sequence number Discord is told, in heartbeats and RESUME, is that of the last event
      whose effects are on disk, never merely received: what is not on disk is sent again.
    - No request is repeated here: a refusal (429), a failure (5xx) or a lost connection is raised
      at once, and the outbox decides. Buckets known to be empty are waited for, within bounds.

The address of the API belongs to one client: the library's routes begin with an address that is
the same for the whole process, so it is exchanged as each request is made.

Source: https://docs.discord.com/developers/events/gateway; discord.py 2.7, `discord.http`,
`discord.gateway`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import HTTPClient, Route
from discord.state import ConnectionState
from typing_extensions import override

from portico.channels.discord.config import DiscordAccount

# It logs addresses that have tokens of interactions in them, and a stack when it waits.
logging.getLogger("discord").setLevel(logging.ERROR)

LONGEST_BUCKET_WAIT_S = 10.0
REQUEST_S = 24.0
HEARTBEAT_TIMEOUT_S = 60.0
CLOSE_S = 2.0
LEAVE_CODE = 4000
"""Closing with 1000 or 1001 would end the session: nothing could be resumed."""


class Refused429(Exception):
    """Too many requests; `retry_after_s` is when Discord takes more."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"Discord limits its requests for {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class Failed5xx(Exception):
    """Discord is broken."""

    def __init__(self, status: int) -> None:
        super().__init__(f"Discord answered {status}")
        self.status = status


class Api(HTTPClient):
    """The REST side of one bot."""

    base_url = Route.BASE

    @override
    async def request(self, route: Route, **how: Any) -> Any:
        route.url = self.base_url + route.url.removeprefix(Route.BASE)
        async with asyncio.timeout(REQUEST_S):
            return await super().request(route, **how)


class Gateway(DiscordWebSocket):
    """One connection to the gateway.

    Attributes:
        received: the sequence number of the event that came in last.
        on_frame: called for everything that comes in.
        room: waited for after each frame; while it waits nothing is read.
    """

    on_frame: Callable[[], None]
    room: Callable[[], Awaitable[None]]

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, *, loop: Any) -> None:
        self.received: int | None = None
        self._settled: int | None = None
        self._is_reading = False
        super().__init__(socket, loop=loop)

    @property  # type: ignore[explicit-override]  # there it is an attribute
    def sequence(self) -> int | None:
        """The last event that is on disk with all before it."""
        return self._settled

    @sequence.setter
    def sequence(self, value: int | None) -> None:
        if self._is_reading and value is not None:
            self.received = value
        else:
            self._settled = value

    def settle(self, sequence: int) -> None:
        """Everything up to this event is on disk."""
        self._settled = sequence

    @override
    async def received_message(self, msg: Any, /) -> None:
        self.on_frame()
        self._is_reading = True
        try:
            await super().received_message(msg)
        finally:
            self._is_reading = False
        await self.room()

    async def leave(self) -> None:
        """Hang up so that the session can be resumed."""
        with contextlib.suppress(TimeoutError, OSError, aiohttp.ClientError):
            async with asyncio.timeout(CLOSE_S):
                await self.close(LEAVE_CODE)


class _EveryEvent(Mapping[str, Callable[[Any], None]]):
    """Stands for the library's table of event parsers: each event goes to one function."""

    def __init__(self, happened: Callable[[str, Any], None]) -> None:
        self._happened = happened

    @override
    def __getitem__(self, name: str) -> Callable[[Any], None]:
        return lambda data: self._happened(name, data)

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(())

    @override
    def __len__(self) -> int:
        return 0


class Bot(discord.Client):
    """One bot: its REST client is `api`; its events go to `happened`."""

    def __init__(
        self,
        config: DiscordAccount,
        *,
        on_frame: Callable[[], None],
        room: Callable[[], Awaitable[None]],
        happened: Callable[[str, Any], None],
    ) -> None:
        super().__init__(
            intents=_intents(config),
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            heartbeat_timeout=HEARTBEAT_TIMEOUT_S,
            http_trace=_trace(),
            proxy=config.proxy,
        )
        self.api.base_url = config.api_url.rstrip("/")
        self.api.max_ratelimit_timeout = LONGEST_BUCKET_WAIT_S
        self._connection.parsers = _EveryEvent(happened)  # type: ignore[assignment]  # only looked up in
        self._on_frame = on_frame
        self._room = room
        self.gateway: Gateway | None = None

    @override
    def _get_state(self, **options: Any) -> ConnectionState[Any]:
        plain = self.http
        self.http = self.api = Api(
            plain.loop,
            options.get("connector"),
            proxy=plain.proxy,
            unsync_clock=not plain.use_clock,
            http_trace=plain.http_trace,
        )
        return super()._get_state(**options)

    @override
    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Do not wait: whoever connects has waited already."""

    @property
    def identity(self) -> dict[str, str]:
        """Who the bot is; empty before it has logged in."""
        me = self.user
        return {} if me is None else {"id": str(me.id), "username": me.name}

    async def open_gateway(
        self, url: str, *, session: str | None = None, sequence: int | None = None
    ) -> Gateway:
        """Connect; with a session, resume it.

        Raises:
            ReconnectWebSocket, ConnectionClosed: of `discord.gateway`.
            OSError, aiohttp.ClientError: no connection.
        """
        bot = self

        class Ours(Gateway):  # the library makes the object itself, and only knows its class
            def __init__(self, socket: aiohttp.ClientWebSocketResponse, *, loop: Any) -> None:
                super().__init__(socket, loop=loop)
                self.on_frame, self.room = bot._on_frame, bot._room
                bot.gateway = self

        return await Ours.from_client(
            self,
            gateway=yarl.URL(url),
            session=session,
            sequence=sequence,
            resume=session is not None,
        )

    async def hang_up(self) -> None:
        """Close the connection to the gateway, if there is one."""
        gateway, self.gateway = self.gateway, None
        if gateway is not None:
            await gateway.leave()

    async def leave(self) -> None:
        """Close everything; nothing of it is used afterwards."""
        await self.hang_up()
        await self.close()


def _intents(config: DiscordAccount) -> discord.Intents:
    return discord.Intents(
        guilds=True,
        guild_messages=True,
        guild_reactions=True,
        guild_polls=True,
        dm_messages=True,
        dm_reactions=True,
        dm_polls=True,
        members=config.intents.guild_members,
        message_content=config.intents.message_content,
    )


def _trace() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(_refuse_to_repeat)
    return trace


async def _refuse_to_repeat(
    _session: aiohttp.ClientSession,
    _context: SimpleNamespace,
    ended: aiohttp.TraceRequestEndParams,
) -> None:
    """Raise what the library would wait for, or blindly repeat."""
    response = ended.response
    if response.status == 429:
        response.close()
        raise Refused429(_retry_after_s(response.headers))
    if response.status >= 500:
        response.close()
        raise Failed5xx(response.status)


def _retry_after_s(headers: Mapping[str, str]) -> float:
    for name in ("Retry-After", "X-RateLimit-Reset-After"):
        with contextlib.suppress(KeyError, ValueError):
            return max(0.0, float(headers[name]))
    return 60.0  # not Discord itself: what stands before it
