from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portico.client.pinning import WrongCertificate, normal_fingerprint, pinned, readable
from tests.support.certificates import write_pair

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "written",
    [
        HEX,
        HEX.upper(),
        f"sha256:{HEX}",
        f"SHA256:{readable(HEX)}",
        f"sha256 Fingerprint={readable(HEX)}",
        f"  {readable(HEX).replace(':', ' ')}\n",
    ],
)
def test_fingerprints_are_read_as_people_write_them(written: str) -> None:
    assert normal_fingerprint(written) == HEX


@pytest.mark.parametrize("written", ["", "sha256:", HEX[:-1], HEX + "0", "g" * 64, "a:b"])
def test_what_is_no_fingerprint_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        normal_fingerprint(written)


class TlsServer:
    """Says what it was sent, if anything."""

    def __init__(self, directory: Path) -> None:
        cert, key = write_pair(directory)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        der = ssl.PEM_cert_to_DER_cert(cert.read_text())
        self.fingerprint = hashlib.sha256(der).hexdigest()
        self.received: list[bytes] = []
        self.done = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.received.append(await reader.read(100))
        except OSError:
            self.received.append(b"")
        writer.close()
        self.done.set()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[TlsServer, int]]:
    one = TlsServer(tmp_path)
    listening = await asyncio.start_server(one.serve, "127.0.0.1", 0, ssl=one.context)
    yield one, listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()


async def test_the_pinned_certificate_is_believed_without_any_authority(
    server: tuple[TlsServer, int],
) -> None:
    one, port = server
    context = pinned(readable(one.fingerprint))
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(b"hello")
    await writer.drain()
    async with asyncio.timeout(30):
        await one.done.wait()
    writer.close()
    await writer.wait_closed()
    assert one.received == [b"hello"]


async def test_another_certificate_ends_the_connection_before_anything_is_sent(
    server: tuple[TlsServer, int],
) -> None:
    one, port = server
    with pytest.raises(WrongCertificate, match="not the pinned one"):
        await asyncio.open_connection("127.0.0.1", port, ssl=pinned(HEX))
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=pinned(one.fingerprint))
    writer.write(b"the second one")
    async with asyncio.timeout(30):
        await one.done.wait()
    writer.close()
    await writer.wait_closed()
    assert one.received == [b"the second one"]


def test_plain_sockets_are_held_to_the_pin_too(tmp_path: Path) -> None:
    one = TlsServer(tmp_path)
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    theirs.settimeout(30)

    def answer() -> None:
        try:
            one.context.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(WrongCertificate):
        pinned(HEX).wrap_socket(ours)
    ours.close()
    thread.join(30)
