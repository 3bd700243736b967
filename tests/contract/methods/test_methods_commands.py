"""Commands over the control plane and from channels, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from portico.agents.runtime import TurnRequest
from portico.channels.contract import Outgoing, Receipt
from portico.channels.model import InboundMessage, Peer, PeerKind
from portico.chat.commands.rules import CommandSettings
from portico.inbox.model import Routing
from tests.support.house import House, open_house, principal
from tests.support.waiting import eventually

KEY = "agent:main:w1"
HANG = "/sim hang=1\nx"
OWNER = "boss"


class Mailer:
    """A channel that keeps what is sent."""

    keyed = True

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def send(self, message: Outgoing) -> Receipt:
        self.texts.append(message.text)
        return Receipt(message.delivery_id)


class Street:
    """People who write on the channel `fake`."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.mailer = Mailer()
        self.count = 0
        house.senders.register("fake", "default", self.mailer)

    async def says(
        self, text: str, *, who: str = "ann", kind: PeerKind = "direct", **more: Any
    ) -> str:
        """Hand a message in; return its run id."""
        self.count += 1
        message = InboundMessage(
            channel="fake",
            account="default",
            event_key=more.pop("event_key", f"e{self.count}"),
            peer=Peer(kind, "g" if kind == "group" else who),
            sender=who,
            text=text,
            **more,
        )
        routing = Routing(KEY, "main", created_via="channel", asked="test")
        taken = await self.house.inbox.take(message, TurnRequest(text=text), routing)
        return taken.run_id or ""

    async def hears(self, count: int) -> list[str]:
        """Return what was sent, once it is so many."""
        await eventually(lambda: len(self.mailer.texts) >= count)
        return self.mailer.texts


@pytest.fixture
async def street(tmp_path: Path, database_url: str) -> AsyncIterator[Street]:
    settings = CommandSettings(owners=frozenset({f"fake:{OWNER}"}))
    async with open_house(tmp_path, url=database_url, commands=settings) as house:
        yield Street(house)


async def send(house: House, text: str, key: str, **more: Any) -> Any:
    params = {"sessionKey": KEY, "message": text, "idempotencyKey": key, **more}
    return await house.call("chat.send", params)


async def finals(watcher: Any, run_id: str) -> list[str]:
    """Return what ended a run, once something did."""

    def found() -> list[str]:
        ends = [e for e in watcher.named("chat") if e["runId"] == run_id and e["state"] == "final"]
        return [e["message"]["content"][0]["text"] for e in ends]

    return await eventually(found)


async def test_a_command_is_answered_while_a_turn_runs(house: House):
    watcher = house.connect()
    await send(house, HANG, "turn")
    assert await send(house, "/status", "k1") == {"runId": "k1", "status": "started"}
    (text,) = await finals(watcher, "k1")
    assert f"Session: `{KEY}`" in text
    assert "Now: answering for" in text
    assert "0 waiting" in text
    assert "Gateway: Portico" in text
    await house.call("chat.abort", {"sessionKey": KEY})


async def test_the_exchange_is_kept_for_people_and_not_told_to_agents(house: House):
    await house.say(KEY, "hello", "k0")
    watcher = house.connect()
    await send(house, "/whoami", "k1")
    await finals(watcher, "k1")
    history = await house.call("chat.history", {"sessionKey": KEY})
    assert [m["role"] for m in history["messages"]] == ["user", "assistant"] * 2
    asked, answer = history["messages"][2:]
    assert asked["content"][0]["text"] == "/whoami"
    assert asked["idempotencyKey"] == "k1:user"
    assert "`tester`" in answer["content"][0]["text"]
    session = await house.sessions.find(KEY)
    assert session
    from portico.sessions import transcript

    told = await house.store.read(transcript.told, session.session_id, limit=10)
    assert [entry.role for entry in told] == ["user", "assistant"]


async def test_the_same_command_again_is_not_answered_twice(house: House):
    watcher = house.connect()
    await send(house, "/help", "k1")
    await finals(watcher, "k1")
    assert (await send(house, "/help", "k1"))["status"] == "ok"
    assert len(await finals(watcher, "k1")) == 1
    waited = await house.call("agent.wait", {"runId": "k1", "timeoutMs": 10_000})
    assert waited["status"] == "ok"


@pytest.mark.parametrize(
    "text", ["/weather today", "/etc/hosts is odd", "/status of my order", "/"]
)
async def test_what_is_no_command_goes_to_the_agent(house: House, text: str):
    watcher = house.connect()
    await send(house, text, "k1")
    assert await finals(watcher, "k1") == [f"Echo: {text}"]


async def test_two_slashes_are_for_the_agent(house: House):
    watcher = house.connect()
    await send(house, "//status", "k1")
    assert await finals(watcher, "k1") == ["Echo: /status"]
    await send(house, "//status", "k2", suppressCommandInterpretation=True)
    assert await finals(watcher, "k2") == ["Echo: //status"]


async def test_commands_can_be_turned_off(tmp_path: Path):
    async with open_house(tmp_path, commands=CommandSettings(text=False)) as house:
        watcher = house.connect()
        await send(house, "/status", "k1")
        assert await finals(watcher, "k1") == ["Echo: /status"]
        street = Street(house)
        await street.says("/help")
        assert await street.hears(1) == ["Echo: /help"]


async def test_each_command_needs_its_scope(house: House):
    reader = principal("operator.write")
    for text, missing in [("/restart", "operator.admin"), ("/approve", "operator.approvals")]:
        refused = await house.refusal(
            "chat.send", {"sessionKey": KEY, "message": text, "idempotencyKey": text}, by=reader
        )
        assert refused["message"] == f"missing scope: {missing}"


async def test_the_list_says_what_the_book_has(house: House):
    listed = (await house.call("commands.list", {}))["commands"]
    assert [one["name"] for one in listed] == [one.name for one in house.orders.book]
    named = {one["name"]: one for one in listed}
    assert named["think"]["textAliases"] == ["/think", "/thinking", "/t"]
    assert named["approve"]["args"][1]["choices"][0] == {
        "value": "allow-once", "label": "allow-once",
    }  # fmt: skip
    assert "args" not in named["status"]
    bare = (await house.call("commands.list", {"includeArgs": False}))["commands"]
    assert not any("args" in one for one in bare)
    metadata = await house.call("chat.metadata", {})
    assert metadata["commands"] == listed


async def test_a_session_is_named_and_its_thinking_is_set(house: House):
    watcher = house.connect()
    for number, (text, answer) in enumerate(
        [
            ("/name", "This session has no name."),
            ("/name Holiday  plans", "This session is now “Holiday plans”."),
            ("/rename", "This session is called “Holiday plans”."),
            ("/think very", "Thinking can be off, or default."),
            ("/think off", "Thinking: off."),
            ("/model other", "The agent `main` (echo) has no models."),
            ("/queue", "Queue mode followup, at most 20 waiting.\nNothing runs or waits."),
            ("/compact", "Not summarised: "),
            ("/restart", "This gateway was not started in a way that it can restart itself."),
        ]
    ):
        await send(house, text, f"k{number}")
        assert (await finals(watcher, f"k{number}"))[0].startswith(answer)
    session = await house.sessions.find(KEY)
    assert session
    assert session.label == "Holiday plans"
    assert session.settings["thinkingLevel"] == "off"


async def test_a_message_meets_what_the_command_before_it_has_set(street: Street):
    watcher = street.house.connect()
    await street.says("/think off", who=OWNER)
    run_id = await street.says("hello", who=OWNER)
    assert await street.hears(2) == ["Thinking: off.", "Echo: hello"]
    await finals(watcher, run_id)
    row = await street.house.turns.find(run_id)
    assert row is not None


async def test_a_sender_is_answered_where_he_writes(street: Street):
    await street.says(HANG)
    await street.says("/status")
    (text,) = await street.hears(1)
    assert "Now: answering" in text
    assert "Gateway:" not in text  # that is for owners
    await street.says("/stop")
    assert (await street.hears(2))[1] == "Stopped 1 turn."


async def test_what_others_wait_for_is_not_shown(street: Street):
    await street.says(HANG, who="bob")
    await street.says("mine")
    await street.says("/queue")
    (text,) = await street.hears(1)
    assert "hang" not in text
    assert text.endswith(": mine")
    await street.says("/queue", who=OWNER)
    assert "hang" in (await street.hears(2))[1]
    await street.says("/stop")
    await street.hears(3)


async def test_new_begins_anew_and_what_follows_is_answered(street: Street):
    await street.says("hello")
    await street.hears(1)
    before = await street.house.sessions.find(KEY)
    await street.says("/new")
    await street.says("what was that?")
    assert await street.hears(3) == ["Echo: hello", "New session started.", "Echo: what was that?"]
    await street.says("/new and this")
    assert (await street.hears(4))[3] == "Echo: and this"
    after = await street.house.sessions.find(KEY)
    assert before
    assert after
    assert before.session_id != after.session_id


@pytest.mark.parametrize("text", ["/restart", "/approve", "/agents", "/models", "/model lab/m"])
async def test_what_matters_is_for_owners(street: Street, text: str):
    await street.says(text)
    (refused,) = await street.hears(1)
    assert refused.startswith("Only an owner of this gateway may")
    assert "fake:ann" in refused
    await street.says(text, who=OWNER)
    assert not (await street.hears(2))[1].startswith("Only an owner")


async def test_in_a_group_a_member_resets_nothing(street: Street):
    await street.says("/new", kind="group")
    assert await street.hears(1) == ["In a group only an owner may use /new."]
    await street.says("<@bot> /new", kind="group", who=OWNER, mentioned=True)
    assert (await street.hears(2))[1] == "New session started."
    await street.says("/whoami", kind="group")
    assert "Owner: no" in (await street.hears(3))[2]


async def test_a_sender_the_channel_does_not_believe_is_no_owner(street: Street):
    await street.says("/agents", who=OWNER, is_untrusted=True)
    assert (await street.hears(1))[0].startswith("Only an owner")


async def test_who_may_give_commands_can_be_listed(tmp_path: Path):
    settings = CommandSettings(allowed={"*": frozenset({"fake:bob"})})
    async with open_house(tmp_path, commands=settings) as house:
        street = Street(house)
        await street.says("/help")
        assert await street.hears(1) == ["Echo: /help"]
        await street.says("/help", who="bob")
        assert "/status" in (await street.hears(2))[1]


async def test_an_approval_is_decided_by_an_owner(street: Street):
    house = street.house
    house.connect("reviewer", "operator.approvals")
    asking = asyncio.ensure_future(
        house.call(
            "exec.approval.request",
            {"id": "a1", "command": "make", "timeoutMs": 60_000},
            by=principal("operator.approvals"),
        )
    )
    await eventually(lambda: house.approvals.find("a1"))
    await street.says("/approve a1 allow-once")
    assert (await street.hears(1))[0].startswith("Only an owner")
    await street.says("/approve", who=OWNER)
    assert "`a1` make" in (await street.hears(2))[1]
    await street.says("/approve a1 maybe", who=OWNER)
    assert (await street.hears(3))[2].startswith("Use: /approve")
    await street.says("/approve a1 deny", who=OWNER)
    assert (await street.hears(4))[3] == "Denied: a1 (deny)."
    assert (await asking)["decision"] == "deny"
    await street.says("/approve a1 once", who=OWNER)
    assert (await street.hears(5))[4] == "It was decided otherwise already."


async def test_a_dead_owners_command_is_answered_once(
    street: Street, monkeypatch: pytest.MonkeyPatch
):
    house, orders = street.house, street.house.orders
    with monkeypatch.context() as dead:
        dead.setattr(orders, "begin", lambda _order: None)
        run_id = await street.says("/whoami")
    row = await orders.find(run_id)
    assert row
    assert not row.is_done
    await orders.outlive("test")
    await street.hears(1)
    await street.says("/whoami", event_key="e1")  # told again
    await orders.outlive("test")
    await street.says("last")
    assert [text.split(":")[0] for text in await street.hears(2)] == ["You", "Echo"]
    row = await orders.find(run_id)
    assert row
    assert (row.is_done, row.attempts) == (True, 2)
    assert await house.orders.forget(before_ms=house.clock.now_ms() + 1) == 1
