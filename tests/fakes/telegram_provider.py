"""The fake Bot API as the suites drive every channel: people who write to one bot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from portico.testkit import Outcome, Provider, Sent
from tests.fakes.telegram import TOKEN, Chat, FakeTelegram, Fault, Limited, Lost, Refused, Stalled
from tests.support.cable import Cable

FAULTS: dict[Outcome, Fault | None] = {
    Outcome.ACCEPT: None,
    Outcome.LIMIT: Limited(1),
    Outcome.REJECT: Refused(400, "Bad Request: chat not found"),
    Outcome.DROP_ANSWER: Lost(),
}


class TelegramProvider(Provider):
    """One bot and those who write to it."""

    def __init__(self, telegram: FakeTelegram, cable: Cable) -> None:
        self.telegram = telegram
        self.cable = cable
        self._people: dict[str, Chat] = {}
        self._updates: dict[str, dict[str, Any]] = {}  # by the key of their event

    def settings(self) -> dict[str, Any]:
        return {"botToken": TOKEN, "apiRoot": self.cable.url, "pollSeconds": 1}

    async def say(self, text: str, *, sender: str = "ann") -> str:
        if sender not in self._people:
            self._people[sender] = self.telegram.person(sender.title())
        person = self._people[sender]
        said = self.telegram.says(person, text)
        key = f"message:{person.id}:{said['message_id']}"
        self._updates[key] = self.telegram.unconfirmed[-1]
        return key

    async def repeat(self, key: str) -> None:
        self.telegram.redeliver(self._updates[key])

    def is_acknowledged(self, key: str) -> bool:
        return self._updates[key] not in self.telegram.unconfirmed

    def sent(self) -> list[Sent]:
        shown = ((message["chat"]["id"], message["message_id"]) for message in self.telegram.sent)
        return [Sent(str(at[0]), self.telegram.messages[at]["text"]) for at in shown]

    def attempts(self) -> int:
        return self.telegram.calls.count("sendMessage")

    def plan(self, *outcomes: Outcome) -> None:
        if Outcome.FAIL in outcomes:
            # Whatever else than a refusal Telegram answers, it may have sent the message.
            raise NotImplementedError
        self.telegram.plan("sendMessage", *(FAULTS[outcome] for outcome in outcomes))

    async def tell_event(self) -> str:
        ann = self.telegram.person("Ann")
        reaction = {
            "chat": ann.shape(),
            "message_id": 1,
            "user": ann.user(),
            "date": 1_795_000_010,
            "old_reaction": [],
            "new_reaction": [{"type": "emoji", "emoji": "👍"}],
        }
        return f"update:{self.telegram.update(message_reaction=reaction)}"

    async def tell_garbage(self) -> None:
        self.telegram.update(message={"message_id": "x", "chat": 3})
        self.telegram.update(message=7)
        self.telegram.update(something_new={"a": [1]})
        self.telegram.update()

    async def cut(self) -> None:
        await self.cable.cut()

    async def go_silent(self) -> None:
        self.telegram.plan("getUpdates", Stalled())

    async def revoke(self) -> None:
        self.telegram.is_revoked = True

    async def accept_again(self) -> None:
        self.telegram.is_revoked = False


@asynccontextmanager
async def telegram_provider() -> AsyncIterator[TelegramProvider]:
    """Open a Bot API behind a cable."""
    async with FakeTelegram() as telegram, Cable(telegram.port) as cable:
        yield TelegramProvider(telegram, cable)
