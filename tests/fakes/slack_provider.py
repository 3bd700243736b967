"""A Slack workspace, as the conformance suite and the kill rounds ask for it."""

from __future__ import annotations

from html import escape
from typing import Any

from portico.testkit import Outcome, Provider, Sent
from tests.fakes.slack import FakeSlack, Limited, Lost, Refused, User, visible

FAULTS: dict[Outcome, Any] = {
    Outcome.LIMIT: Limited(1),
    Outcome.FAIL: Refused("service_unavailable"),
    Outcome.REJECT: Refused("is_archived"),
    Outcome.DROP_ANSWER: Lost(),
}


class SlackProvider(Provider):
    """A workspace with an app in it."""

    def __init__(self, slack: FakeSlack, **settings: Any) -> None:
        self.slack = slack
        self._settings = settings
        self._people: dict[str, User] = {}

    def settings(self) -> dict[str, Any]:
        return self.slack.settings(**self._settings)

    async def say(self, text: str, *, sender: str = "ann") -> str:
        who = self._people.get(sender) or self._people.setdefault(sender, self.slack.person(sender))
        return self.slack.says(who, escape(text, quote=False))

    async def repeat(self, key: str) -> None:
        self.slack.repeat(key)

    def is_acknowledged(self, key: str) -> bool:
        return self.slack.told[key].is_acknowledged

    def sent(self) -> list[Sent]:
        owners = {user.dm: user.id for user in self.slack.users.values()}
        return [Sent(owners[one["channel"]], visible(one["text"])) for one in self.slack.sent]

    def attempts(self) -> int:
        return self.slack.calls.count("chat.postMessage")

    def plan(self, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            self.slack.plan("chat.postMessage", FAULTS.get(outcome))  # type: ignore[arg-type]

    async def tell_event(self) -> str:
        ann = self.slack.person("ann")
        item = {"type": "message", "channel": ann.dm, "ts": "1.0"}
        event = {"type": "reaction_added", "user": ann.id, "reaction": "eyes", "item": item}
        return f"event:{self.slack.event(event)}"

    async def tell_garbage(self) -> None:
        self.slack.event({"type": "message", "channel": 7})
        self.slack.event({"type": "message", "subtype": "message_changed", "message": [1]})
        self.slack.event({"something": "new"})
        self.slack.tell("odd-1", "events_api", {"type": "event_callback"})
        self.slack.tell("odd-2", "events_api", {"event": "?", "event_id": 3})
        self.slack.tell("odd-3", "interactive", {"user": "?"})
        self.slack.tell("odd-4", "slash_commands", {"command": "/x"})
        if self.slack.door is None:
            self.slack.tell("odd-5", "of_the_future", {"a": 1})
            for text in ("", "{", "[]", "null", '{"type": "news"}', '{"envelope_id": 7}'):
                await self.slack.frame(text)
        else:
            for body in (b"", b"{", b"[]", b"\xff\xfe"):
                await self.slack.post_raw(body)
                await self.slack.post_raw(body, "application/x-www-form-urlencoded")

    async def cut(self) -> None:
        self.slack.cut_all()

    async def go_silent(self) -> None:
        if self.slack.door is not None:
            raise NotImplementedError
        for here in self.slack.sockets:
            here.is_silent = True

    async def revoke(self) -> None:
        self.slack.is_revoked = True

    async def accept_again(self) -> None:
        self.slack.is_revoked = False
