"""Slack on a real socket: Web API, Socket Mode and the Events API's posts.

    async with FakeSlack() as slack:
        ann = slack.person("Ann")
        slack.says(ann, "hello")                       # an event, over a socket or by post
        slack.plan("chat.postMessage", Limited(1), Lost())

An event stays until it is acknowledged: over the socket it came on, or by a 2xx. What is not
acknowledged when a socket closes comes again with `retry_attempt`. What the app did is in `sent`,
`updates`, `calls`, `reactions`, `statuses`. Each call of a planned method takes the next fault.

Source: https://docs.slack.dev/apis/events-api/using-socket-mode;
https://docs.slack.dev/apis/events-api/; https://docs.slack.dev/reference/methods
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import io
import itertools
import json
import re
import socket
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web

BOT_TOKEN = "xoxb-1111-2222-fakeBotToken"  # of nobody
APP_TOKEN = "xapp-1-A0APP-3333-fakeAppToken"  # of nobody
SECRET = "fake-signing-secret-0123"  # of nobody
BOT = {
    "user_id": "U0BOT",
    "bot_id": "B0BOT",
    "user": "portico",
    "team_id": "T0TEAM",
    "team": "Team",
}
APP_ID = "A0APP"
MAX_TEXT, MAX_UPDATE = 40_000, 4_000
TICKET = "ticket-of-a-socket"


@dataclass
class Limited:
    """429 with Retry-After."""

    retry_after_s: int = 1


@dataclass
class Refused:
    """`ok: false` with an error."""

    error: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Broken:
    """What is in front of the API fails: a page that is no JSON."""

    status: int = 502
    body: str = "<html>Bad Gateway</html>"
    content_type: str = "text/html"


@dataclass
class Lost:
    """The call is done, but its answer never arrives."""


@dataclass
class Late:
    """The connection breaks, and the call is done only afterwards."""

    after_s: float = 0.3


@dataclass
class Stalled:
    """Nothing is ever answered; the connection stays open."""


Fault = Limited | Refused | Broken | Lost | Late | Stalled


class ApiError(Exception):
    """What the API answers instead of a result."""

    def __init__(self, error: str, **fields: Any) -> None:
        super().__init__(error)
        self.error = error
        self.fields = fields


@dataclass
class User:
    id: str
    name: str
    dm: str
    is_bot: bool = False


@dataclass
class Channel:
    id: str
    name: str
    type: str = "channel"  # channel, group, mpim, im: as events call them
    with_app: bool = True
    is_archived: bool = False


@dataclass
class Pending:
    """Something Slack has told and wants acknowledged."""

    kind: str
    payload: dict[str, Any]
    attempts: int = 0
    envelope_id: str | None = None
    on: Socket | None = None
    is_acknowledged: bool = False
    answer: Any = None


@dataclass(eq=False)
class Socket:
    """One Socket Mode connection, as the server sees it."""

    ws: web.WebSocketResponse
    transport: Any
    is_silent: bool = False
    is_leaving: bool = False
    is_closed: bool = False
    pings: int = 0


class FakeSlack:
    """The server."""

    def __init__(self, *, tells_mentions_twice: bool = True, latency_s: float = 0.0) -> None:
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.messages: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()
        self.sent: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self.deleted: list[tuple[str, str]] = []
        self.reactions: list[tuple[str, str, str, str]] = []
        self.statuses: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.leaks: list[str] = []
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.sockets: list[Socket] = []
        self.most_sockets = 0
        self.pending: OrderedDict[str, Pending] = OrderedDict()
        self.told: dict[str, Pending] = {}
        self.bot_token, self.app_token = BOT_TOKEN, APP_TOKEN
        self.is_revoked = False
        self.is_link_enabled = True
        self.door: str | None = None  # where events are posted, when not to sockets
        self.secret = SECRET
        self.posts: list[tuple[int, dict[str, str]]] = []
        self.says_hello = True
        self.shows_metadata = True
        self.others = 0  # connections of other programs
        self.page = 100
        self.port = 0
        self._tells_mentions_twice = tells_mentions_twice
        self._latency_s = latency_s
        self._plans: dict[str, deque[Fault]] = defaultdict(deque)
        self._numbers = itertools.count(1)
        self._last_ts = 0.0
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None

    # -- people and what they do -------------------------------------------------------------------

    def person(self, name: str, *, is_bot: bool = False) -> User:
        number = next(self._numbers)
        user = User(f"U{number:04}{name.upper()}", name, f"D{number:04}{name.upper()}", is_bot)
        self.users[user.id] = user
        self.channels[user.dm] = Channel(user.dm, name, "im")
        return user

    def channel(self, name: str, kind: str = "channel", **facts: Any) -> Channel:
        made = Channel(f"C{next(self._numbers):04}{name.upper()}", name, kind, **facts)
        self.channels[made.id] = made
        return made

    def ts(self) -> str:
        self._last_ts = max(time.time(), self._last_ts + 0.000_01)
        return f"{self._last_ts:.6f}"

    def says(
        self,
        who: User,
        text: str = "",
        *,
        to: Channel | None = None,
        thread: str | None = None,
        files: list[dict[str, Any]] | None = None,
        **fields: Any,
    ) -> str:
        """Let a person write; return the event's id. `text` is as Slack sends it (escaped)."""
        channel = to or self.channels[who.dm]
        event = {
            "type": "message",
            "user": who.id,
            "text": text,
            "ts": self.ts(),
            "channel": channel.id,
            "channel_type": channel.type,
            "team": BOT["team_id"],
            **({"thread_ts": thread} if thread else {}),
            **({"files": files, "subtype": "file_share"} if files else {}),
            **fields,
        }
        event["event_ts"] = event["ts"]
        if thread is not None and (root := self.messages.get((channel.id, thread))) is not None:
            event.setdefault("parent_user_id", root.get("user"))
        self.messages[channel.id, event["ts"]] = event
        if f"<@{BOT['user_id']}>" in text and channel.type != "im" and self._tells_mentions_twice:
            twin = {k: v for k, v in event.items() if k not in {"channel_type", "subtype"}}
            self.event({**twin, "type": "app_mention"})
        return self.event(event)

    def event(self, event: Mapping[str, Any], **fields: Any) -> str:
        """Tell an event of any kind; return its id."""
        event_id = f"Ev{next(self._numbers):08}"
        payload = {
            "token": "legacy-verification-token",
            "team_id": BOT["team_id"],
            "api_app_id": APP_ID,
            "event": dict(event),
            "type": "event_callback",
            "event_id": event_id,
            "event_time": int(time.time()),
            "authorizations": [{"team_id": BOT["team_id"], "user_id": BOT["user_id"]}],
            **fields,
        }
        self.tell(event_id, "events_api", payload)
        return event_id

    def command(self, who: User, command: str, text: str = "", *, to: Channel | None = None) -> str:
        """Let a person give a slash command; return its trigger."""
        channel = to or self.channels[who.dm]
        trigger = f"{next(self._numbers)}.{next(self._numbers)}.abcdef"
        name = "directmessage" if channel.type == "im" else channel.name
        payload = {
            "token": "legacy-verification-token",
            "team_id": BOT["team_id"],
            "channel_id": channel.id,
            "channel_name": name,
            "user_id": who.id,
            "user_name": who.name.lower(),
            "command": command,
            "text": text,
            "api_app_id": APP_ID,
            "response_url": f"{self.url}/commands/secret",
            "trigger_id": trigger,
        }
        self.tell(trigger, "slash_commands", payload)
        return trigger

    def presses(self, who: User, action_id: str, value: str, *, channel: str, ts: str) -> str:
        """Let a person press a button under a message."""
        trigger = f"{next(self._numbers)}.{next(self._numbers)}.fedcba"
        payload = {
            "type": "block_actions",
            "user": {"id": who.id, "username": who.name.lower(), "team_id": BOT["team_id"]},
            "api_app_id": APP_ID,
            "container": {"type": "message", "message_ts": ts, "channel_id": channel},
            "trigger_id": trigger,
            "channel": {"id": channel, "name": "x"},
            "message": {"ts": ts, "text": "…"},
            "response_url": f"{self.url}/actions/secret",
            "actions": [
                {"action_id": action_id, "block_id": "b", "type": "button", "value": value}
            ],
        }
        self.tell(trigger, "interactive", payload)
        return trigger

    def tell(self, key: str, kind: str, payload: dict[str, Any]) -> None:
        """Queue something for the app."""
        self.told[key] = self.pending[key] = Pending(kind, payload)
        self._news.set()

    def repeat(self, key: str) -> None:
        """Tell it again, as after a lost acknowledgement."""
        before = self.told[key]
        self.told[key] = self.pending[key] = Pending(before.kind, before.payload, before.attempts)
        self._news.set()

    def file(self, content: bytes, name: str, mimetype: str, **fields: Any) -> dict[str, Any]:
        """Store a file; return how a message names it."""
        file_id = f"F{next(self._numbers):04}"
        self.contents[file_id] = content
        shape = {
            "id": file_id,
            "name": name,
            "title": name,
            "mimetype": mimetype,
            "size": len(content),
            "mode": "hosted",
            "url_private": f"{self.url}/files-pri/{file_id}/{name}",
            "url_private_download": f"{self.url}/files-pri/{file_id}/download/{name}",
            **fields,
        }
        self.files[file_id] = shape
        return shape

    def plan(self, method: str, *faults: Fault) -> None:
        """Let the next calls of a method go wrong."""
        self._plans[method].extend(faults)

    def texts(self, channel: str | User | Channel | None = None) -> list[str]:
        """Return what the app has sent, in order, as it stands now and as people read it."""
        where = channel.dm if isinstance(channel, User) else getattr(channel, "id", channel)
        return [
            visible(self.messages[one["channel"], one["ts"]]["text"])
            for one in self.sent
            if (one["channel"], one["ts"]) in self.messages and where in {None, one["channel"]}
        ]

    # -- the server --------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self, **more: Any) -> dict[str, Any]:
        """What is written in the configuration of an account that talks to this server."""
        tokens = {"botToken": BOT_TOKEN, "appToken": APP_TOKEN, "signingSecret": SECRET}
        return {**tokens, "apiUrl": f"{self.url}/api/", "pingSeconds": 0.2, **more}

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/api/{method}", self._call)
        app.router.add_get("/link", self._link)
        app.router.add_get("/files-pri/{id}/{name:.*}", self._download)
        app.router.add_post("/upload/{id}", self._upload)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener).start()
        self._http = aiohttp.ClientSession()
        self._start(self._deliver())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut_all()
        assert self._http is not None
        assert self._runner is not None
        await self._http.close()
        await self._runner.cleanup()

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- sockets -----------------------------------------------------------------------------------

    async def _link(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("ticket") != TICKET:
            return web.Response(status=403)
        ws = web.WebSocketResponse(autoping=False)
        await ws.prepare(request)
        here = Socket(ws, request.transport)
        self.sockets.append(here)
        self.most_sockets = max(self.most_sockets, len(self.sockets))
        if self.says_hello:
            await ws.send_json(
                {
                    "type": "hello",
                    "num_connections": len(self.sockets) + self.others,
                    "debug_info": {"host": "applink-1", "approximate_connection_time": 18060},
                    "connection_info": {"app_id": APP_ID},
                }
            )
        self._news.set()
        try:
            async for message in ws:
                if here.is_silent:
                    continue
                if message.type is WSMsgType.PING:
                    here.pings += 1
                    await ws.pong(message.data)
                elif message.type is WSMsgType.TEXT:
                    self._acknowledge(here, json.loads(message.data))
        except (ConnectionError, RuntimeError):
            pass
        finally:
            self._gone(here)
        return ws

    def _gone(self, here: Socket) -> None:
        here.is_closed = True
        if here in self.sockets:
            self.sockets.remove(here)
        for one in self.pending.values():
            if one.on is here:
                one.on, one.envelope_id = None, None
        self._news.set()

    def _acknowledge(self, here: Socket, answer: dict[str, Any]) -> None:
        for key, one in [*self.pending.items()]:
            if one.envelope_id == answer.get("envelope_id") and one.on is here:
                one.is_acknowledged, one.answer = True, answer.get("payload")
                del self.pending[key]

    async def frame(self, text: str, at: int = -1) -> None:
        """Send a raw frame."""
        await self.sockets[at].ws.send_str(text)

    async def disconnect(self, reason: str, *, at: int = -1, closes: bool = False) -> None:
        """Tell a socket that it will be closed."""
        here = self.sockets[at]
        here.is_leaving = True
        debug = {"host": "applink-1"}
        await here.ws.send_json({"type": "disconnect", "reason": reason, "debug_info": debug})
        if closes:
            await here.ws.close()

    def cut_all(self) -> None:
        """Reset every socket; new ones are welcome."""
        for here in [*self.sockets]:
            if here.transport is not None:
                here.transport.abort()
            self._gone(here)

    async def _deliver(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            for one in [*self.pending.values()]:
                if one.is_acknowledged or one.on is not None:
                    continue
                if self.door is not None:
                    await self._post_until_taken(one)
                    continue
                able = [s for s in self.sockets if not (s.is_leaving or s.is_closed)]
                # To a silent socket Slack sends as well: it is the network that eats it.
                if able and not able[-1].is_silent:
                    await self._send(able[-1], one)

    async def _send(self, here: Socket, one: Pending) -> None:
        one.on, one.envelope_id = here, f"env-{next(self._numbers)}"
        envelope: dict[str, Any] = {
            "envelope_id": one.envelope_id,
            "payload": one.payload,
            "type": one.kind,
            "accepts_response_payload": one.kind != "events_api",
        }
        if one.kind == "events_api":
            envelope |= {"retry_attempt": one.attempts}
            envelope |= {"retry_reason": "timeout" if one.attempts else ""}
        one.attempts += 1
        with contextlib.suppress(ConnectionError, RuntimeError):
            await here.ws.send_json(envelope)

    # -- posts -------------------------------------------------------------------------------------

    async def _post_until_taken(self, one: Pending) -> None:
        while True:
            status = await self.post(one)
            if status < 300:
                one.is_acknowledged = True
                for key in [k for k, v in self.pending.items() if v is one]:
                    del self.pending[key]
                return
            await asyncio.sleep(0.05)

    async def post(self, one: Pending) -> int:
        """Post as Slack does; return the status, 599 when there is no answer."""
        headers = {}
        if one.kind == "events_api":
            body, kind = json.dumps(one.payload).encode(), "application/json"
            if one.attempts:
                headers["X-Slack-Retry-Num"] = str(one.attempts)
                headers["X-Slack-Retry-Reason"] = "http_timeout"
        else:
            fields = one.payload
            if one.kind == "interactive":
                fields = {"payload": json.dumps(one.payload)}
            body, kind = urlencode(fields).encode(), "application/x-www-form-urlencoded"
        one.attempts += 1
        status, answer = await self.post_raw(body, kind, headers)
        one.answer = answer
        return status

    async def post_raw(
        self,
        body: bytes,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
        *,
        secret: str | None = None,
        at: float | None = None,
    ) -> tuple[int, str]:
        timestamp = str(int(time.time() if at is None else at))
        proof = {
            "Content-Type": kind,
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": signature(secret or self.secret, timestamp, body),
            **(headers or {}),
        }
        assert self._http is not None
        assert self.door is not None
        try:
            async with self._http.post(self.door, data=io.BytesIO(body), headers=proof) as answer:
                self.posts.append((answer.status, dict(proof)))
                return answer.status, await answer.text()
        except aiohttp.ClientError:
            return 599, ""

    # -- the Web API -------------------------------------------------------------------------------

    async def _call(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        self.calls.append(method)
        if any(token in str(request.url) for token in (BOT_TOKEN, APP_TOKEN)):
            self.leaks.append(str(request.url))
        given = await _params(request)
        fault = self._plans[method].popleft() if self._plans[method] else None
        match fault:
            case Limited(after):
                headers = {"Retry-After": str(after)}
                return web.json_response(
                    {"ok": False, "error": "ratelimited"}, status=429, headers=headers
                )
            case Refused(error, fields):
                return web.json_response({"ok": False, "error": error, **fields})
            case Broken(status, body, kind):
                return web.Response(status=status, text=body, content_type=kind)
            case Stalled():
                await asyncio.sleep(3600)
            case Late(after):
                self._start(self._do_later(after, method, given))
                return self._cut(request)
            case Lost() | None:
                pass
        try:
            self._authorize(request, method)
            await asyncio.sleep(self._latency_s)
            result = self._answer(method, given)
            await asyncio.sleep(self._latency_s)
        except ApiError as error:
            return web.json_response({"ok": False, "error": error.error, **error.fields})
        if isinstance(fault, Lost):
            return self._cut(request)
        return web.json_response({"ok": True, **result})

    async def _do_later(self, after_s: float, method: str, given: dict[str, Any]) -> None:
        await asyncio.sleep(after_s)
        self._answer(method, given)

    def _cut(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _authorize(self, request: web.Request, method: str) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.is_revoked:
            raise ApiError("token_revoked")
        if not given:
            raise ApiError("not_authed")
        wanted = self.app_token if method == "apps.connections.open" else self.bot_token
        if given != wanted:
            raise ApiError("invalid_auth")

    def _answer(self, method: str, given: dict[str, Any]) -> dict[str, Any]:
        handler = getattr(self, "_on_" + re.sub(r"(?<!^)(?=[A-Z])|\.", "_", method).lower(), None)
        if handler is None:
            raise ApiError("unknown_method")
        return handler(given)

    def _on_auth_test(self, _given: dict[str, Any]) -> dict[str, Any]:
        return {"url": "https://team.slack.com/", **BOT}

    def _on_apps_connections_open(self, _given: dict[str, Any]) -> dict[str, Any]:
        if not self.is_link_enabled:
            raise ApiError("forbidden_team")
        if len(self.sockets) >= 10:
            raise ApiError("too_many_websockets")
        return {"url": f"ws://127.0.0.1:{self.port}/link/?ticket={TICKET}".replace("link/", "link")}

    def _on_chat_post_message(self, given: dict[str, Any]) -> dict[str, Any]:
        channel = self._where(given)
        text = self._text(given, MAX_TEXT)
        thread = given.get("thread_ts")
        if thread and (channel.id, thread) not in self.messages:
            raise ApiError("thread_not_found")
        message = {
            "type": "message",
            "user": BOT["user_id"],
            "bot_id": BOT["bot_id"],
            "app_id": APP_ID,
            "text": text,
            "ts": self.ts(),
            **({"thread_ts": thread} if thread else {}),
        }
        if given.get("metadata"):
            message["metadata"] = _json(given["metadata"])
        self.messages[channel.id, message["ts"]] = message
        self.sent.append({**message, "channel": channel.id, "given": given})
        self._echo({**message, "channel": channel.id, "channel_type": channel.type})
        return {"channel": channel.id, "ts": message["ts"], "message": message}

    def _echo(self, event: dict[str, Any]) -> None:
        """An app is told of its own messages, too."""
        self.event({k: v for k, v in event.items() if k != "metadata"})

    def _on_chat_update(self, given: dict[str, Any]) -> dict[str, Any]:
        found = self._own(given, "cant_update_message")
        before = dict(found)
        found["text"] = self._text(given, MAX_UPDATE)
        if given.get("metadata"):
            found["metadata"] = _json(given["metadata"])
        self.updates.append({"ts": found["ts"], "text": found["text"]})
        channel = self.channels[given["channel"]]
        self.event(
            {
                "type": "message",
                "subtype": "message_changed",
                "channel": channel.id,
                "channel_type": channel.type,
                "ts": self.ts(),
                "message": {k: v for k, v in found.items() if k != "metadata"},
                "previous_message": {k: v for k, v in before.items() if k != "metadata"},
            }
        )
        return {"channel": given["channel"], "ts": found["ts"], "text": found["text"]}

    def _on_chat_delete(self, given: dict[str, Any]) -> dict[str, Any]:
        found = self._own(given, "cant_delete_message")
        del self.messages[given["channel"], found["ts"]]
        self.deleted.append((given["channel"], found["ts"]))
        return {"channel": given["channel"], "ts": found["ts"]}

    def _own(self, given: dict[str, Any], complaint: str) -> dict[str, Any]:
        found = self.messages.get((str(given.get("channel")), str(given.get("ts"))))
        if found is None:
            raise ApiError("message_not_found")
        if found.get("user") != BOT["user_id"]:
            raise ApiError(complaint)
        return found

    def _text(self, given: dict[str, Any], most: int) -> str:
        text = str(given.get("text") or "")
        if not text:
            raise ApiError("no_text")
        if len(text) > most:
            raise ApiError("msg_too_long")
        return text

    def _where(self, given: dict[str, Any], name: str = "channel") -> Channel:
        wanted = str(given.get(name) or "")
        if wanted in self.users:
            wanted = self.users[wanted].dm
        channel = self.channels.get(wanted)
        if channel is None:
            raise ApiError("channel_not_found")
        if channel.is_archived:
            raise ApiError("is_archived")
        if not channel.with_app:
            raise ApiError("not_in_channel")
        return channel

    def _on_conversations_history(self, given: dict[str, Any]) -> dict[str, Any]:
        channel = self._where(given)
        return self._pages(
            [
                one
                for (where, ts), one in reversed(self.messages.items())
                if where == channel.id and one.get("thread_ts") in {None, ts}
            ],
            given,
        )

    def _on_conversations_replies(self, given: dict[str, Any]) -> dict[str, Any]:
        channel, root = self._where(given), str(given.get("ts"))
        if (channel.id, root) not in self.messages:
            raise ApiError("thread_not_found")
        return self._pages(
            [
                one
                for (where, ts), one in self.messages.items()
                if where == channel.id and root in {ts, one.get("thread_ts")}
            ],
            given,
        )

    def _pages(self, found: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
        oldest = float(given.get("oldest") or 0)
        found = [one for one in found if float(one["ts"]) > oldest]
        wanted = str(given.get("include_all_metadata")).lower() in {"1", "true"}
        if not (wanted and self.shows_metadata):
            found = [{k: v for k, v in one.items() if k != "metadata"} for one in found]
        page, more = self._page(found, given)
        return {"messages": page, "has_more": bool(more), **more}

    def _page(self, found: list[Any], given: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        start = int(str(given.get("cursor") or "0").removeprefix("at-"))
        size = min(int(given.get("limit") or 100), self.page)
        following = f"at-{start + size}" if start + size < len(found) else ""
        meta = {"response_metadata": {"next_cursor": following}} if following else {}
        return found[start : start + size], meta

    def _on_conversations_info(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"channel": _channel_shape(self._where(given))}

    def _on_conversations_open(self, given: dict[str, Any]) -> dict[str, Any]:
        user = self.users.get(str(given.get("users")))
        if user is None:
            raise ApiError("user_not_found")
        return {"channel": {"id": user.dm}}

    def _on_conversations_list(self, given: dict[str, Any]) -> dict[str, Any]:
        found = [_channel_shape(one) for one in self.channels.values() if one.type != "im"]
        page, more = self._page(found, given)
        return {"channels": page, **more}

    def _on_users_info(self, given: dict[str, Any]) -> dict[str, Any]:
        user = self.users.get(str(given.get("user")))
        if user is None:
            raise ApiError("user_not_found")
        return {"user": _user_shape(user)}

    def _on_users_list(self, given: dict[str, Any]) -> dict[str, Any]:
        page, more = self._page([_user_shape(one) for one in self.users.values()], given)
        return {"members": page, **more}

    def _on_reactions_add(self, given: dict[str, Any], kind: str = "add") -> dict[str, Any]:
        channel, ts, name = str(given["channel"]), str(given["timestamp"]), str(given["name"])
        if (channel, ts) not in self.messages:
            raise ApiError("message_not_found")
        if not re.fullmatch(r"[\w'+-]+", name):
            raise ApiError("invalid_name")
        if kind == "add" and ("add", channel, ts, name) in self.reactions:
            raise ApiError("already_reacted")
        self.reactions.append((kind, channel, ts, name))
        return {}

    def _on_reactions_remove(self, given: dict[str, Any]) -> dict[str, Any]:
        return self._on_reactions_add(given, "remove")

    def _on_assistant_threads_set_status(self, given: dict[str, Any]) -> dict[str, Any]:
        self.statuses.append(given)
        return {}

    # -- files -------------------------------------------------------------------------------------

    def _on_files_get_upload_u_r_l_external(self, given: dict[str, Any]) -> dict[str, Any]:
        file = self.file(b"", str(given["filename"]), "application/octet-stream")
        file["size"] = int(given["length"])
        return {"upload_url": f"{self.url}/upload/{file['id']}", "file_id": file["id"]}

    def _on_files_complete_upload_external(self, given: dict[str, Any]) -> dict[str, Any]:
        channel = self._where(given, "channel_id")
        shown = []
        for one in _json(given["files"]):
            if len(self.contents[one["id"]]) != self.files[one["id"]]["size"]:
                raise ApiError("file_not_found")
            shown.append(self.files[one["id"]])
        message = {
            "type": "message",
            "subtype": "file_share",
            "user": BOT["user_id"],
            "bot_id": BOT["bot_id"],
            "text": str(given.get("initial_comment") or ""),
            "files": shown,
            "ts": self.ts(),
            **({"thread_ts": given["thread_ts"]} if given.get("thread_ts") else {}),
        }
        self.messages[channel.id, message["ts"]] = message
        self.sent.append({**message, "channel": channel.id, "given": given})
        self._echo({**message, "channel": channel.id, "channel_type": channel.type})
        return {"files": [{"id": one["id"], "title": one["name"]} for one in shown]}

    async def _upload(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization"):
            self.leaks.append("token sent to the upload address")
        self.contents[request.match_info["id"]] = await request.read()
        return web.Response(text="OK - 1")

    async def _download(self, request: web.Request) -> web.Response:
        self.fetched.append(request.match_info["id"])
        if request.headers.get("Authorization") != f"Bearer {self.bot_token}":
            return web.Response(text="<html>Sign in</html>", content_type="text/html")
        file = self.files[request.match_info["id"]]
        content = self.contents.get(file["id"])
        if content is None:
            return web.Response(status=404)
        if (elsewhere := file.get("elsewhere")) is not None:
            return web.Response(status=302, headers={"Location": elsewhere})
        return web.Response(body=content, content_type=file["mimetype"])


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Sign with a code of the fake's own, so that a mistake in ours does not cancel out."""
    base = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


def visible(text: str) -> str:
    """Return what people read of a text as Slack shows it, but for its formatting marks."""
    shown = re.sub(r"<([^<>|]+)\|([^<>]*)>", r"\2", text)
    assert not re.search(r"<(?![@#!]|https?:|mailto:|tel:)", shown), f"not escaped: {text!r}"
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _user_shape(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name.lower(),
        "real_name": user.name,
        "is_bot": user.is_bot,
        "profile": {"display_name": user.name, "real_name": user.name},
    }


def _channel_shape(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.id,
        "name": channel.name,
        "is_channel": channel.type == "channel",
        "is_mpim": channel.type == "mpim",
        "is_im": channel.type == "im",
    }


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


async def _params(request: web.Request) -> dict[str, Any]:
    given: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        return {**given, **(await request.json())}
    return {**given, **(await request.post())}
