"""A web server of this machine with pages a test has written, and files made for it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Pages:
    """What is served, by path, and what was asked for."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def put(self, path: str, body: str | bytes, kind: str = "text/html; charset=utf-8") -> str:
        content = body.encode() if isinstance(body, str) else body
        self.answers[path] = (
            f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n"
            "connection: close\r\n\r\n"
        ).encode() + content
        return self.url(path)

    def redirect(self, path: str, to: str) -> str:
        self.answers[path] = (
            f"HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n".encode()
        )
        return self.url(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:  # the client gave up
            writer.close()
            return
        path = head.split("\r\n")[0].split()[1]
        self.asked.append(path)
        if path == "/hang":
            await self.hold.wait()
        writer.write(self.answers.get(path, b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"))
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[Pages]:
    pages = Pages()
    server = await asyncio.start_server(pages.serve, "127.0.0.1", 0)
    pages.port = server.sockets[0].getsockname()[1]
    async with server:
        yield pages
        pages.hold.set()


def pdf_of(*texts: str) -> bytes:
    """A PDF with a page for each text."""
    contents = [
        b"BT /F1 12 Tf 72 720 Td "
        + b" ".join(
            f"({_escaped(line)}) Tj 0 -14 Td".encode("latin-1") for line in text.split("\n")
        )
        + b" ET"
        for text in texts
    ]
    return pdf_from(contents)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def pdf_from(contents: Sequence[bytes], *, deflate: bool = False) -> bytes:
    """A PDF with a page for each content stream."""
    pages = range(len(contents))
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in pages)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(contents)} /Kids [{kids}] >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, content in zip(pages, contents, strict=True):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            b"/Resources << /Font << /F1 3 0 R >> >> "
            + f"/Contents {5 + 2 * number} 0 R >>".encode()
        )
        data = zlib.compress(content, 1) if deflate else content
        how = b"/Filter /FlateDecode " if deflate else b""
        objects.append(
            b"<< " + how + f"/Length {len(data)} >>\nstream\n".encode() + data + b"\nendstream"
        )
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n".encode()
    return bytes(out + f"startxref\n{start}\n%%EOF\n".encode())


def png() -> bytes:
    """A red dot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return len(data).to_bytes(4, "big") + kind + data + crc.to_bytes(4, "big")

    head = b"\0\0\0\1\0\0\0\1\x08\2\0\0\0"
    dot = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", dot) + chunk(b"IEND", b"")
