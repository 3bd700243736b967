from __future__ import annotations

import asyncio
import socket

import msgspec

from portico.events.hub import Forwarded
from portico.succession.link import Link, Word


async def pair() -> tuple[Link, Link]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return await Link.open(one), await Link.open(other)


async def test_words_arrive_in_order_and_end_with_the_other_side() -> None:
    one, other = await pair()
    one.say(Word("hello", pid=7, owner="boot_1"))
    one.forward(Forwarded("chat", {"runId": "r"}, session_key="main"))
    await one.close()
    async with asyncio.timeout(30):
        heard = [word async for word in other.words()]
    assert [word.say for word in heard] == ["hello", "event"]
    assert (heard[0].pid, heard[0].owner) == (7, "boot_1")
    event = msgspec.json.decode(heard[1].event, type=Forwarded)
    assert event == Forwarded("chat", {"runId": "r"}, session_key="main")
    await other.close()


async def test_to_one_that_is_gone_nothing_is_said() -> None:
    one, other = await pair()
    await other.close()
    async with asyncio.timeout(30):
        assert [word async for word in one.words()] == []
    one.say(Word("go"))
    await one.close()


async def test_junk_and_what_json_cannot_say_are_passed_over() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    link = await Link.open(ours)
    theirs.sendall(b"not json\n[]\n" + msgspec.json.encode(Word("go")) + b"\n")
    link.forward(Forwarded("chat", object()))
    theirs.close()
    async with asyncio.timeout(30):
        assert [word.say async for word in link.words()] == ["go"]
    await link.close()
