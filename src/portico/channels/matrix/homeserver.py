"""The homeserver, as this channel asks it: matrix-nio behind types and one kind of error.

Guarantees: every call has a time limit and raises `Trouble` and nothing else when it fails; the
access token travels in a header only; nothing is retried here.

Not here: what events mean (inbound.py), what a trouble means for a delivery (troubles.py).

Source: https://spec.matrix.org/latest/client-server-api/; matrix-nio, `nio.AsyncClient`.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import nio
import nio.crypto
from aiohttp import ClientConnectorError, ClientError, InvalidURL
from nio.exceptions import EncryptionError, LocalProtocolError, OlmTrustError

from portico.channels.matrix.model import Invitation, Login, RoomNews, RoomView, Synced
from portico.channels.matrix.troubles import Trouble

# They log what is said, and the addresses that are called.
for _chatty in ("nio", "peewee"):
    logging.getLogger(_chatty).setLevel(logging.ERROR)

CALL_TIMEOUT_S = 20.0
MEDIA_TIMEOUT_S = 25.0
SYNC_EXTRA_S = 50.0
"""What a sync may take besides waiting: the first one of a large account is long."""
MAX_ALIASES = 10
CAN_ENCRYPT: bool = nio.crypto.ENCRYPTION_ENABLED
_JSON = "application/json"


class Homeserver:
    """A connection of one user. Close it.

    Args:
        url: without a path.
        crypto: a folder for the keys of encrypted rooms; `None`: no part in them.
    """

    def __init__(self, url: str, *, proxy: str | None = None, crypto: Path | None = None) -> None:
        config = nio.AsyncClientConfig(
            max_limit_exceeded=0,
            max_timeouts=0,
            request_timeout=CALL_TIMEOUT_S,
            encryption_enabled=crypto is not None,
        )
        self._client: Any = nio.AsyncClient(
            url.rstrip("/"), store_path=str(crypto or ""), config=config, proxy=proxy
        )
        self._sending: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def user_id(self) -> str:
        """Who we are."""
        return str(self._client.user_id)

    @property
    def encrypts(self) -> bool:
        """Whether encrypted rooms can be read."""
        return self._client.olm is not None

    async def close(self) -> None:
        """Close connections and the key store. Safe to call twice."""
        session, self._client.client_session = self._client.client_session, _Shut()
        if session is not None:
            await session.close()
        store, self._client.store = self._client.store, None
        if store is not None:
            store.database.close()

    # -- logging in ------------------------------------------------------------------------------

    async def log_in(
        self, user_id: str, password: str, *, device_id: str | None, device_name: str
    ) -> Login:
        """Log in anew, with a device's id to take it over."""
        self._client.user = user_id
        self._client.device_id = device_id or ""
        found = await self._ask(self._client.login(password=password, device_name=device_name))
        return Login(str(found.user_id), str(found.device_id), str(found.access_token))

    def resume(self, login: Login) -> None:
        """Go on with a login; opens the key store."""
        self._client.restore_login(login.user_id, login.device_id, login.access_token)

    def offer_keys_again(self) -> None:
        """Upload the device's keys anew: a server forgets them with a login that has ended."""
        if self._client.olm is not None:
            self._client.olm.account.shared = False

    async def whoami(self, access_token: str) -> Login:
        """Ask whose token it is."""
        self._client.access_token = access_token
        found = await self._ask(self._client.whoami())
        return Login(str(found.user_id), str(found.device_id or ""), access_token)

    async def whoami_again(self) -> Login:
        """Ask whether we are still known."""
        return await self.whoami(str(self._client.access_token))

    async def log_out(self) -> None:
        """Let the server forget the token."""
        await self._ask(self._client.logout())

    async def display_name(self) -> str | None:
        """Return how we are called."""
        found = await self._ask(self._client.get_displayname(self.user_id))
        return found.displayname or None

    # -- receiving -------------------------------------------------------------------------------

    async def sync(self, *, since: str | None, wait_s: float, limits: Mapping[str, Any]) -> Synced:
        """Ask for what is new since a position; the first time for where everything stands."""
        # nio takes an answer with the position it has seen last for one it has handled already.
        self._client.next_batch = ""
        asked = self._client.sync(
            timeout=int(wait_s * 1000), since=since, sync_filter=dict(limits), full_state=False
        )
        async with _limit(wait_s + SYNC_EXTRA_S):
            found = await self._ask(asked)
        joined = {key: self._news(key, info) for key, info in found.rooms.join.items()}
        left = {key: self._news(key, info) for key, info in found.rooms.leave.items()}
        invited = {
            key: _invitation(key, info.invite_state, self.user_id)
            for key, info in found.rooms.invite.items()
        }
        directs = [e.content for e in found.account_data_events if _is_direct_list(e)]
        return Synced(
            str(found.next_batch), joined, left, invited, directs[-1] if directs else None
        )

    def _news(self, room_id: str, info: Any) -> RoomNews:
        timeline = info.timeline
        receipts = [
            (str(one.event_id), str(one.user_id), one.thread_id)
            for event in info.ephemeral
            for one in getattr(event, "receipts", ())
            if one.receipt_type in {"m.read", nio.api.ReceiptType.read}
        ]
        return RoomNews(
            room_id,
            [_source(event) for event in timeline.events],
            is_limited=bool(timeline.limited),
            before=timeline.prev_batch,
            receipts=receipts,
        )

    async def history(
        self, room_id: str, *, before: str, until: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return a page of events before a position, newest first, and where the next begins."""
        found = await self._ask(
            self._client.room_messages(room_id, start=before, end=until, limit=limit)
        )
        return [_source(event) for event in found.chunk], found.end

    async def keep_keys(self) -> None:
        """Do what encryption needs after each sync: upload, query and claim keys, pass them on."""
        client = self._client
        if client.olm is None:
            return
        for answer in await self._guarded(client.send_to_device_messages()):
            _check(answer)
        if client.should_upload_keys:
            await self._ask(client.keys_upload())
        if client.should_query_keys:
            await self._ask(client.keys_query())
        if client.should_claim_keys:
            await self._ask(client.keys_claim(client.get_users_for_key_claiming()))

    def decrypt(self, raw: dict[str, Any], room_id: str) -> dict[str, Any] | None:
        """Try an event again whose keys were missing; `None`: they still are."""
        if self._client.olm is None:
            return None
        event = nio.Event.parse_event(raw)
        if not isinstance(event, nio.MegolmEvent):
            return None
        event.room_id = room_id
        try:
            return _source(self._client.decrypt_event(event))
        except EncryptionError:
            return None

    # -- rooms -----------------------------------------------------------------------------------

    def room(self, room_id: str) -> RoomView | None:
        """Return what is known of a room we are in."""
        found = self._client.rooms.get(room_id)
        return None if found is None else _view(found)

    def rooms(self) -> list[RoomView]:
        """Return all rooms we are in."""
        return [_view(found) for found in self._client.rooms.values()]

    def forget_room(self, room_id: str) -> None:
        """We are in a room no more."""
        self._client.rooms.pop(room_id, None)

    def name_in(self, room_id: str, user_id: str) -> str | None:
        """Return how somebody is called in a room."""
        room = self._client.rooms.get(room_id)
        return None if room is None else room.user_name(user_id)

    async def join(self, room_id: str) -> None:
        """Accept an invitation."""
        await self._ask(self._client.join(room_id))

    async def open_direct(self, user_id: str, *, encrypted: bool) -> str:
        """Make a room with somebody; return its id."""
        state = [nio.EnableEncryptionBuilder().as_dict()] if encrypted else []
        found = await self._ask(
            self._client.room_create(
                is_direct=True,
                invite=[user_id],
                preset=nio.RoomPreset.trusted_private_chat,
                initial_state=state,
            )
        )
        return str(found.room_id)

    async def resolve(self, alias: str) -> str:
        """Return the id of the room with an alias."""
        found = await self._ask(self._client.room_resolve_alias(alias))
        return str(found.room_id)

    async def set_directs(self, rooms: Mapping[str, Sequence[str]]) -> None:
        """Store which rooms are direct ones, by person."""
        path = f"/_matrix/client/v3/user/{quote(self.user_id, safe='')}/account_data/m.direct"
        await self._put(path, nio.Api.to_json({key: list(value) for key, value in rooms.items()}))

    async def _put(self, path: str, body: str) -> None:
        async with self._request("PUT", path, body=body, timeout_s=CALL_TIMEOUT_S) as answer:
            await _check_answer(answer)

    # -- sending ---------------------------------------------------------------------------------

    async def send(self, room_id: str, kind: str, content: dict[str, Any], txn: str) -> str:
        """Send an event; the same transaction id again is the same event. Return its id."""
        async with self._sending[room_id]:
            # nio waits for ever for a sharing of keys that was cut off; there is none under way.
            self._client.sharing_session.pop(room_id, None)
            found = await self._ask(
                self._client.room_send(
                    room_id, kind, content, tx_id=txn, ignore_unverified_devices=True
                )
            )
        return str(found.event_id)

    async def redact(self, room_id: str, event_id: str, txn: str) -> None:
        """Take an event back."""
        await self._ask(self._client.room_redact(room_id, event_id, tx_id=txn))

    async def reactions_to(self, room_id: str, event_id: str) -> list[dict[str, Any]]:
        """Return the reactions to an event, newest first; not more than a page."""
        path = (
            f"/_matrix/client/v1/rooms/{quote(room_id, safe='')}/relations/"
            f"{quote(event_id, safe='')}/m.annotation/m.reaction?limit=100"
        )
        async with self._request("GET", path, timeout_s=CALL_TIMEOUT_S) as answer:
            await _check_answer(answer)
            found = await answer.json()
        return [one for one in found.get("chunk", ()) if isinstance(one, dict)]

    async def typing(self, room_id: str, *, on: bool, for_s: float) -> None:
        """Show that we are writing, or no longer."""
        await self._ask(self._client.room_typing(room_id, on, int(for_s * 1000)))

    async def mark_read(self, room_id: str, event_id: str, thread_id: str | None) -> None:
        """Show that an event was read."""
        await self._ask(
            self._client.update_receipt_marker(room_id, event_id, thread_id=thread_id or "main")
        )

    # -- files -----------------------------------------------------------------------------------

    async def upload(
        self, content: bytes, *, mime_type: str, name: str, encrypted: bool
    ) -> tuple[str, dict[str, Any] | None]:
        """Upload a file; return its `mxc:` URI, and how to decrypt it."""
        async with _limit(MEDIA_TIMEOUT_S):
            answer, keys = await self._guarded(
                self._client.upload(
                    io.BytesIO(content),
                    content_type=mime_type,
                    filename=None if encrypted else name,
                    encrypt=encrypted,
                    filesize=len(content),
                )
            )
        return str(_check(answer).content_uri), keys

    async def download(self, mxc: str, *, max_bytes: int) -> bytes:
        """Fetch a file, from the endpoint that asks who we are or from the older one."""
        parts = urlsplit(mxc)
        if parts.scheme != "mxc" or not parts.netloc:
            raise Trouble("not the address of a file")
        where = f"{quote(parts.netloc)}/{quote(parts.path.strip('/'), safe='')}"
        try:
            return await self._download(f"/_matrix/client/v1/media/download/{where}", max_bytes)
        except Trouble as trouble:
            if trouble.code != "M_UNRECOGNIZED":
                raise
        return await self._download(f"/_matrix/media/v3/download/{where}", max_bytes)

    async def _download(self, path: str, max_bytes: int) -> bytes:
        body = bytearray()
        async with self._request("GET", path, timeout_s=MEDIA_TIMEOUT_S) as answer:
            await _check_answer(answer)
            async for chunk in answer.content.iter_chunked(64 * 1024):
                body += chunk
                if len(body) > max_bytes:
                    raise Trouble("the file is too large")
        return bytes(body)

    # -- asking ----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, path: str, *, timeout_s: float, body: str | None = None
    ) -> AsyncIterator[Any]:
        """Make a request nio has no method for."""
        headers = {"Authorization": f"Bearer {self._client.access_token}", "Content-Type": _JSON}
        async with _limit(timeout_s):
            answer = await self._guarded(
                self._client.send(method, path, body, headers, timeout=timeout_s)
            )
            try:
                yield answer
            except (ClientError, OSError) as error:
                raise _unreached(error) from error
            finally:
                answer.release()

    async def _ask(self, call: Coroutine[Any, Any, Any]) -> Any:
        return _check(await self._guarded(call))

    async def _guarded(self, call: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await call
        except (ClientError, OSError, TimeoutError, ValueError) as error:
            raise _unreached(error) from error
        except (LocalProtocolError, EncryptionError, OlmTrustError) as error:
            raise Trouble(str(error), status=400, code="M_UNKNOWN") from error


class _Closed(ClientError):
    """The connection was closed by us."""


class _Shut:
    """In the place of a session that was closed: nio would open another one for a late call."""

    async def request(self, *_: Any, **__: Any) -> Any:
        raise _Closed("closed")

    async def close(self) -> None:
        pass


@contextlib.asynccontextmanager
async def _limit(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise _unreached(error) from error


def _check(answer: Any) -> Any:
    """Return an answer of nio's, when it is one.

    Raises:
        Trouble: it is an error, or the server's status says so.
    """
    transport = getattr(answer, "transport_response", None)
    status = 200 if transport is None else int(transport.status)
    if status < 400 and not isinstance(answer, nio.ErrorResponse):
        return answer
    wait_ms = getattr(answer, "retry_after_ms", None)
    raise Trouble(
        str(getattr(answer, "message", "") or f"status {status}"),
        status=status if status >= 400 else 502,  # a success nobody can read
        code=str(getattr(answer, "status_code", "") or ""),
        retry_after_s=_header_s(transport) if wait_ms is None else wait_ms / 1000,
    )


async def _check_answer(answer: Any) -> None:
    if answer.status < 400:
        return
    said: Any = {}
    with contextlib.suppress(ValueError, ClientError):
        said = await answer.json(content_type=None)
    said = said if isinstance(said, dict) else {}
    wait_ms = said.get("retry_after_ms")
    raise Trouble(
        str(said.get("error", f"status {answer.status}")),
        status=answer.status,
        code=str(said.get("errcode", "")),
        retry_after_s=wait_ms / 1000 if isinstance(wait_ms, int) else _header_s(answer),
    )


def _header_s(transport: Any) -> float | None:
    try:
        return float(transport.headers["retry-after"])
    except (AttributeError, KeyError, ValueError):
        return None


def _unreached(error: Exception) -> Trouble:
    """Say what is known without the address."""
    never_left = isinstance(error, ClientConnectorError | InvalidURL | ValueError | _Closed)
    return Trouble(
        f"the homeserver did not answer ({type(error).__name__})", may_have_arrived=not never_left
    )


def _source(event: Any) -> dict[str, Any]:
    found = getattr(event, "source", None)
    return found if isinstance(found, dict) else {}


def _is_direct_list(event: Any) -> bool:
    return getattr(event, "type", None) == "m.direct" and isinstance(event.content, dict)


def _invitation(room_id: str, state: Sequence[Any], me: str) -> Invitation:
    inviter, is_direct, aliases = "", False, []
    for event in state:
        if isinstance(event, nio.InviteMemberEvent):
            if event.state_key == me and event.membership == "invite":
                inviter, is_direct = event.sender, event.content.get("is_direct") is True
        elif isinstance(event, nio.InviteAliasEvent) and event.canonical_alias:
            aliases.append(str(event.canonical_alias))
    return Invitation(room_id, inviter, is_direct=is_direct, aliases=tuple(aliases[:MAX_ALIASES]))


def _view(room: Any) -> RoomView:
    return RoomView(
        room_id=room.room_id,
        name=room.name,
        alias=room.canonical_alias,
        people=int(room.member_count),
        is_encrypted=bool(room.encrypted),
        members={key: user.display_name for key, user in room.users.items()},
    )
