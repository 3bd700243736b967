"""The fetcher: what strangers' URLs may and may not reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from portico.fetch import Fetcher, FetchRefused, FetchSettings, check_url, is_public

pytestmark = pytest.mark.anyio


class Server:
    """A small HTTP server that answers by path and records who was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.port = 0
        self.hold = asyncio.Event()

    def url(self, path: str, host: str = "files.example") -> str:
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:  # the client gave up
            writer.close()
            return
        lines = head.split("\r\n")
        path = lines[0].split()[1]
        host = next(line[6:] for line in lines if line.lower().startswith("host:"))
        self.asked.append((host, path))
        if path == "/hang":
            await self.hold.wait()
        writer.write(self.answers.get(path, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"))
        await writer.drain()
        writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
        server.hold.set()


async def to_this_machine(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def ok(body: bytes, **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body


def redirect(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n".encode()


def fetcher(**settings: object) -> Fetcher:
    chosen = FetchSettings(**{"allow_private": True, **settings})  # type: ignore[arg-type]
    return Fetcher(chosen, resolve=to_this_machine)


async def test_a_file_is_downloaded_with_its_name_and_type() -> None:
    async with serving() as server:
        server.answers["/a/report.pdf?x=1"] = ok(b"%PDF", content_type="application/pdf; q=1")
        found = await fetcher().fetch(server.url("/a/report.pdf?x=1"), max_bytes=100)
        assert (found.body, found.content_type, found.file_name) == (
            b"%PDF",
            "application/pdf",
            "report.pdf",
        )
        assert server.asked == [(f"files.example:{server.port}", "/a/report.pdf?x=1")]


async def test_the_servers_file_name_wins_and_has_no_path() -> None:
    async with serving() as server:
        named = 'attachment; filename="../../etc/passwd"'
        server.answers["/x"] = ok(b"1", content_disposition=named)
        assert (await fetcher().fetch(server.url("/x"), max_bytes=9)).file_name == "passwd"


async def test_a_private_address_is_refused_before_anything_is_sent() -> None:
    async with serving() as server:
        guarded = Fetcher(FetchSettings(), resolve=to_this_machine)
        with pytest.raises(FetchRefused, match="not public"):
            await guarded.fetch(server.url("/a"), max_bytes=9)
        assert server.asked == []


async def test_one_private_address_among_public_ones_is_refused() -> None:
    async def mixed(host: str, port: int) -> Sequence[str]:
        return ["93.184.215.14", "10.0.0.1"]

    with pytest.raises(FetchRefused, match="not public"):
        await Fetcher(FetchSettings(), resolve=mixed).fetch("http://a.example/", max_bytes=9)


async def test_the_name_is_looked_up_once_and_the_address_is_pinned() -> None:
    looked_up = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["203.0.113.1"]

    async with serving() as server:
        server.answers["/a"] = ok(b"1")
        pinned = Fetcher(FetchSettings(allow_private=True), resolve=rebinding)
        await pinned.fetch(server.url("/a", "rebind.example"), max_bytes=9)
        assert looked_up == ["rebind.example"]


async def test_each_redirect_is_checked_again() -> None:
    async def public_name_only(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"] if host == "files.example" else ["169.254.169.254"]

    async with serving() as server:
        server.answers["/a"] = redirect("http://metadata.example/latest")
        guarded = Fetcher(
            FetchSettings(allow_private=True, allowed_domains=("files.example",)),
            resolve=public_name_only,
        )
        with pytest.raises(FetchRefused, match="domain is not allowed"):
            await guarded.fetch(server.url("/a"), max_bytes=9)
        server.answers["/b"] = redirect("file:///etc/passwd")
        with pytest.raises(FetchRefused, match="http"):
            await guarded.fetch(server.url("/b"), max_bytes=9)


async def test_five_redirects_are_followed_and_a_sixth_is_not() -> None:
    async with serving() as server:
        for number in range(6):
            server.answers[f"/{number}"] = redirect(f"/{number + 1}")
        server.answers["/6"] = ok(b"there")
        assert (await fetcher().fetch(server.url("/1"), max_bytes=9)).body == b"there"
        with pytest.raises(FetchRefused, match="redirects too often"):
            await fetcher().fetch(server.url("/0"), max_bytes=9)


async def test_the_size_is_bounded_whatever_the_server_announces() -> None:
    async with serving() as server:
        server.answers["/big"] = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100
        with pytest.raises(FetchRefused, match="too large"):
            await fetcher().fetch(server.url("/big"), max_bytes=99)
        assert len((await fetcher().fetch(server.url("/big"), max_bytes=100)).body) == 100


async def test_what_is_too_large_is_cut_when_that_was_asked_for() -> None:
    async with serving() as server:
        server.answers["/big"] = ok(b"x" * 100, content_type="text/plain; charset=Latin-1")
        found = await fetcher().fetch(server.url("/big"), max_bytes=99, cut=True)
        assert (len(found.body), found.is_cut, found.charset) == (99, True, "latin-1")
        whole = await fetcher().fetch(server.url("/big"), max_bytes=100, cut=True)
        assert not whole.is_cut


async def test_it_says_where_it_found_it() -> None:
    async with serving() as server:
        server.answers["/a"] = redirect("/b")
        server.answers["/b"] = ok(b"there")
        assert (await fetcher().fetch(server.url("/a"), max_bytes=9)).url == server.url("/b")


async def test_only_named_hosts_may_be_private() -> None:
    async with serving() as server:
        server.answers["/a"] = ok(b"1")
        named = FetchSettings(private_hosts=("files.example",))
        guarded = Fetcher(named, resolve=to_this_machine)
        assert (await guarded.fetch(server.url("/a"), max_bytes=9)).body == b"1"
        for host in ("other.example", "files.example.evil", "badfiles.example"):
            with pytest.raises(FetchRefused, match="not public"):
                await guarded.fetch(server.url("/a", host), max_bytes=9)
        server.answers["/c"] = redirect(server.url("/a", "other.example"))
        with pytest.raises(FetchRefused, match="not public"):
            await guarded.fetch(server.url("/c"), max_bytes=9)


async def test_a_server_that_hangs_is_given_up() -> None:
    async with serving() as server:
        with pytest.raises(FetchRefused, match="in time"):
            await fetcher(timeout_s=0.05).fetch(server.url("/hang"), max_bytes=9)


async def test_compressed_content_and_errors_are_refused() -> None:
    async with serving() as server:
        server.answers["/z"] = ok(b"1", content_encoding="gzip")
        with pytest.raises(FetchRefused, match="compressed"):
            await fetcher().fetch(server.url("/z"), max_bytes=9)
        with pytest.raises(FetchRefused, match="status 404"):
            await fetcher().fetch(server.url("/none"), max_bytes=9)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/x",
        "file:///etc/passwd",
        "gopher://a.example",
        "//a.example/x",
        "http://",
        "http://user:pass@a.example/",
        "http://a.example:99999/",
        "http://a.example/\r\nHost: b",
        "http://a.example\\@b.example/",
        "javascript:alert(1)",
        "http://" + "a" * 3000,
    ],
)
def test_urls_that_are_refused_by_their_text(url: str) -> None:
    with pytest.raises(FetchRefused):
        check_url(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "2001:0:0:0:0:0:80ff:fffe",
        "not an address",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "localhost", "0177.0.0.1", "[::1]"])
async def test_this_machine_in_other_notations_is_refused(host: str) -> None:
    with pytest.raises(FetchRefused):
        await Fetcher(FetchSettings()).fetch(f"http://{host}:9/", max_bytes=9)


@pytest.mark.parametrize(
    ("entry", "url", "allowed"),
    [
        ("files.example", "https://files.example/a", True),
        ("files.example", "https://cdn.files.example/a", True),
        ("files.example", "https://badfiles.example/a", False),
        ("files.example", "https://files.example.evil/a", False),
        ("files.example/pub", "https://files.example/pub/a", True),
        ("files.example/pub", "https://files.example/public/a", False),
        ("files.example/pub", "https://files.example/pub/../secret", False),
        ("files.example/pub", "https://files.example/pub/%2e%2e/secret", False),
    ],
)
def test_the_domain_list(entry: str, url: str, allowed: bool) -> None:
    if allowed:
        check_url(url, allowed_domains=(entry,))
    else:
        with pytest.raises(FetchRefused):
            check_url(url, allowed_domains=(entry,))
