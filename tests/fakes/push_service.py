"""A push service and the browsers it serves: takes messages over TLS, checks who sends, opens them.

Closed third-party services behind a public standard: RFC 8030, 8291, 8292.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import http_ece  # type: ignore[import-untyped]  # it has no types
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.certificates import write_pair


def text_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Browser:
    """What a browser keeps of a subscription."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._private = ec.generate_private_key(ec.SECP256R1())
        self._auth = b"0123456789abcdef"

    @property
    def keys(self) -> dict[str, str]:
        point = self._private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return {"p256dh": text_of(point), "auth": text_of(self._auth)}

    def open(self, body: bytes) -> Any:
        clear = http_ece.decrypt(
            body, private_key=self._private, auth_secret=self._auth, version="aes128gcm"
        )
        return json.loads(clear)


@dataclass
class Taken:
    """One message that came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    def claims(self, origin: str) -> dict[str, Any]:
        """What the sender says of itself, its signature checked."""
        scheme, _, rest = self.headers["authorization"].partition(" ")
        assert scheme == "vapid"
        given = dict(part.split("=", 1) for part in rest.split(","))
        point = base64.urlsafe_b64decode(given["k"] + "=" * (-len(given["k"]) % 4))
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        options: Any = {"verify_exp": False}  # the gateway's clock is the test's
        claims: dict[str, Any] = jwt.decode(
            given["t"], key, algorithms=["ES256"], audience=origin, options=options
        )
        return claims


@dataclass
class PushService:
    """Answers `status`, or what is planned for a path."""

    folder: Path
    status: int = 201
    statuses: dict[str, int] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    origin: str = ""

    async def __aenter__(self) -> Self:
        cert, key = write_pair(self.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.tls = ssl.create_default_context(cafile=str(cert))
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=context)
        self.origin = f"https://localhost:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    def browser(self, name: str = "a") -> Browser:
        return Browser(f"{self.origin}/push/{name}")

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(": ") for line in head[1:] if line)
        headers = {name.lower(): value for name, _, value in pairs}
        body = await reader.readexactly(int(headers["content-length"]))
        path = head[0].split(" ")[1]
        self.taken.append(Taken(path, headers, body))
        code = self.statuses.get(path, self.status)
        told = f"HTTP/1.1 {code} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        writer.write(told.encode())
        await writer.drain()
        writer.close()
