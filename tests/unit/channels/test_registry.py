"""The accounts there are, and the messages a text takes on each."""

from __future__ import annotations

from portico.channels.contract import Outgoing, Receipt
from portico.channels.registry import ChannelRegistry


class Short:
    keyed = False
    text_limit = 20

    async def send(self, message: Outgoing) -> Receipt:
        return Receipt("1")


class Endless:
    keyed = True

    async def send(self, message: Outgoing) -> Receipt:
        return Receipt("1")


def test_texts_are_split_where_an_account_has_a_limit() -> None:
    registry = ChannelRegistry()
    registry.register("pigeon", "a", Short())
    registry.register("webchat", "default", Endless())
    long = "First sentence. Second sentence."
    assert registry.pieces("pigeon", "a", "short") == ["short"]
    assert registry.pieces("pigeon", "a", long) == ["First sentence.", "Second sentence."]
    assert registry.pieces("webchat", "default", long) == [long]
    assert registry.pieces("pigeon", "unknown", long) == [long]
    assert registry.pieces("pigeon", "a", " " * 30) == [" " * 30]


def test_an_account_is_meant_when_none_is_named() -> None:
    registry = ChannelRegistry()
    assert registry.default_account("pigeon") == "default"
    registry.register("pigeon", "north", Short())
    registry.register("pigeon", "south", Short())
    assert registry.default_account("pigeon") == "north"
    registry.register("pigeon", "default", Short())
    assert registry.default_account("pigeon") == "default"


def test_known_is_what_has_an_account() -> None:
    registry = ChannelRegistry()
    assert not registry.is_known("pigeon")
    registry.register("pigeon", "a", Short())
    assert registry.is_known("pigeon")
    assert registry.find("pigeon", "b") is None
    registry.unregister("pigeon", "a")
    registry.unregister("pigeon", "a")
    assert not registry.is_known("pigeon")
