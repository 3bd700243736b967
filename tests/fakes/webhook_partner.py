"""A webhook partner: posts signed messages until they are taken, and takes what is posted to it.

Signs and proves with a code of its own, so that a mistake in ours does not cancel out.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import time
from collections import deque
from typing import Any

import httpx2

from portico.testkit import Cut, FakeHttp, Outcome, Provider, Reply, Request, Sent

SECRET = "whsec_" + base64.b64encode(b"a partner's secret of 32 bytes!!").decode()
OTHER_SECRET = "another secret, long enough"


def signature(secret: str, event_id: str, timestamp: str, body: bytes) -> str:
    prefix = "whsec_"
    key = base64.b64decode(secret[len(prefix) :]) if secret.startswith(prefix) else secret.encode()
    digest = hmac.new(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def signed(event_id: str, body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict:
    timestamp = str(int(time.time() if at is None else at))
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(secret, event_id, timestamp, body),
    }


class Partner(FakeHttp, Provider):
    """Both sides of the bridge."""

    def __init__(self, door: str) -> None:
        super().__init__()
        self.door = door
        self.secret = SECRET
        self.taken: dict[str, dict[str, Any]] = {}  # delivery id → what was posted
        self.answers: dict[str, dict[str, Any]] = {}  # event id → what we were answered
        self._acknowledged: set[str] = set()
        self._bodies: dict[str, bytes] = {}
        self._plan: deque[Outcome] = deque()
        self._attempts = 0
        self._numbers = itertools.count(1)
        self._posting: set[asyncio.Task[None]] = set()
        self._line = asyncio.Lock()  # a partner posts one after the other

    async def __aexit__(self, *given: object) -> None:
        for task in [*self._posting]:
            task.cancel()
        if self._posting:
            await asyncio.wait(self._posting)
        await super().__aexit__(*given)

    def settings(self) -> dict[str, Any]:
        return {"secret": SECRET, "url": f"{self.url}/in", "timeoutSeconds": 28}

    # -- out: what the partner posts -------------------------------------------------------------

    async def say(self, text: str, *, sender: str = "ann") -> str:
        key = f"evt-{next(self._numbers)}"
        said = {
            "from": {"id": sender, "name": sender.title()},
            "text": text,
            "messageId": f"m-{key}",
        }
        self._post_later(key, json.dumps(said).encode())
        return key

    async def repeat(self, key: str) -> None:
        self._acknowledged.discard(key)
        self._post_later(key, self._bodies[key])

    def is_acknowledged(self, key: str) -> bool:
        return key in self._acknowledged

    async def tell_event(self) -> str:
        key = f"evt-{next(self._numbers)}"
        event = {
            "type": "reaction",
            "from": {"id": "ann"},
            "messageId": "m-1",
            "data": {"emoji": "+"},
        }
        self._post_later(key, json.dumps(event).encode())
        return key

    async def tell_garbage(self) -> None:
        for body in (b"", b"{", b"[]", b'{"from": 7}', b'{"text": "nobody"}', b"\xff\xfe"):
            key = f"evt-{next(self._numbers)}"
            assert await self.post(key, body) == 422

    def _post_later(self, key: str, body: bytes) -> None:
        self._bodies[key] = body
        task = asyncio.ensure_future(self._until_taken(key, body))
        self._posting.add(task)
        task.add_done_callback(self._posting.discard)

    async def _until_taken(self, key: str, body: bytes) -> None:
        async with self._line:
            while True:
                status = await self.post(key, body)
                if status < 300:
                    self._acknowledged.add(key)
                    return
                await asyncio.sleep(0.02)

    async def post(self, key: str, body: bytes, headers: dict[str, str] | None = None) -> int:
        """Post once; return the status, 599 when there is no answer."""
        proof = signed(key, body, secret=self.secret) if headers is None else headers
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as http:
            try:
                answer = await http.post(self.door, content=body, headers=proof)
            except (httpx2.TransportError, AttributeError):
                return 599  # anyio trips over a connection that dies while it is opened
        if answer.headers.get("content-type") == "application/json":
            self.answers[key] = answer.json()
        return answer.status_code

    # -- in: what is posted to the partner -------------------------------------------------------

    def sent(self) -> list[Sent]:
        return [Sent(one["to"]["id"], one["text"]) for one in self.taken.values()]

    def attempts(self) -> int:
        return self._attempts

    def plan(self, *outcomes: Outcome) -> None:
        self._plan.extend(outcomes)

    async def answer(self, request: Request) -> Reply | Cut:
        event_id, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        if request.headers["webhook-signature"] != signature(
            self.secret, event_id, timestamp, request.body
        ):
            return Reply.json({"error": "signature"}, 401)
        posted = request.json()
        assert posted["id"] == event_id
        if posted["type"] == "ping":
            return Reply(204)
        self._attempts += 1
        match self._plan.popleft() if self._plan else Outcome.ACCEPT:
            case Outcome.LIMIT:
                return Reply.json({}, 429, retry_after="1")
            case Outcome.FAIL:
                return Reply.json({}, 500)
            case Outcome.REJECT:
                return Reply.json({}, 422)
            case Outcome.DROP_ANSWER:
                self.taken.setdefault(event_id, posted)
                return Cut()
            case _:
                self.taken.setdefault(event_id, posted)
                return Reply.json({"id": f"p-{len(self.taken)}"})
