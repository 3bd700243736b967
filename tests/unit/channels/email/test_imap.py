"""The connection to an IMAP server that misbehaves."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from portico.channels.email.imap import (
    Imap,
    ImapBroken,
    ImapRefused,
    LoginRefused,
    Unparsable,
)
from tests.fakes.imap_rogue import Rogue

MESSAGE = b"* 1 FETCH (UID 10 RFC822.SIZE 99 BODY[]<0> {5}\r\nhello)\r\n"


@asynccontextmanager
async def talking(**said: bytes | None) -> AsyncIterator[tuple[Imap, Rogue]]:
    async with Rogue(**said) as rogue, connected(rogue) as imap:
        yield imap, rogue


def connected(rogue: Rogue, **changes: Any) -> Any:
    how: dict[str, Any] = {"tls": "none", "timeout_s": 0.5, "max_literal_bytes": 1000, **changes}
    context = ssl.create_default_context()
    return Imap.connect(("127.0.0.1", rogue.port), context=context, **how)


async def test_a_message_with_what_else_is_said_about_it() -> None:
    said = (
        b"* 5 EXISTS\r\n* 9 FETCH (FLAGS (\\Seen))\r\n"
        b'* 1 FETCH (FLAGS () UID 10 INTERNALDATE "01-Jan-2026 00:00:00 +0000"\r\n'.rstrip(b"\r\n")
        + b" RFC822.SIZE 99 BODY[]<0> {5}\r\nh)(\r\n)\r\n{tag} OK done\r\n"
    )
    async with talking(FETCH=said) as (imap, _):
        await imap.select("INBOX")
        imap.has_news = False
        found = await imap.fetch(10, max_bytes=5)
        assert found is not None
        assert (found.content, found.size_bytes, found.is_cut) == (b"h)(\r\n", 99, True)
        assert found.arrived_s == 1_767_225_600
        assert imap.has_news


@pytest.mark.parametrize(
    ("said", "content"),
    [
        (b'* 1 FETCH (UID 10 BODY[]<0> "quoted \\"x\\"")\r\n', b'quoted "x"'),
        (b"* 1 FETCH (UID 10 BODY[]<0> 12345)\r\n", b"12345"),
        (b"* 1 FETCH (UID 10 BODY[] {0}\r\n)\r\n", b""),
        (b"* 1 FETCH (UID 11 BODY[] {1}\r\nx)\r\n", None),
        (b"", None),
    ],
)
async def test_odd_ways_to_say_a_body(said: bytes, content: bytes | None) -> None:
    async with talking(FETCH=said + b"{tag} OK done\r\n") as (imap, _):
        found = await imap.fetch(10, max_bytes=5)
        assert (None if found is None else found.content) == content


@pytest.mark.parametrize(
    "said",
    [
        b"* 1 FETCH (UID 10 BODY[]\r\n",
        b"* 1 FETCH UID\r\n",
        b"* 1 FETCH (UID x)\r\n",
        b"* 1 FETCH (" + b"(" * 5_000 + b"\r\n",
        b'* 1 FETCH (UID 10 X "\r\n',
    ],
)
async def test_what_is_not_understood_is_about_that_message_only(said: bytes) -> None:
    async with talking(FETCH=said + b"{tag} OK done\r\n") as (imap, rogue):
        with pytest.raises(Unparsable):
            await imap.fetch(10, max_bytes=5)
        rogue.said["FETCH"] = MESSAGE + b"{tag} OK done\r\n"
        assert (await imap.fetch(10, max_bytes=5)) is not None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (None, "closed"),
        (b"", "no answer"),
        (b"* 1 FETCH (UID 10 BODY[]<0> {1001}\r\n", "nobody asked"),
        (b"* 1 FETCH (UID 10 BODY[]<0> {999}\r\nx", "no answer"),
        (b"x" * 1_200_000, "without end"),
        (b"* BYE going down\r\n", "going down"),
    ],
)
async def test_a_server_that_goes_wrong_is_left(said: bytes | None, why: str) -> None:
    async with talking(FETCH=said) as (imap, _):
        with pytest.raises(ImapBroken, match=why):
            await imap.fetch(10, max_bytes=5)


@pytest.mark.parametrize(
    ("greeting", "why"),
    [
        (b"* BYE full\r\n", "full"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"),
        (b"", "no answer"),
    ],
)
async def test_what_is_no_imap_server_is_left(greeting: bytes, why: str) -> None:
    async with Rogue(GREETING=greeting) as rogue:
        with pytest.raises(ImapBroken, match=why):
            async with connected(rogue):
                pass


async def test_nobody_there() -> None:
    async with Rogue() as rogue:
        port = rogue.port
    with pytest.raises(ImapBroken, match="not reached"):
        async with Imap.connect(
            ("127.0.0.1", port),
            tls="none",
            context=ssl.create_default_context(),
            timeout_s=30,
            max_literal_bytes=1,
        ):
            pass


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"{tag} NO [AUTHENTICATIONFAILED] no\r\n", LoginRefused),
        (b"{tag} NO no\r\n", LoginRefused),
        (b"{tag} NO [UNAVAILABLE] later\r\n", ImapBroken),
        (b"{tag} NO [LIMIT] too many connections\r\n", ImapBroken),
    ],
)
async def test_a_refused_login_is_the_passwords_fault_unless_it_is_said(
    said: bytes, error: type[Exception]
) -> None:
    async with talking(LOGIN=said) as (imap, _):
        with pytest.raises(error) as caught:
            await imap.login("ann", "secret word")
        assert "secret" not in str(caught.value)


async def test_nothing_can_be_taken_for_another_command() -> None:
    async with talking(DONE=b"+ go on\r\n") as (imap, rogue):
        with pytest.raises(ImapRefused):
            await imap.login("ann\0", "x")
        await imap.login('a"b\\', "plain")
        assert rogue.heard[-2].endswith(b' LOGIN "a\\"b\\\\" "plain"')


async def test_a_token_is_sent_and_a_refusal_is_heard_to_its_end() -> None:
    capable = b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2 SASL-IR\r\n{tag} OK done\r\n"
    async with talking(CAPABILITY=capable, AUTHENTICATE=b"{tag} OK in\r\n") as (imap, rogue):
        await imap.login_with_token("ann@b", "token")
        assert b"AUTHENTICATE XOAUTH2 dXNlcj1hbm5AYgFhdXRoPUJlYXJlciB0b2tlbgEB" in rogue.heard[1]
    refused: dict[str, bytes | None] = {
        "AUTHENTICATE": b"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n",
        "DONE": b"{tag} NO no\r\n",
    }
    async with talking(CAPABILITY=capable, **refused) as (imap, rogue):
        with pytest.raises(LoginRefused):
            await imap.login_with_token("ann@b", "token")
        assert rogue.heard[-1] == b""


async def test_idle_hears_news_and_can_be_left_at_any_moment() -> None:
    async with talking(IDLE=b"+ idling\r\n* 4 EXI", DONE=b"STS\r\n{tag} OK done\r\n") as (imap, _):
        imap.has_news = False
        await imap.idle(0.05)  # cut off in the middle of a line
        assert imap.has_news
        await imap.noop()
    async with talking(IDLE=b"+ idling\r\n* 4 EXISTS\r\n") as (imap, rogue):
        imap.has_news = False
        await asyncio.wait_for(imap.idle(600), 30)
        assert rogue.heard[-1] == b"DONE"
    async with talking(IDLE=b"{tag} BAD no\r\n") as (imap, _):
        with pytest.raises(ImapRefused):
            await imap.idle(1)


async def test_a_missing_folder_is_made_and_without_move_it_is_copied() -> None:
    capable = b"* CAPABILITY IMAP4rev1 UIDPLUS\r\n{tag} OK done\r\n"
    async with talking(CAPABILITY=capable) as (imap, rogue):
        await imap.move(5, "Ä/b")
        said = [line.partition(b" ")[2] for line in rogue.heard[1:]]
        assert said == [
            b'UID COPY 5 "&AMQ-/b"',
            b"UID STORE 5 +FLAGS.SILENT (\\Deleted)",
            b"UID EXPUNGE 5",
        ]
    async with talking(MOVE=b"{tag} NO [TRYCREATE] none\r\n") as (imap, rogue):
        with pytest.raises(ImapRefused):
            await imap.move(5, "b")
        assert [line.split(b" ")[1] for line in rogue.heard[1:]] == [b"UID", b"CREATE", b"UID"]


async def test_an_old_server_that_does_not_say_the_next_number() -> None:
    said = b"* 2 EXISTS\r\n{tag} OK done\r\n"
    async with talking(SELECT=said, SEARCH=b"* SEARCH 4 9\r\n{tag} OK done\r\n") as (imap, _):
        folder = await imap.select("INBOX")
        assert (folder.uid_validity, folder.uid_next) == (0, 10)
    async with talking(SEARCH=b"* SEARCH x y\r\n{tag} OK done\r\n") as (imap, _):
        with pytest.raises(ImapBroken):
            await imap.search("1:*")
