"""The tokens gateways gave this device: one per gateway and role, kept in a file.

Guarantees: the file has mode 0600 from its first byte and is replaced whole; a file that cannot be
read counts as empty, for its tokens can be had again; a token goes to no gateway but its own.

Source: OpenClaw gateway protocol, "Handshake" (`auth.deviceToken`); clients persist it per gateway
and role.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from portico.ids import new_uuid

MAX_FILE_BYTES = 1_048_576
_DEFAULT_PORTS = {"ws": 80, "wss": 443}


class StoredToken(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A token, and what it is good for."""

    token: str
    scopes: tuple[str, ...] = ()
    issued_at_ms: int | None = None


_Book = dict[str, dict[str, StoredToken]]


class DeviceTokens:
    """The file of one device."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self, url: str, role: str) -> StoredToken | None:
        """Return the token for a gateway, as one role."""
        return self._read().get(_gateway(url), {}).get(role)

    def keep(self, url: str, role: str, token: StoredToken) -> None:
        """Keep a token, in place of an earlier one.

        Raises:
            OSError: the file cannot be written.
        """
        book = self._read()
        if book.get(_gateway(url), {}).get(role) != token:
            book.setdefault(_gateway(url), {})[role] = token
            self._write(book)

    def forget(self, url: str, role: str) -> None:
        """Drop a token the gateway does not take any more.

        Raises:
            OSError: the file cannot be written.
        """
        book = self._read()
        if book.get(_gateway(url), {}).pop(role, None) is not None:
            self._write({gateway: held for gateway, held in book.items() if held})

    def _read(self) -> _Book:
        try:
            with self.path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES)
            return msgspec.json.decode(content, type=_Book)
        except (OSError, msgspec.DecodeError):
            return {}

    def _write(self, book: _Book) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self.path.with_name(f".{self.path.name}.{new_uuid()}")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(book))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise


def _gateway(url: str) -> str:
    """Name a gateway: two spellings of an address are one."""
    parts = urlsplit(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}{parts.path.rstrip('/')}"
