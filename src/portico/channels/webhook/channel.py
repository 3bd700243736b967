"""A webhook account: a signed door in, signed posts out.

Guarantees: nothing unsigned, too old or replayed is taken in; a partner is answered 2xx after the
message is on disk. A post carries its delivery's id, so a partner that got it twice can tell.

Source: the Standard Webhooks specification.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any, cast

import httpx2
import msgspec

from portico.channels.admission import Verdict
from portico.channels.contract import (
    AccountContext,
    AuthExpired,
    DoorRequest,
    DoorResponse,
    HttpDoor,
    NotReady,
    Outgoing,
    RateLimited,
    Receipt,
    Received,
    Rejected,
    Transient,
    Uncertain,
)
from portico.channels.model import (
    Attachment,
    ChannelEvent,
    EventKind,
    InboundMessage,
    Peer,
    ReplyRoute,
)
from portico.channels.webhook.config import WebhookAccount
from portico.channels.webhook.model import Conversation, Posted, Posting, Taken
from portico.channels.webhook.signature import Unproven, prove, sign
from portico.net.tls import trusted

MESSAGE_ID = "messageId"
DEFAULT_WAIT_S = 5.0
LONGEST_WAIT_S = 3600.0
BYTES_PER_MB = 1_000_000
_BASE64 = 4 / 3
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_EVENTS = frozenset({"edit", "delete", "reaction", "join", "leave", "read"})
_STATUS = {Verdict.ADMIT: "admitted", Verdict.CONTEXT: "context", Verdict.REFUSE: "refused"}


class Webhook:
    """One run of one partner's account."""

    def __init__(self, ctx: AccountContext) -> None:
        config: WebhookAccount = ctx.config
        self._ctx = ctx
        self._config = config
        self._http: httpx2.AsyncClient | None = None

    async def run(self) -> None:
        """Keep the door open until cancelled."""
        config = self._config
        async with httpx2.AsyncClient(
            timeout=config.timeout_seconds, trust_env=False, verify=trusted()
        ) as http:
            self._http = http
            size = int(config.media_max_mb * BYTES_PER_MB * _BASE64) + (1 << 16)
            path = self._ctx.open_door(
                HttpDoor(self._ctx.account, handle=self._handle, max_body_bytes=size)
            )
            self._ctx.connected(identity={"webhookPath": path, "url": config.url})
            await asyncio.Event().wait()

    # -- in --------------------------------------------------------------------------------------

    async def _handle(self, request: DoorRequest) -> DoorResponse:
        now_s = self._ctx.clock.now_ms() // 1000
        try:
            event_id = prove(
                self._config.secret,
                request.headers,
                request.body,
                now_s=now_s,
                tolerance_s=self._config.tolerance_seconds,
            )
        except Unproven as error:
            return _answer(401, Taken("refused", str(error)))
        self._ctx.alive()
        try:
            posted = msgspec.json.decode(request.body, type=Posted)
        except (msgspec.DecodeError, RecursionError) as error:
            return await self._not_understood(event_id, request.body, str(error))
        if posted.type != "message":
            return await self._event(event_id, posted)
        if posted.sender is None or not (posted.text.strip() or posted.attachments):
            return await self._not_understood(
                event_id, request.body, "a message needs from.id and text or attachments"
            )
        received = await self._ctx.receive(self._message(event_id, posted, posted.sender.id))
        return _answer(200, _taken(received))

    def _message(self, event_id: str, posted: Posted, sender: str) -> InboundMessage:
        where = posted.conversation
        context = {} if posted.message_id is None else {MESSAGE_ID: posted.message_id}
        return InboundMessage(
            channel=self._ctx.channel,
            account=self._ctx.account,
            event_key=event_id,
            peer=Peer("direct", sender) if where is None else Peer(where.kind, where.id),
            sender=sender,
            sender_name=None if posted.sender is None else posted.sender.name,
            text=posted.text,
            thread_id=posted.thread,
            attachments=tuple(
                Attachment(
                    type=file.type,
                    mime_type=file.mime_type,
                    file_name=file.file_name,
                    content=file.content,
                    url=file.url,
                )
                for file in posted.attachments
            ),
            mentioned=posted.mentioned,
            external_id=posted.message_id,
            reply_to=posted.reply_to,
            sent_at_ms=posted.sent_at,
            reply_context=context,
        )

    async def _event(self, event_id: str, posted: Posted) -> DoorResponse:
        where = posted.conversation
        kind = (
            posted.type if posted.type in {"edit", "delete", "reaction", "join", "leave"} else None
        )
        is_new = await self._ctx.note(
            ChannelEvent(
                event_key=event_id,
                kind=cast("EventKind", kind),
                peer=None if where is None else Peer(where.kind, where.id),
                thread_id=posted.thread,
                sender=None if posted.sender is None else posted.sender.id,
                target_id=posted.message_id,
                data={"type": posted.type, "text": posted.text, **posted.data},
            )
        )
        return _answer(200, Taken("recorded" if is_new else "duplicate"))

    async def _not_understood(self, event_id: str, body: bytes, why: str) -> DoorResponse:
        """Keep what a partner said all the same: it was signed."""
        said = body[:4096].decode(errors="replace")
        data = {"problem": why, "body": said}
        await self._ctx.note(ChannelEvent(event_key=event_id, kind="other", data=data))
        return _answer(422, Taken("refused", why))

    # -- out -------------------------------------------------------------------------------------

    async def send(self, message: Outgoing) -> Receipt:
        """Post one message to the partner."""
        route = message.route
        posting = Posting(
            id=message.delivery_id,
            type="message",
            account=self._ctx.account,
            to=Conversation(route.peer.id, route.peer.kind),
            thread=route.thread_id,
            text=message.text,
            media=message.media,
            reply_to=_answered(route),
            run_id=message.run_id,
        )
        answer = await self._post(posting)
        return Receipt(_own_id(answer) or message.delivery_id)

    async def probe(self) -> Mapping[str, Any]:
        """Post a ping."""
        now = self._ctx.clock.now_ms()
        answer = await self._post(Posting(f"ping-{now}", "ping", self._ctx.account))
        return {"ok": True, "status": answer.status_code}

    async def _post(self, posting: Posting) -> httpx2.Response:
        config, http = self._config, self._http
        if config.url is None:
            raise Rejected(f"webhook account {self._ctx.account} has no url to post to")
        if http is None:
            raise NotReady("not connected")
        body = msgspec.json.encode(posting)
        signed = sign(
            config.secret,
            event_id=posting.id,
            timestamp_s=self._ctx.clock.now_ms() // 1000,
            body=body,
        )
        headers = {**config.headers, **signed, "content-type": "application/json"}
        try:
            answer = await http.post(config.url, content=body, headers=headers)
        except _NOT_SENT as error:
            raise Transient(f"not reached: {type(error).__name__}") from error
        except httpx2.TransportError as error:
            raise Uncertain(f"no answer: {type(error).__name__}") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Rejected(f"cannot be posted: {type(error).__name__}") from error
        _judge(answer)
        return answer


def _judge(answer: httpx2.Response) -> None:
    """Raise what a partner's answer means."""
    status = answer.status_code
    if 200 <= status < 300:
        return
    if status == 429 or (status == 503 and "retry-after" in answer.headers):
        raise RateLimited(f"the partner answered {status}", retry_after_s=_wait_s(answer))
    if status in {401, 403}:
        raise AuthExpired(f"the partner does not accept our signature ({status})")
    if status >= 500 or status in {408, 425}:
        raise Transient(f"the partner answered {status}")
    raise Rejected(f"the partner answered {status}")


def _wait_s(answer: httpx2.Response) -> float:
    try:
        wait_s = float(answer.headers.get("retry-after", ""))
    except ValueError:
        return DEFAULT_WAIT_S
    return min(LONGEST_WAIT_S, max(0.0, wait_s)) if math.isfinite(wait_s) else DEFAULT_WAIT_S


def _own_id(answer: httpx2.Response) -> str | None:
    """Return the partner's id of the message, when it gives one."""
    try:
        said = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        return None
    own = said.get("id") if isinstance(said, dict) else None
    return own if isinstance(own, str) and own else None


def _answered(route: ReplyRoute) -> str | None:
    answered = route.context.get(MESSAGE_ID) or route.context.get("replyToId")
    return None if answered is None else str(answered)


def _taken(received: Received) -> Taken:
    status = "duplicate" if received.duplicate else _STATUS[received.verdict]
    return Taken(status, received.reason, received.run_id)


def _answer(status: int, body: Taken) -> DoorResponse:
    return DoorResponse(status, msgspec.json.encode(body), "application/json")
