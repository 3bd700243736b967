"""Discord on real sockets: its REST API and its gateway, with their limits, errors and replays.

    async with FakeDiscord() as discord:
        ann = discord.person("Ann")
        discord.says(ann, "hello")                       # a direct message
        room = discord.channel(discord.server("Club"), "general")
        discord.says(ann, "hi", to=room)
        discord.plan(Outcome.LIMIT)                      # what becomes of the next message sent

What the bot did is in `posts` (messages it made), `edits`, `deleted`, `reactions`, `typing`,
`callbacks` and `commands`. An event counts as acknowledged when a heartbeat or a RESUME named its
sequence number, or a later one.

Source: https://docs.discord.com/developers/events/gateway, …/topics/rate-limits,
…/resources/message, …/interactions/receiving-and-responding
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import math
import time
import zlib
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import zstandard
from aiohttp import WSMsgType, web

from portico.testkit import Outcome, Provider, Sent

EPOCH_MS = 1_420_070_400_000
BOT_ID = "900000000000000001"
TOKEN = (
    f"{base64.b64encode(BOT_ID.encode()).decode().rstrip('=')}.Xabcde.a-secret-of-the-bot_000000000"
)
MAX_TEXT = 2000
PRIVILEGED = {"presences": 1 << 8, "members": 1 << 1, "content": 1 << 15}
HIDDEN = ("content", "attachments", "embeds")
DEFERRED, PLAIN = 5, 4
EPHEMERAL, LOADING = 64, 128


class ApiError(Exception):
    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def unknown(what: str, code: int) -> ApiError:
    return ApiError(404, code, f"Unknown {what}")


@dataclass
class Session:
    """What Discord keeps of one session, connected or not."""

    id: str
    intents: int
    sequence: int = 0
    acknowledged: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    connection: Connection | None = None


@dataclass(eq=False)
class Connection:
    """One WebSocket."""

    ws: web.WebSocketResponse
    transport: asyncio.Transport
    compress: str
    is_silent: bool = False
    session: Session | None = None
    outbox: asyncio.Queue[dict[str, Any] | int] = field(default_factory=asyncio.Queue)

    def send(self, frame: dict[str, Any]) -> None:
        if not self.is_silent:
            self.outbox.put_nowait(frame)

    def close(self, code: int) -> None:
        self.outbox.put_nowait(code)

    async def pump(self) -> None:
        """Send what is to be sent, in order."""
        deflate = zlib.compressobj()
        zstd = zstandard.ZstdCompressor().compressobj()
        while True:
            frame = await self.outbox.get()
            if isinstance(frame, int):
                await self.ws.close(code=frame)
                return
            text = json.dumps(frame)
            with contextlib.suppress(ConnectionError):
                if self.compress == "zlib-stream":
                    squeezed = deflate.compress(text.encode()) + deflate.flush(zlib.Z_SYNC_FLUSH)
                    await self.ws.send_bytes(squeezed)
                elif self.compress == "zstd-stream":
                    squeezed = zstd.compress(text.encode())
                    flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
                    await self.ws.send_bytes(squeezed + zstd.flush(flush))
                else:
                    await self.ws.send_str(text)


class FakeDiscord(Provider):
    """The whole of Discord that one bot sees."""

    def __init__(
        self,
        *,
        heartbeat_s: float = 0.2,
        bucket: tuple[int, float] = (50, 0.2),
        nonce_lives_s: float = 180,
        granted: int = PRIVILEGED["content"],
        forgets: bool = False,
    ) -> None:
        """Open for one bot.

        Args:
            nonce_lives_s: how long a nonce is remembered; Discord says "a few minutes".
            granted: the privileged intents that are switched on in the portal.
            forgets: sessions end with their connection, as after a long absence.
        """
        self.forgets = forgets
        self.heartbeat_s = heartbeat_s
        self.bucket = bucket
        self.nonce_lives_s = nonce_lives_s
        self.granted = granted
        self.port = 0
        self.token = TOKEN
        self.bot = {"id": BOT_ID, "username": "Portico", "discriminator": "0", "bot": True}
        self.users: dict[str, dict[str, Any]] = {BOT_ID: {**self.bot, "avatar": None}}
        self.servers: dict[str, dict[str, Any]] = {}
        self.channels: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.roles: dict[tuple[str, str], list[str]] = {}
        self.blocked: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.paths: list[str] = []
        self.posts: list[dict[str, Any]] = []
        self.edits: list[tuple[str, str]] = []
        self.deleted: list[str] = []
        self.reactions: list[tuple[str, str, str]] = []
        self.typing: list[str] = []
        self.callbacks: list[tuple[str, dict[str, Any]]] = []
        self.fetched: list[str] = []
        self.commands: dict[str, dict[str, Any]] = {}
        self.written_commands = 0
        self.identifies = 0
        self.resumes = 0
        self.refused_resumes = 0
        self.starts_left = 1000
        self.resume_url = ""
        self.failing: list[str] = []  # calls that fail, each once: "GET channels/*"
        self.sessions: dict[str, Session] = {}
        self.connections: set[Connection] = set()
        self._interactions: dict[str, dict[str, Any]] = {}
        self._places: dict[str, list[tuple[Session, int]]] = defaultdict(list)
        self._payloads: dict[str, tuple[str, Any]] = {}
        self._nonces: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}
        self._used: dict[str, deque[float]] = defaultdict(deque)
        self._plan: deque[Outcome] = deque()
        self._attempts = 0
        self._numbers = itertools.count(1)
        self._last_id = 0
        self._runner: web.AppRunner | None = None

    # -- life ------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_get("/gateway/", self._gateway)
        app.router.add_get("/gateway", self._gateway)
        app.router.add_get("/files/{id}/{name}", self._file)
        app.router.add_route("*", "/api/v10/{path:.*}", self._api)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await self.listen()
        return self

    async def listen(self) -> None:
        """Take connections, on the same port as before."""
        assert self._runner is not None
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def go_away(self) -> None:
        """Be down: no connection is taken until `listen`."""
        assert self._runner is not None
        for site in [*self._runner.sites]:
            await site.stop()
        await self.cut()

    async def __aexit__(self, *_: object) -> None:
        for connection in [*self.connections]:
            connection.transport.abort()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self) -> dict[str, Any]:
        return {"token": self.token, "apiUrl": f"{self.url}/api/v10"}

    # -- people and places -----------------------------------------------------------------------

    def new_id(self) -> str:
        now = (int(time.time() * 1000) - EPOCH_MS) << 22
        self._last_id = max(self._last_id + 1, now)
        return str(self._last_id)

    def person(self, name: str, **more: Any) -> str:
        """Return the id of a person, who has one conversation with the bot."""
        known = next((u for u in self.users.values() if u["username"] == name.lower()), None)
        if known is not None:
            return str(known["id"])
        user_id = self.new_id()
        self.users[user_id] = {
            "id": user_id,
            "username": name.lower(),
            "global_name": name,
            "discriminator": "0",
            "avatar": None,
            **more,
        }
        return user_id

    def server(self, name: str, *, bot_roles: tuple[str, ...] = ()) -> str:
        guild_id = self.new_id()
        self.servers[guild_id] = {"id": guild_id, "name": name}
        self.roles[guild_id, BOT_ID] = [*bot_roles]
        return guild_id

    def channel(self, guild_id: str, name: str, *, kind: int = 0, parent: str | None = None) -> str:
        channel_id = self.new_id()
        shape = {"id": channel_id, "type": kind, "guild_id": guild_id, "name": name, "position": 1}
        self.channels[channel_id] = {**shape, **({"parent_id": parent} if parent else {})}
        return channel_id

    def thread(self, parent: str, name: str) -> str:
        return self.channel(self.channels[parent]["guild_id"], name, kind=11, parent=parent)

    def direct(self, user_id: str) -> str:
        """Return the channel of a person's conversation with the bot."""
        for channel in self.channels.values():
            if channel["type"] == 1 and channel["recipients"][0]["id"] == user_id:
                return str(channel["id"])
        channel_id = self.new_id()
        people = [self.users[user_id]]
        self.channels[channel_id] = {"id": channel_id, "type": 1, "recipients": people}
        return channel_id

    # -- what people do --------------------------------------------------------------------------

    def says(
        self, user_id: str, text: str, *, to: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """Let somebody write; return the message."""
        channel_id = to or self.direct(user_id)
        message = self._made(channel_id, self.users[user_id], text, **more)
        self.tell("MESSAGE_CREATE", self._as_event(message), key=self.key_of(message))
        return message

    def key_of(self, message: dict[str, Any]) -> str:
        return f"message:{message['channel_id']}:{message['id']}"

    def _made(
        self, channel_id: str, author: dict[str, Any], text: str, **more: Any
    ) -> dict[str, Any]:
        message = {
            "id": self.new_id(),
            "channel_id": channel_id,
            "author": author,
            "content": text,
            "timestamp": datetime.now(UTC).isoformat(),
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [],
            "embeds": [],
            "pinned": False,
            "type": 0,
            **more,
        }
        self.messages[channel_id].append(message)
        self.channels[channel_id]["last_message_id"] = message["id"]
        return message

    def _as_event(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message as the gateway tells it: with the server and the member."""
        guild_id = self.channels[message["channel_id"]].get("guild_id")
        if guild_id is None:
            return message
        roles = self.roles.get((guild_id, message["author"]["id"]), [])
        return {**message, "guild_id": guild_id, "member": {"roles": roles, "nick": None}}

    def file(self, content: bytes, *, name: str = "a.png", mime: str = "image/png") -> dict:
        file_id = self.new_id()
        self.files[file_id] = content
        url = f"{self.url}/files/{file_id}/{name}?ex=1&is=2&hm=3"
        shape = {"id": file_id, "filename": name, "size": len(content), "url": url}
        return {**shape, "proxy_url": url, "content_type": mime}

    def edits_message(self, message: dict[str, Any], text: str) -> str:
        message["content"] = text
        when = datetime.now(UTC)
        message["edited_timestamp"] = when.isoformat()
        key = f"edit:{message['channel_id']}:{message['id']}:{int(when.timestamp() * 1000)}"
        self.tell("MESSAGE_UPDATE", self._as_event(message), key=key)
        return key

    def uses(
        self,
        user_id: str,
        command: str,
        *,
        to: str | None = None,
        roles: tuple[str, ...] = (),
        **options: str,
    ) -> str:
        """Let somebody use a slash command; return the interaction's id."""
        channel_id = to or self.direct(user_id)
        interaction_id, user = self.new_id(), self.users[user_id]
        guild_id = self.channels[channel_id].get("guild_id")
        raw: dict[str, Any] = {
            "id": interaction_id,
            "application_id": BOT_ID,
            "type": 2,
            "token": f"interaction-token-{interaction_id}",
            "version": 1,
            "channel_id": channel_id,
            "channel": self.channels[channel_id],
            "data": {
                "id": "1",
                "name": command,
                "type": 1,
                "options": [
                    {"name": name, "type": 3, "value": text} for name, text in options.items()
                ],
            },
        }
        if guild_id is None:
            raw["user"] = user
        else:
            raw |= {"guild_id": guild_id, "member": {"user": user, "roles": [*roles]}}
        self._interactions[interaction_id] = {**raw, "message": None, "state": "new"}
        self.tell("INTERACTION_CREATE", raw, key=f"interaction:{interaction_id}")
        return interaction_id

    # -- the gateway -----------------------------------------------------------------------------

    def tell(self, name: str, data: Any, *, key: str | None = None) -> None:
        """Dispatch an event to every session."""
        for session in self.sessions.values():
            shown = self._as_seen(name, data, session)
            number = self._dispatch(session, name, shown)
            if key is not None:
                self._places[key].append((session, number))
        if key is not None:
            self._payloads[key] = (name, data)

    def _as_seen(self, name: str, data: Any, session: Session) -> Any:
        """Hide what a bot without the intent does not see."""
        if name != "MESSAGE_CREATE" or session.intents & PRIVILEGED["content"]:
            return data
        is_named = any(user["id"] == BOT_ID for user in data["mentions"])
        if "guild_id" not in data or is_named:
            return data
        return {**data, "content": "", "attachments": [], "embeds": []}

    def _dispatch(self, session: Session, name: str, data: Any) -> int:
        session.sequence += 1
        frame = {"op": 0, "t": name, "s": session.sequence, "d": data}
        session.events.append(frame)
        if session.connection is not None:
            session.connection.send(frame)
        return session.sequence

    async def _gateway(self, request: web.Request) -> web.StreamResponse:
        assert request.query["v"] == "10"
        assert request.query["encoding"] == "json"
        ws = web.WebSocketResponse(autoping=True)
        await ws.prepare(request)
        transport = request.transport
        assert transport is not None
        one = Connection(ws, transport, request.query.get("compress", ""))
        self.connections.add(one)
        pump = asyncio.ensure_future(one.pump())
        one.send({"op": 10, "d": {"heartbeat_interval": int(self.heartbeat_s * 1000)}, "s": None})
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    self._frame(one, json.loads(message.data))
        finally:
            pump.cancel()
            self.connections.discard(one)
            if one.session is not None and one.session.connection is one:
                one.session.connection = None
                # Who hangs up with these codes does not come back.
                if self.forgets or ws.close_code in {1000, 1001}:
                    self.sessions.pop(one.session.id, None)
        return ws

    def _frame(self, one: Connection, frame: dict[str, Any]) -> None:
        match frame["op"]:
            case 1:
                if one.session is not None and frame["d"] is not None:
                    one.session.acknowledged = max(one.session.acknowledged, frame["d"])
                one.send({"op": 11, "d": None, "s": None, "t": None})
            case 2:
                self._identify(one, frame["d"])
            case 6:
                self._resume(one, frame["d"])
            case _:
                one.close(4001)

    def _identify(self, one: Connection, data: dict[str, Any]) -> None:
        self.identifies += 1
        if data["token"] != self.token:
            one.close(4004)
            return
        asked = sum(data["intents"] & flag for flag in PRIVILEGED.values())
        if asked & ~self.granted:
            one.close(4014)
            return
        session = Session(f"session-{next(self._numbers)}", data["intents"], connection=one)
        self.sessions[session.id] = one.session = session
        ready = {
            "v": 10,
            "user": {**self.bot, "avatar": None},
            "session_id": session.id,
            "resume_gateway_url": self.resume_url or f"ws://127.0.0.1:{self.port}/gateway",
            "guilds": [{"id": guild_id, "unavailable": True} for guild_id in self.servers],
            "application": {"id": BOT_ID, "flags": 0},
        }
        self._dispatch(session, "READY", ready)
        for guild_id in self.servers:
            self._dispatch(session, "GUILD_CREATE", self._server_shape(guild_id))

    def _server_shape(self, guild_id: str) -> dict[str, Any]:
        within = [one for one in self.channels.values() if one.get("guild_id") == guild_id]
        own = {"user": self.bot, "roles": self.roles[guild_id, BOT_ID]}
        return {
            **self.servers[guild_id],
            "channels": [one for one in within if one["type"] not in {10, 11, 12}],
            "threads": [one for one in within if one["type"] in {10, 11, 12}],
            "members": [own],
            "member_count": 3,
            "large": False,
        }

    def _resume(self, one: Connection, data: dict[str, Any]) -> None:
        if data["token"] != self.token:
            one.close(4004)
            return
        session = self.sessions.get(data["session_id"])
        if session is None or data["seq"] is None or data["seq"] > session.sequence:
            self.refused_resumes += 1
            one.send({"op": 9, "d": False, "s": None, "t": None})
            return
        self.resumes += 1
        session.acknowledged = max(session.acknowledged, data["seq"])
        session.connection, one.session = one, session
        for frame in session.events:
            if frame["s"] > data["seq"]:
                one.send(frame)
        self._dispatch(session, "RESUMED", {"_trace": []})

    def ask_to_reconnect(self) -> None:
        for one in self.connections:
            one.send({"op": 7, "d": None, "s": None, "t": None})

    def invalidate(self, *, told: bool = True) -> None:
        """End every session; whoever is connected is told, or finds out when it resumes."""
        self.sessions.clear()
        for one in self.connections:
            if told:
                one.send({"op": 9, "d": False, "s": None, "t": None})
            else:
                one.transport.abort()

    # -- the suite's questions -------------------------------------------------------------------

    async def say(self, text: str, *, sender: str = "ann") -> str:
        return self.key_of(self.says(self.person(sender), text))

    async def repeat(self, key: str) -> None:
        name, data = self._payloads[key]
        self.tell(name, data, key=key)

    def is_acknowledged(self, key: str) -> bool:
        newest: dict[str, tuple[Session, int]] = {s.id: (s, n) for s, n in self._places[key]}
        return any(session.acknowledged >= number for session, number in newest.values())

    def sent(self) -> list[Sent]:
        return [Sent(self._recipient(one["channel_id"]), one["content"]) for one in self.posts]

    def _recipient(self, channel_id: str) -> str:
        channel = self.channels[channel_id]
        return str(channel["recipients"][0]["id"] if channel["type"] == 1 else channel_id)

    def texts(self, channel_id: str) -> list[str]:
        """Return what the bot has said in a channel, as people see it now."""
        return [one["content"] for one in self.posts if one["channel_id"] == channel_id]

    def attempts(self) -> int:
        return self._attempts

    def plan(self, *outcomes: Outcome) -> None:
        self._plan.extend(outcomes)

    async def tell_event(self) -> str:
        ann = self.person("ann")
        message = self._made(self.direct(ann), self.users[ann], "first")
        return self.edits_message(message, "second")

    async def tell_garbage(self) -> None:
        for name, data in (
            ("MESSAGE_CREATE", {}),
            ("MESSAGE_CREATE", [1]),
            ("MESSAGE_CREATE", {"id": "x", "channel_id": {}, "author": 7}),
            ("MESSAGE_REACTION_ADD", {"emoji": None}),
            ("INTERACTION_CREATE", {"type": 2, "token": "t"}),
            ("GUILD_CREATE", {"id": "1", "channels": [3]}),
            ("SOMETHING_NEW", None),
        ):
            self.tell_raw(name, data)

    def tell_raw(self, name: str, data: Any) -> None:
        for session in self.sessions.values():
            self._dispatch(session, name, data)

    async def cut(self) -> None:
        """Cut every connection, those that are kept for later requests included."""
        assert self._runner is not None
        assert self._runner.server is not None
        for one in self._runner.server.connections:
            if one.transport is not None:
                one.transport.abort()

    async def go_silent(self) -> None:
        for one in self.connections:
            one.is_silent = True

    async def revoke(self) -> None:
        self.token = "another.token.altogether"
        for one in self.connections:
            one.close(4004)

    async def accept_again(self) -> None:
        self.token = TOKEN

    # -- REST ------------------------------------------------------------------------------------

    async def _file(self, request: web.Request) -> web.Response:
        self.fetched.append(request.match_info["name"])
        content = self.files.get(request.match_info["id"])
        if content is None:
            return web.Response(status=404)
        return web.Response(body=content, content_type="application/octet-stream")

    async def _api(self, request: web.Request) -> web.StreamResponse:
        parts = request.match_info["path"].split("/")
        self.paths.append(f"{request.method} {request.path}")
        name = f"{request.method} {'/'.join(p if not p.isdigit() else '*' for p in parts)}"
        self.calls.append(name)
        try:
            if request.headers.get("Authorization") != f"Bot {self.token}":
                raise ApiError(401, 0, "401: Unauthorized")
            if name in self.failing:
                self.failing.remove(name)
                return web.Response(status=503, text="upstream connect error")
            headers = self._within_limits(request.method, parts)
            body = await _body(request)
            return await self._answer(request, parts, body, headers)
        except ApiError as error:
            shape = {"message": error.message, "code": error.code}
            return _json(shape, status=error.status)
        except _Limited as limited:
            return limited.response()

    def _within_limits(self, method: str, parts: list[str]) -> dict[str, str]:
        """Return the headers of the bucket; raise when it is empty."""
        limit, per_s = self.bucket
        bucket = f"{method}:{'/'.join(parts[:3])}"
        used, now = self._used[bucket], time.monotonic()
        while used and used[0] <= now - per_s:
            used.popleft()
        if len(used) >= limit:
            raise _Limited(used[0] + per_s - now)
        used.append(now)
        left_s = max(0.001, used[0] + per_s - now)
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(limit - len(used)),
            "X-RateLimit-Reset": f"{time.time() + left_s:.3f}",
            "X-RateLimit-Reset-After": f"{left_s:.3f}",
            "X-RateLimit-Bucket": f"{method}{'/'.join(p for p in parts if not p.isdigit())}",
            "Via": "1.1 google",
        }

    async def _answer(
        self, request: web.Request, parts: list[str], body: Any, headers: dict[str, str]
    ) -> web.StreamResponse:
        match [request.method, *parts]:
            case ["GET", "users", "@me"]:
                found: Any = self.users[BOT_ID]
            case ["GET", "oauth2", "applications", "@me"]:
                found = self._application()
            case ["GET", "gateway", "bot"]:
                found = self._gateway_info()
            case ["GET", "users", "@me", "guilds"]:
                found = [*self.servers.values()]
            case ["POST", "users", "@me", "channels"]:
                found = self._open_direct(str(body["recipient_id"]))
            case ["GET", "guilds", guild_id, "channels"]:
                found = self._server_shape(guild_id)["channels"]
            case ["GET", "guilds", guild_id, "members", "search"]:
                found = self._search(request.query["query"])
            case ["GET", "guilds", guild_id, "members", user_id]:
                found = self._member(guild_id, user_id)
            case ["channels", *_] | [_, "channels", *_]:
                return await self._in_channel(request, parts, body, headers)
            case ["GET", "applications", _, "commands"]:
                found = [*self.commands.values()]
            case ["POST", "applications", _, "commands"]:
                found = self._write_command(body)
            case ["POST", "interactions", interaction_id, token, "callback"]:
                self._respond(interaction_id, token, body)
                return web.Response(status=204, headers=headers)
            case [method, "webhooks", _, token, "messages", "@original"]:
                return self._original(method, token, body, headers)
            case _:
                raise ApiError(404, 0, "404: Not Found")
        return _json(found, headers=headers)

    def _application(self) -> dict[str, Any]:
        return {
            "id": BOT_ID,
            "name": "Portico",
            "icon": None,
            "description": "",
            "summary": "",
            "bot_public": False,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "owner": {**self.bot, "avatar": None, "id": "5"},
            "flags": 0,
            "hook": True,
        }

    def _gateway_info(self) -> dict[str, Any]:
        limit = {"total": 1000, "remaining": self.starts_left, "max_concurrency": 1}
        return {
            "url": f"ws://127.0.0.1:{self.port}/gateway",
            "shards": 1,
            "session_start_limit": {**limit, "reset_after": 3_600_000},
        }

    def _open_direct(self, user_id: str) -> dict[str, Any]:
        if user_id not in self.users:
            raise ApiError(400, 50033, "Invalid Recipient(s)")
        return self.channels[self.direct(user_id)]

    def _member(self, guild_id: str, user_id: str) -> dict[str, Any]:
        if user_id not in self.users:
            raise unknown("Member", 10007)
        roles = self.roles.get((guild_id, user_id), [])
        return {"user": self.users[user_id], "roles": roles, "nick": None}

    def _search(self, query: str) -> list[dict[str, Any]]:
        found = (u for u in self.users.values() if u["username"].startswith(query.lower()))
        return [{"user": user, "roles": []} for user in found]

    def _write_command(self, body: dict[str, Any]) -> dict[str, Any]:
        self.written_commands += 1
        self.commands[body["name"]] = {**body, "id": self.new_id(), "application_id": BOT_ID}
        return self.commands[body["name"]]

    async def _in_channel(
        self, request: web.Request, parts: list[str], body: Any, headers: dict[str, str]
    ) -> web.StreamResponse:
        channel_id = parts[1]
        if channel_id not in self.channels:
            raise unknown("Channel", 10003)
        match [request.method, *parts[2:]]:
            case ["GET"]:
                found: Any = self.channels[channel_id]
            case ["GET", "messages"]:
                found = self._history(channel_id, request.query)
            case ["POST", "messages"]:
                return await self._post(request, channel_id, body, headers)
            case ["PATCH", "messages", message_id]:
                found = self._edit(channel_id, message_id, body)
            case ["DELETE", "messages", message_id]:
                self._delete(channel_id, message_id)
                return web.Response(status=204, headers=headers)
            case ["POST", "typing"]:
                self.typing.append(channel_id)
                return web.Response(status=204, headers=headers)
            case [method, "messages", message_id, "reactions", emoji, "@me"]:
                self._find(channel_id, message_id)
                self.reactions.append((method, message_id, emoji))
                return web.Response(status=204, headers=headers)
            case _:
                raise ApiError(404, 0, "404: Not Found")
        return _json(found, headers=headers)

    def _history(self, channel_id: str, query: Any) -> list[dict[str, Any]]:
        """Return up to `limit` messages after an id, the nearest to it; the newest comes first."""
        after, limit = int(query.get("after", 0)), int(query.get("limit", 50))
        assert 1 <= limit <= 100
        found = [one for one in self.messages[channel_id] if int(one["id"]) > after]
        shown = found[:limit] if after else found[-limit:]
        return [{k: v for k, v in one.items() if k != "nonce"} for one in reversed(shown)]

    def _find(self, channel_id: str, message_id: str) -> dict[str, Any]:
        for one in self.messages[channel_id]:
            if one["id"] == message_id:
                return one
        raise unknown("Message", 10008)

    async def _post(
        self, request: web.Request, channel_id: str, body: Any, headers: dict[str, str]
    ) -> web.StreamResponse:
        self._attempts += 1
        outcome = self._plan.popleft() if self._plan else Outcome.ACCEPT
        if outcome is Outcome.LIMIT:
            raise _Limited(self.retry_after_s)
        if outcome is Outcome.FAIL:
            return web.Response(status=502, text="bad gateway")
        if outcome is Outcome.REJECT or self._recipient(channel_id) in self.blocked:
            raise ApiError(403, 50007, "Cannot send messages to this user")
        message = self._accept(channel_id, body)
        if outcome is Outcome.DROP_ANSWER:
            assert request.transport is not None
            request.transport.abort()
        return _json(message, headers=headers)

    def _accept(self, channel_id: str, body: dict[str, Any]) -> dict[str, Any]:
        nonce = str(body.get("nonce") or "")
        assert len(nonce) <= 25
        made_s, known = self._nonces.get((channel_id, nonce), (0.0, None))
        is_fresh = time.monotonic() - made_s < self.nonce_lives_s
        if body.get("enforce_nonce") and known is not None and is_fresh:
            return known
        message = self._made(channel_id, self.users[BOT_ID], **_content(body))
        if nonce:
            self._nonces[channel_id, nonce] = (time.monotonic(), message)
        if reference := body.get("message_reference"):
            message |= {"type": 19, "message_reference": reference}
        self.posts.append(message)
        self.tell("MESSAGE_CREATE", self._as_event({**message, "nonce": nonce}))
        return {**message, "nonce": nonce}

    def _edit(self, channel_id: str, message_id: str, body: dict[str, Any]) -> dict[str, Any]:
        found = self._find(channel_id, message_id)
        if found["author"]["id"] != BOT_ID:
            raise ApiError(403, 50005, "Cannot edit a message authored by another user")
        content = _content(body)
        found |= {"content": content.pop("text"), **content}
        self.edits.append((message_id, found["content"]))
        self.tell("MESSAGE_UPDATE", self._as_event(found))
        return found

    def _delete(self, channel_id: str, message_id: str) -> None:
        found = self._find(channel_id, message_id)
        self.messages[channel_id].remove(found)
        if found in self.posts:
            self.posts.remove(found)
        self.deleted.append(message_id)
        self.tell("MESSAGE_DELETE", {"id": message_id, "channel_id": channel_id})

    # -- interactions ----------------------------------------------------------------------------

    def _respond(self, interaction_id: str, token: str, body: dict[str, Any]) -> None:
        found = self._interactions.get(interaction_id)
        if found is None or found["token"] != token or found["state"] == "expired":
            raise unknown("interaction", 10062)
        if found["state"] != "new":
            raise ApiError(400, 40060, "Interaction has already been acknowledged.")
        found["state"] = "acknowledged"
        self.callbacks.append((interaction_id, body))
        if body["type"] == DEFERRED:
            made = self._made(found["channel_id"], self.users[BOT_ID], "", flags=LOADING)
            found["message"] = made
        else:
            assert body["type"] == PLAIN

    def expire(self, interaction_id: str) -> None:
        """Let a token's time be up."""
        self._interactions[interaction_id]["state"] = "expired"

    def _original(
        self, method: str, token: str, body: Any, headers: dict[str, str]
    ) -> web.StreamResponse:
        found = next((i for i in self._interactions.values() if i["token"] == token), None)
        if found is None or found["state"] == "expired":
            raise ApiError(401, 50027, "Invalid Webhook Token")
        if (message := found["message"]) is None:
            raise unknown("Message", 10008)
        if method == "DELETE":
            self._delete(found["channel_id"], message["id"])
            return web.Response(status=204, headers=headers)
        content = _content(body)
        message |= {"content": content.pop("text"), "flags": 0, **content}
        if message not in self.posts:
            self.posts.append(message)
        return _json(message, headers=headers)


def _json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Answer as Discord does: without a charset, which discord.py takes for another type."""
    named = {**(headers or {}), "Content-Type": "application/json"}
    return web.Response(body=json.dumps(value).encode(), status=status, headers=named)


class _Limited(Exception):
    def __init__(self, after_s: float) -> None:
        super().__init__()
        self._after_s = after_s

    def response(self) -> web.Response:
        body = {"message": "You are being rate limited.", "retry_after": self._after_s}
        headers = {
            "Retry-After": str(math.ceil(self._after_s)),
            "X-RateLimit-Reset-After": f"{self._after_s:.3f}",
            "X-RateLimit-Scope": "user",
            "Via": "1.1 google",
        }
        return _json({**body, "global": False}, status=429, headers=headers)


def _content(body: dict[str, Any]) -> dict[str, Any]:
    """Return a message's content; refuse what Discord refuses."""
    text = str(body.get("content") or "").strip()
    poll, files = body.get("poll"), body.get("_files", [])
    if len(text) > MAX_TEXT:
        raise ApiError(400, 50035, "Invalid Form Body")
    if not text and not files and poll is None:
        raise ApiError(400, 50006, "Cannot send an empty message")
    if poll is not None:
        _check_poll(poll)
    elif "poll" not in body:
        assert body["allowed_mentions"]["parse"] == [], "a message may mention nobody"
    shown = [{"id": "1", "filename": name, "size": len(content)} for name, content in files]
    return {"text": text, "attachments": shown, **({"poll": poll} if poll else {})}


def _check_poll(poll: dict[str, Any]) -> None:
    answers = poll["answers"]
    if not 1 <= len(answers) <= 10 or len(poll["question"]["text"]) > 300:
        raise ApiError(400, 50035, "Invalid Form Body")
    if not 1 <= poll["duration"] <= 768:
        raise ApiError(400, 50035, "Invalid Form Body")


async def _body(request: web.Request) -> Any:
    """Read JSON, or a form with `payload_json` and files."""
    if not request.can_read_body:
        return {}
    if not request.content_type.startswith("multipart/"):
        return await request.json()
    form = await request.post()
    body = json.loads(str(form["payload_json"]))
    uploads = [one for name, one in form.items() if name.startswith("files[")]
    body["_files"] = [
        (one.filename, one.file.read()) for one in uploads if isinstance(one, web.FileField)
    ]
    return body
