"""The loft's API, and the people who write through it."""

import asyncio
import itertools
from collections import deque
from typing import Any

from portico.testkit import Cut, FakeHttp, Outcome, Provider, Reply, Request, Sent


class FakeLoft(FakeHttp, Provider):
    def __init__(self) -> None:
        super().__init__()
        self.updates: list[dict[str, Any]] = []
        self.taken: dict[str, Sent] = {}  # by the key that came with it
        self.confirmed = 0
        self.is_silent = self.is_revoked = False
        self._attempts = 0
        self._replay: int | None = None
        self._plan: deque[Outcome] = deque()
        self._ids = itertools.count(1)
        self._news = asyncio.Event()

    def settings(self) -> dict[str, Any]:
        return {"token": "t", "apiUrl": self.url}

    # -- the API ---------------------------------------------------------------------------------

    async def answer(self, request: Request) -> Reply | Cut:
        if self.is_revoked:
            return Reply.json({}, 401)
        if request.path == "/me":
            self.is_silent = False  # silent to those who were connected
            return Reply.json({"id": "loft"})
        if request.path == "/updates":
            return await self._poll(int(request.query["after"]))
        return self._take(request.json())

    async def _poll(self, after: int) -> Reply:
        self.confirmed = max(self.confirmed, after)  # asking for the next confirms the last
        if self._replay is not None:
            after, self._replay = self._replay, None
        while self.is_silent or not (found := self._after(after)):
            await self._news.wait()
            self._news.clear()
        return Reply.json({"updates": found})

    def _after(self, after: int) -> list[dict[str, Any]]:
        return [update for update in self.updates if update["id"] > after]

    def _take(self, message: dict[str, Any]) -> Reply | Cut:
        self._attempts += 1
        match self._plan.popleft() if self._plan else Outcome.ACCEPT:
            case Outcome.LIMIT:
                return Reply.json({}, 429, retry_after="1")
            case Outcome.FAIL:
                return Reply.json({}, 500)
            case Outcome.REJECT:
                return Reply.json({}, 400)
            case outcome:
                self.taken.setdefault(message["key"], Sent(message["to"], message["text"]))
                return Cut() if outcome is Outcome.DROP_ANSWER else Reply.json({"id": "m"})

    # -- the people ------------------------------------------------------------------------------

    def _tell(self, **content: Any) -> str:
        number = next(self._ids)
        self.updates.append({"id": number, **content})
        self._news.set()
        return f"update:{number}"

    async def say(self, text: str, *, sender: str = "ann") -> str:
        return self._tell(message={"id": "m", "from": sender, "text": text})

    async def repeat(self, key: str) -> None:
        self._replay = int(key.removeprefix("update:")) - 1
        self.confirmed = self._replay
        self.cut_all()  # whoever asks again gets it again

    def is_acknowledged(self, key: str) -> bool:
        return self.confirmed >= int(key.removeprefix("update:"))

    def sent(self) -> list[Sent]:
        return [*self.taken.values()]

    def attempts(self) -> int:
        return self._attempts

    def plan(self, *outcomes: Outcome) -> None:
        self._plan.extend(outcomes)

    async def tell_event(self) -> str:
        return self._tell(reaction={"from": "ann", "emoji": "+"})

    async def tell_garbage(self) -> None:
        self._tell(message=7)

    async def cut(self) -> None:
        self.cut_all()

    async def go_silent(self) -> None:
        self.is_silent = True

    async def revoke(self) -> None:
        self.is_revoked = True

    async def accept_again(self) -> None:
        self.is_revoked = False
