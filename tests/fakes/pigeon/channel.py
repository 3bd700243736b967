"""A loft, by long polling."""

from typing import Any

import httpx2

from portico.channels.contract import (
    AccountContext,
    AuthExpired,
    Outgoing,
    RateLimited,
    Receipt,
    Rejected,
    Transient,
    Uncertain,
)
from portico.channels.model import ChannelEvent, InboundMessage, Peer

WAIT_S = 30


class Pigeon:
    def __init__(self, ctx: AccountContext) -> None:
        self._ctx = ctx
        self._http = httpx2.AsyncClient(
            base_url=ctx.config.api_url,
            headers={"authorization": f"Bearer {ctx.config.token}"},
            timeout=WAIT_S + 5,
        )

    async def run(self) -> None:
        async with self._http:  # closed however this ends
            me = await self._get("/me")
            self._ctx.connected(identity={"id": me["id"]})
            cursor = self._ctx.cursor or "0"
            while True:
                answer = await self._get("/updates", after=cursor, wait_s=WAIT_S)
                self._ctx.alive()  # the receiving side works
                for update in answer["updates"]:
                    cursor = str(update["id"])
                    await self._take(update, cursor)

    async def _get(self, path: str, **query: object) -> dict[str, Any]:
        answer = await self._http.get(path, params={k: str(v) for k, v in query.items()})
        if answer.status_code == 401:
            raise AuthExpired("the loft's token is not accepted")
        answer.raise_for_status()  # anything else: run anew, after a wait
        found: dict[str, Any] = answer.json()
        return found

    async def _take(self, update: dict[str, Any], cursor: str) -> None:
        try:
            message = _message(update)
        except (KeyError, TypeError):  # what we do not understand is kept all the same
            event = ChannelEvent(event_key=f"update:{cursor}", kind="other", data=update)
            await self._ctx.note(event, cursor=cursor)
        else:
            await self._ctx.receive(message, cursor=cursor)  # returns when it is on disk

    async def send(self, message: Outgoing) -> Receipt:
        body = {"to": message.route.peer.id, "text": message.text, "key": message.delivery_id}
        try:
            answer = await self._http.post("/messages", json=body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise Transient(str(error)) from error  # it certainly did not arrive
        except httpx2.HTTPError as error:
            raise Uncertain(str(error)) from error  # it may have arrived
        match answer.status_code:
            case 200:
                return Receipt(answer.json()["id"])
            case 401:
                raise AuthExpired("the loft's token is not accepted")
            case 429:
                wait_s = float(answer.headers["retry-after"])
                raise RateLimited("too many pigeons", retry_after_s=wait_s)
            case status if status >= 500:
                raise Transient(f"the loft answered {status}")
            case status:
                raise Rejected(f"the loft answered {status}")


def _message(update: dict[str, Any]) -> InboundMessage:
    said = update["message"]
    return InboundMessage(
        channel="",  # filled in, as is the account
        account="",
        event_key=f"update:{update['id']}",
        peer=Peer("direct", said["from"]),
        sender=said["from"],
        sender_name=said.get("name"),
        text=said["text"],
        external_id=said["id"],
        reply_context={"messageId": said["id"]},
    )
