"""Telegram's Bot API on a real socket, with its errors, limits and redelivery.

    async with FakeTelegram() as telegram:
        ann = telegram.person("Ann")
        telegram.says(ann, "hello")            # an update for getUpdates or the webhook
        telegram.plan("sendMessage", Limited(3), Broken())

An update stays until it is confirmed: by an offset above it, or by a 2xx of the webhook. What the
bot did is in `sent`, `edits`, `actions` and `calls`. Each call of a planned method takes the next
fault of its plan.

Source: https://core.telegram.org/bots/api ("Making requests", "Getting updates", "sendMessage",
"Formatting options", "getFile"); error texts as the public server gives them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, ClassVar, Self

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "123456:fake-telegram-token"  # of nobody
MAX_TEXT = 4096
MAX_CAPTION = 1024
MAX_FILE = 20 * 1024 * 1024
TAGS = frozenset(
    {"a", "b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "code", "pre", "span"}
    | {"tg-spoiler", "tg-emoji", "blockquote"}
)
MEDIA = {
    "sendPhoto": "photo",
    "sendDocument": "document",
    "sendVoice": "voice",
    "sendAudio": "audio",
    "sendVideo": "video",
    "sendAnimation": "animation",
}


@dataclass
class Limited:
    """429 with `retry_after`."""

    retry_after_s: int = 1


@dataclass
class Refused:
    """An error of the API."""

    code: int
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Broken:
    """The gateway in front of the API fails: a page that is no JSON."""

    status: int = 502
    body: str = "<html>Bad Gateway</html>"


@dataclass
class Lost:
    """The call is done, but its answer never arrives."""


@dataclass
class Stalled:
    """Nothing is ever answered; the connection stays open."""


Fault = Limited | Refused | Broken | Lost | Stalled


class ApiError(Exception):
    """What the API answers instead of a result."""

    def __init__(self, code: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


@dataclass
class Chat:
    """A private chat, a group, or a supergroup with topics."""

    id: int
    type: str = "private"
    title: str | None = None
    first_name: str | None = None
    username: str | None = None
    topics: frozenset[int] = frozenset()
    blocked: bool = False
    migrated_to: int | None = None

    def shape(self) -> dict[str, Any]:
        given = {"title": self.title, "first_name": self.first_name, "username": self.username}
        shown = {name: value for name, value in given.items() if value is not None}
        forum = {"is_forum": True} if self.topics else {}
        return {"id": self.id, "type": self.type, **shown, **forum}

    def user(self) -> dict[str, Any]:
        assert self.type == "private"
        given = {"username": self.username} if self.username else {}
        return {"id": self.id, "is_bot": False, "first_name": self.first_name or "?", **given}


class FakeTelegram:
    """The server."""

    bot: ClassVar[dict[str, Any]] = {
        "id": 123456,
        "is_bot": True,
        "first_name": "Portico",
        "username": "portico_bot",
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
    }

    def __init__(self, *, longest_poll_s: float = 1.0) -> None:
        self.chats: dict[int, Chat] = {}
        self.messages: dict[tuple[int, int], dict[str, Any]] = {}
        self.sent: list[dict[str, Any]] = []
        self.edits: list[dict[str, Any]] = []
        self.actions: list[tuple[str, dict[str, Any]]] = []
        self.calls: list[str] = []
        self.commands: list[dict[str, str]] = []
        self.webhook: dict[str, Any] = {}
        self.webhook_failures = 0
        self.confirmed = 0
        self.is_polling = False
        self.is_revoked = False
        self.files: dict[str, bytes] = {}
        self._longest_poll_s = longest_poll_s
        self._updates: deque[dict[str, Any]] = deque()
        self._ids = itertools.count(1001)
        self._message_ids = itertools.count(1)
        self._chat_ids = itertools.count(501)
        self._plans: dict[str, deque[Fault | None]] = defaultdict(deque)
        self._arrived = asyncio.Event()
        self._poll: asyncio.Future[None] | None = None
        self._server: uvicorn.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- people and what they do -------------------------------------------------------------------

    def person(self, name: str, username: str | None = None) -> Chat:
        return self._add(Chat(next(self._chat_ids), first_name=name, username=username))

    def group(self, title: str, *, topics: tuple[int, ...] = ()) -> Chat:
        number = -1_000_000_000_000 - next(self._chat_ids)
        return self._add(Chat(number, "supergroup", title, topics=frozenset(topics)))

    def _add(self, chat: Chat) -> Chat:
        self.chats[chat.id] = chat
        return chat

    def says(
        self, who: Chat, text: str = "", *, to: Chat | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Let a person write, to the bot or to a group; return the message."""
        chat = to or who
        message = {
            "message_id": next(self._message_ids),
            "date": 1_795_000_000,
            "chat": chat.shape(),
            "from": who.user(),
            **({"text": text, "entities": _entities(text)} if text else {}),
            **fields,
        }
        if not message.get("entities"):
            message.pop("entities", None)
        self.messages[chat.id, message["message_id"]] = message
        self.update(message=message)
        return message

    def album(self, who: Chat, *photos: bytes, caption: str = "") -> list[dict[str, Any]]:
        """Let a person send photos as one album."""
        group_id = str(next(self._ids))
        return [
            self.says(who, **_album_part(group_id, self.photo(photo), caption if not index else ""))
            for index, photo in enumerate(photos)
        ]

    def photo(self, content: bytes) -> list[dict[str, Any]]:
        """Store a picture; return its sizes as a message has them."""
        return [{**self.file(content), "width": size, "height": size} for size in (90, 800)]

    def file(self, content: bytes, **fields: Any) -> dict[str, Any]:
        """Store a file; return how a message names it."""
        file_id = f"file-{next(self._ids)}"
        self.files[file_id] = content
        return {
            "file_id": file_id,
            "file_unique_id": f"u{file_id}",
            "file_size": len(content),
            **fields,
        }

    def update(self, **content: Any) -> int:
        """Queue an update of any kind; return its id."""
        update_id = next(self._ids)
        self._updates.append({"update_id": update_id, **content})
        self._arrived.set()
        return update_id

    def redeliver(self, update: Mapping[str, Any]) -> None:
        """Deliver an update again, as the server does when a confirmation is lost."""
        self._updates.appendleft(dict(update))
        self._arrived.set()

    @property
    def waiting(self) -> int:
        """Updates nobody has confirmed yet."""
        return len(self._updates)

    @property
    def unconfirmed(self) -> Sequence[dict[str, Any]]:
        """Updates nobody has confirmed yet, the newest last."""
        return self._updates

    def plan(self, method: str, *faults: Fault | None) -> None:
        """Let the next calls of a method go wrong; `None`: let this one be."""
        self._plans[method].extend(faults)

    def has_plan(self, method: str) -> bool:
        """Whether a planned fault has not happened yet."""
        return bool(self._plans[method])

    def texts(self, chat: Chat | None = None) -> list[str]:
        """Return what the bot has sent, in order, as it stands now."""
        return [
            self.messages[m["chat"]["id"], m["message_id"]].get("text", m.get("caption", ""))
            for m in self.sent
            if chat is None or m["chat"]["id"] == chat.id
        ]

    # -- the server --------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The address that stands in place of https://api.telegram.org."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        app = Starlette(
            routes=[
                Route("/bot{token}/{method}", self._call, methods=["GET", "POST"]),
                Route("/file/bot{token}/{path:path}", self._download),
            ]
        )
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=0,
        )
        self._server = uvicorn.Server(config)
        self._start(self._server._serve())  # without its signal handlers
        while not self._server.started:
            await asyncio.sleep(0.005)
        self._start(self._push())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._server.force_exit = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._server.servers:
            server.close()
        await asyncio.sleep(0)  # who was let in a moment ago is connected now
        for connection in [*self._server.server_state.connections]:
            connection.transport.abort()  # who still waits for updates would keep the loop open
        await asyncio.sleep(0)

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)

    async def _call(self, request: Request) -> Response:
        method = request.path_params["method"]
        self.calls.append(method)
        if request.path_params["token"] != TOKEN or self.is_revoked:
            return _error(ApiError(401, "Unauthorized"))
        fault = self._plans[method].popleft() if self._plans[method] else None
        match fault:
            case Limited(after):
                text = f"Too Many Requests: retry after {after}"
                return _error(ApiError(429, text, retry_after=after))
            case Refused(code, description, parameters):
                return _error(ApiError(code, description, **parameters))
            case Broken(status, body):
                return Response(body, status, media_type="text/html")
            case Stalled():
                await asyncio.Event().wait()
            case _:
                pass
        try:
            result = await self._answer(method, await _params(request))
        except ApiError as error:
            return _error(error)
        if isinstance(fault, Lost):
            return _Cut()
        return JSONResponse({"ok": True, "result": result})

    async def _answer(self, method: str, params: dict[str, Any]) -> Any:
        if method in MEDIA:
            return self._send_media(method, params)
        handler = getattr(self, f"_on_{_snake(method)}", None)
        if handler is None:
            raise ApiError(404, "Not Found")
        result = handler(params)
        return await result if asyncio.iscoroutine(result) else result

    async def _download(self, request: Request) -> Response:
        content = self.files.get(request.path_params["path"].removeprefix("files/"))
        if request.path_params["token"] != TOKEN or content is None:
            return _error(ApiError(404, "Not Found"))
        return Response(content)

    # -- updates -----------------------------------------------------------------------------------

    async def _on_get_updates(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        if self.webhook.get("url"):
            raise ApiError(
                409,
                "Conflict: can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first",
            )
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)  # the older request is the one that is terminated
        mine = self._poll = asyncio.get_running_loop().create_future()
        offset = int(params.get("offset") or 0)
        if offset > 0:
            self._confirm(offset)
        found = self._ready(params)
        wait_s = min(float(params.get("timeout") or 0), self._longest_poll_s)
        if not found and wait_s:
            found = await self._wait(mine, params, wait_s)
        return found

    async def _wait(
        self, mine: asyncio.Future[None], params: dict[str, Any], wait_s: float
    ) -> list[dict[str, Any]]:
        deadline = asyncio.get_running_loop().time() + wait_s
        self.is_polling = True
        try:
            while not (found := self._ready(params)):
                left_s = deadline - asyncio.get_running_loop().time()
                if left_s <= 0:
                    return []
                self._arrived.clear()
                arrived = asyncio.ensure_future(self._arrived.wait())
                both: set[asyncio.Future[Any]] = {arrived, mine}
                await asyncio.wait(both, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
                arrived.cancel()
                if mine.done():
                    raise ApiError(
                        409,
                        "Conflict: terminated by other getUpdates request; "
                        "make sure that only one bot instance is running",
                    )
            return found
        finally:
            self.is_polling = False

    def _ready(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        limit = min(int(params.get("limit") or 100), 100)
        return [*itertools.islice(self._updates, limit)]

    def _confirm(self, offset: int) -> None:
        while self._updates and self._updates[0]["update_id"] < offset:
            self.confirmed = max(self.confirmed, self._updates.popleft()["update_id"])

    def _on_set_webhook(self, params: dict[str, Any]) -> bool:
        url = str(params.get("url") or "")
        if url and not re.match(r"https?://", url):
            raise ApiError(400, "Bad Request: bad webhook: An HTTPS URL must be provided")
        if str(params.get("drop_pending_updates")).lower() == "true":
            self._updates.clear()
        self.webhook = {"url": url, "secret_token": params.get("secret_token")}
        self._arrived.set()
        return True

    def _on_delete_webhook(self, params: dict[str, Any]) -> bool:
        return self._on_set_webhook({**params, "url": ""})

    def _on_get_webhook_info(self, _params: dict[str, Any]) -> dict[str, Any]:
        return {
            "url": self.webhook.get("url", ""),
            "has_custom_certificate": False,
            "pending_update_count": len(self._updates),
        }

    async def _push(self) -> None:
        """Post updates to the webhook, in order, until each is answered with 2xx."""
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as http:
            while True:
                if not self._updates or not self.webhook.get("url"):
                    await self._arrived.wait()
                    self._arrived.clear()
                    if not self.webhook.get("url"):
                        await asyncio.sleep(0.01)
                    continue
                update = self._updates[0]
                secret = self.webhook.get("secret_token")
                headers = {"X-Telegram-Bot-Api-Secret-Token": secret} if secret else {}
                try:
                    answer = await http.post(self.webhook["url"], json=update, headers=headers)
                    taken = answer.is_success
                except httpx2.HTTPError:
                    taken = False
                if taken:
                    self._confirm(update["update_id"] + 1)
                else:
                    self.webhook_failures += 1
                    await asyncio.sleep(0.05)

    # -- sending -----------------------------------------------------------------------------------

    def _on_get_me(self, _params: dict[str, Any]) -> dict[str, Any]:
        return dict(self.bot)

    def _on_send_message(self, params: dict[str, Any]) -> dict[str, Any]:
        text = _parsed(params, "text", MAX_TEXT, "message is too long")
        if not text.strip():
            raise ApiError(400, "Bad Request: message text is empty")
        return self._post(params, text=text)

    def _send_media(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        kind = MEDIA[method]
        caption = _parsed(params, "caption", MAX_CAPTION, "message caption is too long")
        given = params.get(kind)
        if isinstance(given, bytes):
            shown: Any = self.file(given)
        elif given in self.files:
            shown = self.file(self.files[str(given)])
        else:
            raise ApiError(400, "Bad Request: wrong file identifier/HTTP URL specified")
        shown = [shown] if kind == "photo" else shown
        return self._post(params, **{kind: shown}, **({"caption": caption} if caption else {}))

    def _on_send_media_group(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        media = params.get("media") or []
        if not 2 <= len(media) <= 10:
            raise ApiError(400, "Bad Request: wrong number of media in the album")
        group_id = str(next(self._ids))
        made = []
        for item in media:
            content = params.get(str(item["media"]).removeprefix("attach://"))
            if not isinstance(content, bytes):
                raise ApiError(400, "Bad Request: wrong file identifier/HTTP URL specified")
            kind, file = item["type"], self.file(content)
            fields = {kind: [file] if kind == "photo" else file, "media_group_id": group_id}
            made.append(self._post(params, **fields, caption=item.get("caption", "")))
        return made

    def _on_send_poll(self, params: dict[str, Any]) -> dict[str, Any]:
        options = [
            {
                "persistent_id": str(number),
                "text": o["text"] if isinstance(o, dict) else o,
                "voter_count": 0,
            }
            for number, o in enumerate(params.get("options") or [])
        ]
        if not 1 <= len(options) <= 12:
            raise ApiError(400, "Bad Request: wrong number of poll options")
        several = str(params.get("allows_multiple_answers")).lower() == "true"
        poll = {
            "id": str(next(self._ids)),
            "question": params.get("question"),
            "options": options,
            "total_voter_count": 0,
            "is_closed": False,
            "is_anonymous": str(params.get("is_anonymous")).lower() != "false",
            "type": "regular",
            "allows_multiple_answers": several,
            "allows_revoting": True,
            "members_only": False,
        }
        return self._post(params, poll=poll)

    def _post(self, params: dict[str, Any], **content: Any) -> dict[str, Any]:
        chat = self._chat(params)
        thread = params.get("message_thread_id")
        if thread is not None and int(thread) not in chat.topics:
            raise ApiError(400, "Bad Request: message thread not found")
        reply = params.get("reply_parameters") or {}
        replied = reply.get("message_id") or params.get("reply_to_message_id")
        if replied is not None and (chat.id, int(replied)) not in self.messages:
            lenient = reply.get("allow_sending_without_reply")
            if not lenient:
                raise ApiError(400, "Bad Request: message to be replied not found")
            replied = None
        message = {
            "message_id": next(self._message_ids),
            "date": 1_795_000_001,
            "chat": chat.shape(),
            "from": dict(self.bot),
            **({"message_thread_id": int(thread)} if thread is not None else {}),
            **content,
        }
        if replied is not None:
            message["reply_to_message"] = self.messages[chat.id, int(replied)]
        self.messages[chat.id, message["message_id"]] = message
        self.sent.append(message)
        return message

    def _on_edit_message_text(self, params: dict[str, Any]) -> dict[str, Any]:
        chat = self._chat(params)
        found = self.messages.get((chat.id, int(params.get("message_id") or 0)))
        if found is None or found["from"]["id"] != self.bot["id"]:
            raise ApiError(400, "Bad Request: message to edit not found")
        text = _parsed(params, "text", MAX_TEXT, "MESSAGE_TOO_LONG")
        if text == found.get("text"):
            raise ApiError(
                400,
                "Bad Request: message is not modified: specified new message content and reply "
                "markup are exactly the same as a current content and reply markup of the message",
            )
        found["text"] = text
        self.edits.append({"message_id": found["message_id"], "text": text})
        return found

    def _on_delete_message(self, params: dict[str, Any]) -> bool:
        chat = self._chat(params)
        if self.messages.pop((chat.id, int(params.get("message_id") or 0)), None) is None:
            raise ApiError(400, "Bad Request: message to delete not found")
        self.actions.append(("deleteMessage", params))
        return True

    def _on_send_chat_action(self, params: dict[str, Any]) -> bool:
        self._chat(params)
        self.actions.append(("sendChatAction", params))
        return True

    def _on_set_message_reaction(self, params: dict[str, Any]) -> bool:
        chat = self._chat(params)
        if (chat.id, int(params.get("message_id") or 0)) not in self.messages:
            raise ApiError(400, "Bad Request: message to react not found")
        self.actions.append(("setMessageReaction", params))
        return True

    def _on_answer_callback_query(self, params: dict[str, Any]) -> bool:
        self.actions.append(("answerCallbackQuery", params))
        return True

    def _on_set_my_commands(self, params: dict[str, Any]) -> bool:
        commands = params.get("commands") or []
        for command in commands:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]):
                raise ApiError(400, "Bad Request: BOT_COMMAND_INVALID")
        self.commands = commands
        return True

    def _on_delete_my_commands(self, _params: dict[str, Any]) -> bool:
        self.commands = []
        return True

    def _on_get_chat(self, params: dict[str, Any]) -> dict[str, Any]:
        shape = self._chat(params).shape()
        return {**shape, "accent_color_id": 0, "max_reaction_count": 11}

    def _on_get_file(self, params: dict[str, Any]) -> dict[str, Any]:
        file_id = str(params.get("file_id"))
        content = self.files.get(file_id)
        if content is None:
            raise ApiError(400, "Bad Request: invalid file_id")
        if len(content) > MAX_FILE:
            raise ApiError(400, "Bad Request: file is too big")
        return {
            "file_id": file_id,
            "file_unique_id": f"u{file_id}",
            "file_size": len(content),
            "file_path": f"files/{file_id}",
        }

    def _chat(self, params: dict[str, Any]) -> Chat:
        wanted = str(params.get("chat_id") or "")
        chat = next((c for c in self.chats.values() if str(c.id) == wanted), None)
        if chat is None:
            raise ApiError(400, "Bad Request: chat not found")
        if chat.migrated_to is not None:
            raise ApiError(
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
                migrate_to_chat_id=chat.migrated_to,
            )
        if chat.blocked:
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        return chat


class _Cut(Response):
    """Closes the connection where an answer is expected."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise ConnectionResetError("planned")


class _Tags(HTMLParser):
    """Checks Telegram's HTML and keeps the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            raise ApiError(
                400, f'Bad Request: can\'t parse entities: Unsupported start tag "{tag}"'
            )
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            raise ApiError(400, "Bad Request: can't parse entities: Unmatched end tag")

    def handle_data(self, data: str) -> None:
        self.text += data

    def done(self) -> str:
        self.close()
        if self._open:
            raise ApiError(400, "Bad Request: can't parse entities: Can't find end tag")
        return self.text


def visible(html: str) -> str:
    """Return what people see of Telegram's HTML.

    Raises:
        ApiError: the server would refuse it.
    """
    parser = _Tags()
    parser.feed(html)
    return parser.done()


def _parsed(params: Mapping[str, Any], name: str, most: int, complaint: str) -> str:
    """Return a text without its markup; the limit counts UTF-16 units after parsing."""
    given = str(params.get(name) or "")
    mode = str(params.get("parse_mode") or "").lower()
    if mode == "html":
        given = visible(given)
    elif mode:
        raise ApiError(400, "Bad Request: unsupported parse_mode")
    length = len(given.encode("utf-16-le")) // 2
    for entity in params.get("entities") or ():
        if entity["offset"] < 0 or entity["offset"] + entity["length"] > length:
            raise ApiError(400, "Bad Request: ENTITY_BOUNDS_INVALID")
    if length > most:
        raise ApiError(400, f"Bad Request: {complaint}")
    return given


def _album_part(group_id: str, photo: list[dict[str, Any]], caption: str) -> dict[str, Any]:
    part: dict[str, Any] = {"media_group_id": group_id, "photo": photo}
    return {**part, "caption": caption} if caption else part


def _entities(text: str) -> list[dict[str, Any]]:
    """Return what the server finds in a plain text: mentions and commands."""
    found = []
    for match in re.finditer(r"(?<!\w)(@\w{3,}|/\w+(?:@\w+)?)", text):
        kind = "mention" if match.group().startswith("@") else "bot_command"
        offset = len(text[: match.start()].encode("utf-16-le")) // 2
        length = len(match.group().encode("utf-16-le")) // 2
        found.append({"type": kind, "offset": offset, "length": length})
    return found


async def _params(request: Request) -> dict[str, Any]:
    """Read a call's parameters: query, form or JSON; nested values are JSON texts."""
    given: dict[str, Any] = dict(request.query_params)
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/json"):
        return {**given, **(await request.json())}
    form = await request.form(max_part_size=64 * 1024 * 1024)
    for name, value in form.items():
        if isinstance(value, UploadFile):
            given[name] = await value.read()
        else:
            given[name] = _nested(value)
    return given


def _nested(value: str) -> Any:
    if value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _snake(method: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", method).lower()


def _error(error: ApiError) -> Response:
    body: dict[str, Any] = {
        "ok": False,
        "error_code": error.code,
        "description": error.description,
    }
    if error.parameters:
        body["parameters"] = error.parameters
    return JSONResponse(body, error.code)
