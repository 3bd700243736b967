"""A real homeserver behind a proxy that breaks what the conformance suite wants broken.

Everything is Synapse's: rooms, positions, transaction ids. The proxy between it and the account
answers in its place with limits, failures and refusals, loses answers, holds syncs back and lets
the account sync from an older position again.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any, Self

import httpx2

from portico.testkit import Cut, FakeHttp, Outcome, Provider, Reply, Request, Sent
from tests.support.synapse import Person, Synapse, whole

_KEPT = ("authorization", "content-type")


class MatrixProvider(FakeHttp, Provider):
    """One account, the people who write to it, and what is between."""

    def __init__(self, synapse: Synapse) -> None:
        super().__init__()
        self._synapse = synapse
        self.bot = synapse.person("bot", display_name="Portico")
        self._people: dict[str, tuple[Person, str]] = {}
        self._rooms: dict[str, str] = {}
        self._events: list[tuple[str, dict[str, Any]]] = []
        self._keys: dict[str, tuple[str | None, str]] = {}
        self._asked: set[str] = set()
        self._replay: str | None = None
        self._plan: deque[Outcome] = deque()
        self._attempts = 0
        self._is_silent = self._is_revoked = self._has_news = False
        self._listens = asyncio.Event()
        self._odd: list[dict[str, Any]] = []
        self._upstream = httpx2.AsyncClient(base_url=synapse.url, timeout=60, trust_env=False)

    async def __aenter__(self) -> Self:
        for name in ("ann", "bob"):
            self._meet(name)
        return await super().__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        await self._upstream.aclose()

    def settings(self) -> dict[str, Any]:
        return {"homeserver": self.url, "accessToken": self.bot.token, "pollSeconds": 1}

    def _meet(self, name: str) -> None:
        person = self._synapse.person(name)
        room_id = person.room(self.bot, is_direct=True)
        self.bot.join(room_id)
        self._people[name] = (person, room_id)
        self._rooms[room_id] = person.user_id

    # -- the homeserver --------------------------------------------------------------------------

    async def answer(self, request: Request) -> Reply | Cut:
        path = request.path.removeprefix("/_matrix/client/v3")
        if self._is_revoked:
            body = {"errcode": "M_UNKNOWN_TOKEN", "error": "revoked", "soft_logout": False}
            return Reply.json(body, 401)
        if path == "/account/whoami":
            self._is_silent = False  # silent to those who were connected
        if path == "/sync":
            return await self._sync(request)
        if request.method == "PUT" and "/send/m.room.message/" in path:
            return await self._send(request)
        return await self._forward(request)

    async def _sync(self, request: Request) -> Reply | Cut:
        query = dict(request.query)
        since = query.get("since")
        if since is not None:
            self._listens.set()
            self._asked.add(since)
        if since is not None and self._replay is not None:
            query["since"], self._replay = self._replay, None
        reply = await self._forward(request, query)
        if self._is_silent and since is not None:
            await asyncio.Event().wait()
        if reply.status != 200 or since is None:
            return reply
        found = json.loads(reply.body)
        self._note(query["since"], found)
        return Reply.json(self._with_odd(found))

    def _with_odd(self, found: dict[str, Any]) -> dict[str, Any]:
        for room in found.get("rooms", {}).get("join", {}).values():
            room["timeline"]["events"][:0], self._odd = self._odd, []
        return found

    def _note(self, since: str, found: dict[str, Any]) -> None:
        for room in found.get("rooms", {}).get("join", {}).values():
            for event in room["timeline"]["events"]:
                self._keys[event["event_id"]] = (since, found["next_batch"])

    async def _send(self, request: Request) -> Reply | Cut:
        self._attempts += 1
        try:
            return await self._treat(request)
        finally:
            self._has_news = True

    async def _treat(self, request: Request) -> Reply | Cut:
        match self._plan.popleft() if self._plan else Outcome.ACCEPT:
            case Outcome.LIMIT:
                body = {"errcode": "M_LIMIT_EXCEEDED", "error": "slow", "retry_after_ms": 1000}
                return Reply.json(body, 429)
            case Outcome.FAIL:
                return Reply(502, b"<html>bad gateway</html>", {"content-type": "text/html"})
            case Outcome.REJECT:
                return Reply.json({"errcode": "M_FORBIDDEN", "error": "not in the room"}, 403)
            case Outcome.DROP_ANSWER:
                await self._forward(request)
                return Cut()
            case _:
                return await self._forward(request)

    async def _forward(self, request: Request, query: dict[str, str] | None = None) -> Reply:
        answer = await self._upstream.request(
            request.method,
            request.path,
            params=request.query if query is None else query,
            headers={name: request.headers[name] for name in _KEPT if name in request.headers},
            content=request.body,
        )
        kind = answer.headers.get("content-type", "application/json")
        return Reply(answer.status_code, answer.content, {"content-type": kind})

    # -- the people ------------------------------------------------------------------------------

    async def say(self, text: str, *, sender: str = "ann") -> str:
        async with asyncio.timeout(30):
            await self._listens.wait()  # a fresh account takes nothing from before
        person, room_id = self._people[sender]
        return person.say(room_id, text)

    async def repeat(self, key: str) -> None:
        since, _ = self._keys.pop(key)
        self._replay = since
        self.cut_all()  # whoever asks again gets it again

    def is_acknowledged(self, key: str) -> bool:
        told = self._keys.get(key)
        return told is not None and told[1] in self._asked

    def sent(self) -> list[Sent]:
        if self._has_news:
            self._has_news = False
            self._look()
        return [
            Sent(self._rooms[room_id], content["body"])
            for room_id in self._rooms
            for content in whole(event for where, event in self._events if where == room_id)
        ]

    def _look(self) -> None:
        """See what people see now."""
        seen = {event["event_id"] for _, event in self._events}
        for person, _ in self._people.values():
            self._events += [
                (room_id, event)
                for room_id, event in person.news()
                if event["sender"] == self.bot.user_id and event["event_id"] not in seen
            ]

    def attempts(self) -> int:
        return self._attempts

    def plan(self, *outcomes: Outcome) -> None:
        self._plan.extend(outcomes)

    async def tell_event(self) -> str:
        person, room_id = self._people["ann"]
        target = person.event(room_id, "m.room.message", {"msgtype": "m.notice", "body": "x"})
        tie = {"rel_type": "m.annotation", "event_id": target, "key": "👍"}
        return person.event(room_id, "m.reaction", {"m.relates_to": tie})

    async def tell_garbage(self) -> None:
        person, room_id = self._people["ann"]
        for content in (
            {"msgtype": "m.image", "body": "no address"},
            {"msgtype": "m.text", "body": "odd", "m.relates_to": {"rel_type": "m.replace"}},
            {"msgtype": "org.example.new", "body": "from the future"},
        ):
            person.event(room_id, "m.room.message", content)
        person.event(room_id, "org.example.new", {"a": [1]})
        self._odd = [{"type": 5, "content": []}, {}, {"type": "m.room.message", "event_id": 3}]

    async def cut(self) -> None:
        self.cut_all()

    async def go_silent(self) -> None:
        self._is_silent = True

    async def revoke(self) -> None:
        self._is_revoked = True

    async def accept_again(self) -> None:
        self._is_revoked = False
