"""One Slack app that runs: it receives by Socket Mode or through the Events API's door.

Guarantees:
    - Slack is told that something has arrived only when it is on disk; what comes again is taken
      in once. A mention, which Slack tells as two events, is one message.
    - What cannot be understood is recorded as it came; it holds up nothing.
    - No token is in a log, an address or an answer.

Not here: sending (sending.py).

Uses slack-sdk's web client, signature verifier and types; the connections are ours.
Source: https://docs.slack.dev/apis/events-api
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import structlog
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from portico.channels.contract import (
    AccountContext,
    AuthExpired,
    ChannelError,
    DoorRequest,
    DoorResponse,
    HttpDoor,
    RateLimited,
)
from portico.channels.model import ChannelEvent, InboundMessage, Peer, PeerKind
from portico.channels.slack.config import SlackAccount
from portico.channels.slack.door import Doorkeeper, Unproven, Unreadable
from portico.channels.slack.files import Shelf, named
from portico.channels.slack.inbound import (
    Said,
    Self,
    action,
    command,
    digest,
    understood,
    unknown,
)
from portico.channels.slack.sending import CHANNEL_ID, MESSAGE_ID, SlackSender
from portico.channels.slack.socket_mode import SocketMode
from portico.channels.slack.troubles import asked
from portico.fetch import Fetcher, FetchSettings

log = structlog.get_logger()
_quiet = logging.getLogger("portico.slack_sdk")
_quiet.setLevel(logging.ERROR)  # the library logs what is sent and received

DEFAULT_ACCOUNT = "default"
DOOR_BYTES = 1 << 20
CALL_TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 5.0
PINGS_PER_LOOK = 2
"""Where there is no socket to ask, Slack is asked less often whether the token is good."""
MAX_RECORDED_CHARS = 4096


class Slack(SlackSender):
    """One run of one app."""

    def __init__(self, ctx: AccountContext) -> None:
        config: SlackAccount = ctx.config
        super().__init__(_client(config), config, Fetcher(FetchSettings()), ctx.clock)
        self._ctx = ctx

    async def run(self) -> None:
        """Receive until cancelled.

        Raises:
            AuthExpired: a token is not accepted.
        """
        config = self._config
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        try:
            async with aiohttp.ClientSession(
                timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
            ) as http:
                self._client.session = http
                self._shelf = Shelf(
                    http=http,
                    token=config.bot_token,
                    api_host=urlsplit(config.api_url).netloc,
                    max_bytes=self._bytes,
                    proxy=config.proxy,
                )
                await self._learn_who()
                await (self._listen() if config.mode == "http" else self._connect(http))
        finally:
            await self._fetcher.close()

    async def _learn_who(self) -> None:
        told = await _patiently(self._client.auth_test)
        self._me = Self(
            user_id=str(told.get("user_id") or ""),
            bot_id=told.get("bot_id"),
            name=str(told.get("user") or "bot"),
            team_id=told.get("team_id"),
        )

    def _identity(self, **more: Any) -> dict[str, Any]:
        me = self._me
        return {"id": me.user_id, "username": me.name, "teamId": me.team_id, **more}

    # -- Socket Mode -----------------------------------------------------------------------------

    async def _connect(self, http: aiohttp.ClientSession) -> None:
        sockets = SocketMode(
            open_url=self._open_url,
            http=http,
            proxy=self._config.proxy,
            ping_s=self._config.ping_seconds,
            tasks=self._ctx.tasks,
            handle=self._envelope,
            stray=self._stray,
            lane_of=_lane,
            alive=self._ctx.alive,
        )
        await sockets.run(self._greeted)

    async def _open_url(self) -> str:
        app_token = self._config.app_token or ""
        told = await _patiently(lambda: self._client.apps_connections_open(app_token=app_token))
        return str(told.get("url"))

    def _greeted(self, hello: Mapping[str, Any], own: int) -> None:
        count = hello.get("num_connections")
        app_id = (hello.get("connection_info") or {}).get("app_id")
        if isinstance(count, int) and count > own:
            log.warning(
                "slack.others_connected",
                account=self._ctx.account,
                connections=count,
                hint="events are spread over all programs that use this appToken",
            )
        self._ctx.connected(identity=self._identity(appId=app_id, connections=count))

    async def _envelope(self, frame: dict[str, Any]) -> dict[str, Any] | None:
        payload, kind = frame.get("payload"), str(frame.get("type"))
        key = f"envelope:{frame['envelope_id']}"
        await self._take(kind, payload, key)
        is_visible = kind == "slash_commands" and frame.get("accepts_response_payload")
        return {"response_type": "in_channel"} if is_visible else None

    async def _stray(self, text: str) -> None:
        said = text[:MAX_RECORDED_CHARS]
        await self._ctx.note(unknown(f"frame:{digest(text)}", said))

    # -- the Events API --------------------------------------------------------------------------

    async def _listen(self) -> None:
        account = self._ctx.account
        path = "events" if account == DEFAULT_ACCOUNT else f"{account}/events"
        keeper = Doorkeeper(self._config.signing_secret or "", self._ctx.clock)

        async def handle(request: DoorRequest) -> DoorResponse:
            return await self._posted(keeper, request)

        opened = self._ctx.open_door(HttpDoor(path, handle=handle, max_body_bytes=DOOR_BYTES))
        self._ctx.connected(identity=self._identity(webhookPath=opened))
        while True:
            await asyncio.sleep(self._config.ping_seconds * PINGS_PER_LOOK)
            try:
                await asked(self._client.auth_test(), reading=True)
            except AuthExpired:
                raise
            except ChannelError as error:
                log.warning("slack.not_reached", account=account, error=str(error))
            else:
                self._ctx.alive()

    async def _posted(self, keeper: Doorkeeper, request: DoorRequest) -> DoorResponse:
        try:
            posted = keeper.read(request)
        except Unproven:
            return DoorResponse(401, b"not signed\n")
        except Unreadable:
            key = f"body:{digest(request.body)}"
            said = request.body[:MAX_RECORDED_CHARS].decode(errors="replace")
            await self._ctx.note(unknown(key, said))
            return DoorResponse()  # it would only come again
        self._ctx.alive()
        if posted.kind == "url_verification":
            return DoorResponse(body=str(posted.payload.get("challenge", "")).encode())
        if posted.payload.get("ssl_check") == "1":
            return DoorResponse()
        await self._take(posted.kind, posted.payload, f"body:{digest(posted.payload)}")
        if posted.kind == "slash_commands" and str(posted.payload.get("text") or "").strip():
            shown = json.dumps({"response_type": "in_channel"}).encode()
            return DoorResponse(body=shown, content_type="application/json")
        return DoorResponse()

    # -- both ------------------------------------------------------------------------------------

    async def _take(self, kind: str, payload: Any, key: str) -> None:
        """Take in what Slack tells; returns when it is on disk."""
        found: Said | ChannelEvent | None
        try:
            found = self._understood(kind, payload, key)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            log.warning("slack.not_understood", error=repr(error))
            found = unknown(key, payload)
        if isinstance(found, Said) and found.is_of_bot and not self._config.allow_bots:
            found = _of_a_bot(found)
        if isinstance(found, ChannelEvent):
            await self._ctx.note(found)
        elif found is not None:
            message = await self._message(found)
            if found.files and self._shelf is not None and await self._ctx.is_wanted(message):
                files = await self._shelf.fetch_all(found.files)
                message = msgspec.structs.replace(message, attachments=files)
            await self._ctx.receive(message)

    def _understood(self, kind: str, payload: Any, key: str) -> Said | ChannelEvent | None:
        match kind:
            case "events_api":
                return understood(payload, self._me)
            case "slash_commands":
                return command(payload, self._me)
            case "interactive":
                return action(payload)
            case _:
                return unknown(key, payload)

    async def _message(self, said: Said) -> InboundMessage:
        """Return a message; its files are named."""
        kind = await self._people.kind(said.channel, said.channel_type)
        peer = Peer(kind, said.sender if kind == "direct" else said.channel)
        name = said.sender_name or await self._people.name(said.sender)
        context = {MESSAGE_ID: said.ts} if said.ts else {}
        if said.ts:  # a command may be given where the app is not
            context[CHANNEL_ID] = said.channel
        return InboundMessage(
            channel="",
            account="",
            event_key=said.event_key,
            peer=peer,
            sender=said.sender,
            sender_name=name,
            text=said.text,
            thread_id=self._thread(said, kind),
            attachments=tuple(map(named, said.files)),
            mentioned=None if kind == "direct" else self._is_addressed(said),
            reply_context=context,
            team_id=said.team_id,
            external_id=said.ts,
            reply_to=said.thread_ts,
            sent_at_ms=int(float(said.ts) * 1000) if said.ts else None,
        )

    def _thread(self, said: Said, kind: PeerKind) -> str | None:
        """Return the thread a message is in, or begins when it is answered in one."""
        begins = self._config.replies_in_thread(kind) and (
            kind == "direct" or self._is_addressed(said)
        )
        return said.thread_ts or (said.ts if begins else None)

    def _is_addressed(self, said: Said) -> bool:
        return said.is_addressed or self._has_spoken_in(said.channel, said.thread_ts)


def _client(config: SlackAccount) -> AsyncWebClient:
    client = AsyncWebClient(
        token=config.bot_token,
        base_url=config.api_url,
        timeout=int(CALL_TIMEOUT_S),
        logger=_quiet,
        retry_handlers=[],  # it would repeat what may have been done
    )
    client.proxy = config.proxy  # and not what the environment says, which has no exceptions
    return client


async def _patiently(call: Callable[[], Awaitable[AsyncSlackResponse]]) -> dict[str, Any]:
    """Return what Slack answers, when it has asked for a pause after that."""
    while True:
        try:
            return await asked(call(), reading=True)
        except RateLimited as limited:
            await asyncio.sleep(limited.retry_after_s)


def _lane(frame: Mapping[str, Any]) -> str:
    """Return the conversation that an envelope belongs to, as far as order goes."""
    payload = frame.get("payload")
    if not isinstance(payload, Mapping):
        return ""
    event = payload.get("event")
    where = event if isinstance(event, Mapping) else payload
    channel = where.get("channel") or where.get("channel_id")
    return channel if isinstance(channel, str) else ""


def _of_a_bot(said: Said) -> ChannelEvent:
    return ChannelEvent(
        event_key=said.event_key,
        kind="other",
        peer=Peer("channel", said.channel),
        thread_id=said.thread_ts,
        sender=said.sender,
        target_id=said.ts,
        data={"reason": "written by a bot", "text": said.text},
    )
