"""Routing what comes from channels, by bindings that may change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from portico.agents.bindings import ANY, Binding
from portico.agents.bindings import route as route_by
from portico.agents.runtime import TurnRequest
from portico.channels.model import InboundMessage, Peer
from portico.inbox.routing import Router
from portico.inbox.service import Inbox
from portico.protocol.errors import IdempotencyMismatch
from portico.store import Store
from tests.support.path import Path

SUPPORT = Binding("support", "telegram", ANY, peer=Peer("direct", "42"))


class Bound:
    """Bindings in a test's hands."""

    def __init__(self, *bindings: Binding) -> None:
        self.bindings = list(bindings)

    def agent_for(self, message: InboundMessage) -> str:
        return route_by(self.bindings, message, default="main")


def message(**given: Any) -> InboundMessage:
    said = InboundMessage(
        channel="telegram",
        account="default",
        event_key="1",
        peer=Peer("direct", "42"),
        sender="42",
        text="hi",
    )
    return msgspec.structs.replace(said, **given)


@pytest.mark.parametrize(
    ("given", "scope", "key"),
    [
        ({}, "main", "agent:support:main"),
        ({}, "per-channel-peer", "agent:support:telegram:direct:42"),
        ({"peer": Peer("direct", "7")}, "per-peer", "agent:main:direct:7"),
        ({"peer": Peer("group", "9")}, "main", "agent:main:telegram:group:9"),
        (
            {"peer": Peer("group", "9"), "thread_id": "t"},
            "main",
            "agent:main:telegram:group:9:thread:t",
        ),
        ({"agent_id": "ops"}, "main", "agent:ops:main"),
        ({"session_key": "agent:ops:x"}, "main", "agent:ops:x"),
    ],
)
def test_the_session_is_derived_unless_it_was_chosen(
    given: dict[str, Any], scope: Any, key: str
) -> None:
    router = Router(agent_for=Bound(SUPPORT).agent_for, dm_scope=scope)
    routing = router.route(message(**given))
    assert routing.session_key == key
    assert routing.agent_id == key.split(":")[1]


async def test_bindings_decide_and_a_repeat_is_known_after_they_changed(store: Store) -> None:
    bound = Bound(SUPPORT)
    async with Path(store) as path:
        inbox = Inbox(
            store=store,
            clock=path.clock,
            lanes=path.lanes,
            route=Router(agent_for=bound.agent_for).route,
        )
        first = await inbox.accept(message(), TurnRequest(text=""))
        assert first.session_key == "agent:support:main"
        bound.bindings[0] = replace(SUPPORT, agent_id="other")
        again = await inbox.accept(message(), TurnRequest(text=""))
        assert again.duplicate
        assert (again.run_id, again.session_key) == (first.run_id, first.session_key)
        later = await inbox.accept(message(event_key="2"), TurnRequest(text=""))
        assert later.session_key == "agent:other:main"
        with pytest.raises(IdempotencyMismatch):
            await inbox.accept(message(text="something else"), TurnRequest(text=""))
        with pytest.raises(IdempotencyMismatch):
            await inbox.accept(message(peer=Peer("direct", "43")), TurnRequest(text=""))
        for accepted in (first, later):
            assert accepted.run_id is not None
            path.puppet.finish(accepted.run_id)
            await path.ended(accepted.run_id)


async def test_an_inbox_without_routes_says_so(sqlite_store: Store) -> None:
    async with Path(sqlite_store) as path:
        with pytest.raises(TypeError, match="routes"):
            await path.inbox.accept(message(), TurnRequest(text=""))
