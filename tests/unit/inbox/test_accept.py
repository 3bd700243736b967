"""Accepting: durable, once, decided, routed; on both engines."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from portico.agents.runtime import TurnRequest
from portico.channels.model import Attachment, Peer
from portico.inbox.policy import DoorPolicy, Verdict
from portico.inbox.tables import messages
from portico.protocol.errors import Forbidden
from portico.store import Store, Work, statement
from tests.support.path import Path

_MESSAGES = statement(sa.select(messages).order_by(messages.c.received_at, messages.c.message_id))
GATED = DoorPolicy(require_mention=True, mention_patterns=("@bot",))


async def inbox(store: Store) -> list[dict[str, Any]]:
    def work() -> Work[list[dict[str, Any]]]:
        names = [column.name for column in messages.columns]
        return [{name: row[name] for name in names} for row in (yield _MESSAGES())]

    return await store.read(work)


async def test_an_accepted_message_is_on_record(store: Store) -> None:
    async with Path(store) as path:
        accepted = await path.say("a", "hello", trace_id="t1", thread_id="th")
        assert accepted.verdict is Verdict.ADMIT
        (row,) = await inbox(store)
        assert row["message_id"] == accepted.message_id
        assert (row["state"], row["reason"], row["run_id"]) == ("queued", None, "a")
        assert (row["session_key"], row["trace_id"]) == ("agent:main:s", "t1")
        turn = await path.begun("a")
        assert turn.request.message_id == accepted.message_id
        assert turn.request.received_at_ms == path.clock.now_ms()
        assert turn.request.sender == "ann"


async def test_the_reply_route_is_frozen(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a", peer=Peer("group", "g"), thread_id="th", reply_context={"token": "x"})
        route = await path.inbox.route_of("a")
        assert route is not None
        assert (route.peer.id, route.thread_id, route.context) == ("g", "th", {"token": "x"})
        row = await path.turns.find("a")
        assert row is not None
        assert row.reply_route == route
        assert await path.inbox.route_of("nobody") is None


async def test_a_run_gets_an_id_when_nobody_chose_one(sqlite_store: Store) -> None:
    async with Path(sqlite_store) as path:
        from portico.channels.model import InboundMessage
        from portico.inbox.model import Routing

        accepted = await path.inbox.accept(
            InboundMessage(
                channel="fake",
                account="default",
                event_key="e1",
                peer=Peer("direct", "ann"),
                sender="ann",
                text="hello",
            ),
            TurnRequest(text="hello"),
            Routing("agent:main:s", "main"),
        )
        assert accepted.run_id is not None
        assert accepted.run_id.startswith("run_")
        await path.begun(accepted.run_id)


async def test_a_message_that_is_not_for_the_assistant_is_kept(store: Store) -> None:
    async with Path(store, policy=GATED) as path:
        group = Peer("group", "g")
        kept = await path.say("a", "just talking", peer=group)
        assert (kept.verdict, kept.run_id, kept.turn) == (Verdict.CONTEXT, None, None)
        again = await path.say("a", "just talking", peer=group)
        assert (again.verdict, again.duplicate) == (Verdict.CONTEXT, True)
        await path.say("b", "@bot what do you say?", peer=group)
        turn = await path.begun("b")
        history = await turn.history(10)
        assert [message.content for message in history] == ["just talking"]
        path.puppet.finish("b")
        await path.ended("b")
        assert await path.transcript() == [
            ("user", "just talking"),
            ("user", "@bot what do you say?"),
            ("assistant", "done"),
        ]
        states = [(row["state"], row["reason"]) for row in await inbox(store)]
        assert sorted(states, key=str) == [
            ("context", "the assistant was not mentioned"),
            ("queued", None),
        ]


async def test_a_refusal_is_on_record_and_leaves_nothing_else(store: Store) -> None:
    async with Path(store, policy=DoorPolicy(allow_senders=frozenset({"bob"}))) as path:
        for _ in range(2):
            with pytest.raises(Forbidden) as refusal:
                await path.say("a")
            assert refusal.value.details["code"] == "SENDER_NOT_ALLOWED"
        (row,) = await inbox(store)
        assert (row["state"], row["reason"]) == ("refused", "sender is not on the allowlist")
        assert row["run_id"] is None
        assert await path.transcript() == []
        assert await path.turns.find("a") is None


async def test_parts_and_attachments_reach_the_turn_and_the_transcript(store: Store) -> None:
    async with Path(store) as path:
        part = {"type": "image", "url": "https://example.org/x.png"}
        file = Attachment(type="file", mime_type="text/plain", file_name="x.txt", content="aGk=")
        await path.say("a", "look", parts=(part,), attachments=(file,))
        turn = await path.begun("a")
        assert turn.request.parts == (part,)
        assert turn.request.attachments == (file,)
        (entry,) = await path.entries()
        assert entry.content == [
            {"type": "text", "text": "look"},
            part,
            {"type": "file", "mimeType": "text/plain", "fileName": "x.txt", "sizeBytes": None},
        ]


async def test_the_same_key_on_another_channel_is_another_message(store: Store) -> None:
    async with Path(store) as path:
        await path.say("a", event_key="1", channel="fake")
        other = await path.say("b", event_key="1", channel="webchat")
        assert not other.duplicate


async def test_many_doors_at_once(store: Store) -> None:
    async with Path(store) as path:
        for number in range(100):
            path.puppet.finish(f"r{number}", f"to {number}")
        await asyncio.gather(
            *(path.say(f"r{number}", session=f"s{number % 7}") for number in range(100))
        )
        for number in range(100):
            assert (await path.ended(f"r{number}")).state == "succeeded"
        for session in range(7):
            said = await path.transcript(f"s{session}")
            mine = [number for number in range(100) if number % 7 == session]
            assert said == [
                pair for n in mine for pair in (("user", f"r{n}"), ("assistant", f"to {n}"))
            ]
