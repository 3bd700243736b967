"""The store of secrets: names and values in one file of the state directory, encrypted.

Each value is sealed with AES-256-GCM under a key of the ring; its name and kind are authenticated
with it, so that no value can be put under another name. The ring is `PORTICO_SECRETS_KEYS` (base64,
32 bytes each, the first one seals, all open), or a file of its own that is made with the first
secret.

Guarantees: the file is replaced atomically and private (0600); writers of several processes wait
for each other; nothing here logs or returns a value but `find` and `entries` (of kind `env`).

Source: OpenClaw gateway protocol, `secrets.store.*`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from portico.config.atomic import directory_lock, write_atomic

Kind = Literal["secret", "env"]
KEYS_VARIABLE = "PORTICO_SECRETS_KEYS"
KEY_BYTES = 32
NONCE_BYTES = 12
MAX_FILE_BYTES = 16 << 20
MAX_ENTRIES = 1_000
VERSION = 1


class SecretStoreError(Exception):
    """The store cannot be read or written; the text says why, and never a value."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored secret, without its value unless it is only a variable."""

    name: str
    kind: Kind
    created_at_ms: int
    updated_at_ms: int
    updated_by: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    value: str | None = None


class SecretStore:
    """The secrets of one state directory."""

    def __init__(self, state_dir: Path, *, env: Mapping[str, str]) -> None:
        self._folder = state_dir / "secrets"
        self._env = env

    @property
    def file(self) -> Path:
        """Where the sealed values are."""
        return self._folder / "store.json"

    @property
    def key_file(self) -> Path:
        """Where the ring is, unless the environment has it."""
        return self._folder / "keys"

    def find(self, name: str) -> str | None:
        """Return a value, or `None` when there is no such secret.

        Raises:
            SecretStoreError: it cannot be opened.
        """
        found = self._read().get(name)
        return None if found is None else self._open(name, found)

    def entries(self) -> list[Entry]:
        """Return what is stored, by name; values only of kind `env`.

        Raises:
            SecretStoreError: the store cannot be read.
        """
        return [self._entry(name, found) for name, found in sorted(self._read().items())]

    def put(
        self,
        name: str,
        value: str,
        *,
        kind: Kind,
        now_ms: int,
        by: str | None = None,
        allowed_hosts: tuple[str, ...] = (),
    ) -> None:
        """Store a secret, or another value of one.

        Raises:
            SecretStoreError: it cannot be written.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with directory_lock(self._folder):
                stored = self._read()
                if name not in stored and len(stored) >= MAX_ENTRIES:
                    raise SecretStoreError(f"there are {MAX_ENTRIES} secrets already")
                before = stored.get(name, {})
                stored[name] = {
                    "kind": kind,
                    "createdAtMs": before.get("createdAtMs", now_ms),
                    "updatedAtMs": now_ms,
                    "allowedHosts": list(allowed_hosts),
                    **({"updatedBy": by} if by else {}),
                    **self._sealed(name, kind, value),
                }
                self._write(stored)
        except OSError as error:
            raise SecretStoreError(f"cannot write {self.file}: {error.strerror or error}") from None

    def delete(self, name: str) -> bool:
        """Remove a secret; `False`: there was none.

        Raises:
            SecretStoreError: it cannot be written.
        """
        if not self.file.exists():
            return False
        try:
            with directory_lock(self._folder):
                stored = self._read()
                if stored.pop(name, None) is None:
                    return False
                self._write(stored)
        except OSError as error:
            raise SecretStoreError(f"cannot write {self.file}: {error.strerror or error}") from None
        return True

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            with self.file.open("rb") as stream:
                content = stream.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SecretStoreError(f"cannot read {self.file}: {error.strerror or error}") from None
        try:
            held = json.loads(content)
            entries = held["entries"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise SecretStoreError(f"{self.file} is not a store of secrets") from None
        if held["version"] != VERSION or not isinstance(entries, dict):
            raise SecretStoreError(f"{self.file} is not a store of secrets of this version")
        return {str(name): dict(one) for name, one in entries.items() if isinstance(one, dict)}

    def _write(self, stored: Mapping[str, Any]) -> None:
        write_atomic(self.file, json.dumps({"version": VERSION, "entries": stored}, indent=1))

    def _sealed(self, name: str, kind: str, value: str) -> dict[str, str]:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key_id, key = next(iter(self._keys(make=True).items()))
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(key).encrypt(nonce, value.encode(), _bound_to(name, kind))
        return {"key": key_id, "nonce": _text(nonce), "value": _text(sealed)}

    def _open(self, name: str, found: Mapping[str, Any]) -> str:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._keys(make=False).get(str(found.get("key")))
        if key is None:
            raise SecretStoreError(f"the key that seals {name} is not in the ring")
        try:
            nonce, sealed = _bytes(found["nonce"]), _bytes(found["value"])
            opened = AESGCM(key).decrypt(nonce, sealed, _bound_to(name, str(found["kind"])))
            return opened.decode()
        except (InvalidTag, KeyError, ValueError, TypeError):
            raise SecretStoreError(f"{name} cannot be opened: the store was changed") from None

    def _entry(self, name: str, found: Mapping[str, Any]) -> Entry:
        kind: Kind = "env" if found.get("kind") == "env" else "secret"
        by = found.get("updatedBy")
        return Entry(
            name=name,
            kind=kind,
            created_at_ms=int(found.get("createdAtMs", 0)),
            updated_at_ms=int(found.get("updatedAtMs", 0)),
            updated_by=by if isinstance(by, str) and by else None,
            allowed_hosts=tuple(map(str, found.get("allowedHosts") or ())),
            value=self._open(name, found) if kind == "env" else None,
        )

    def _keys(self, *, make: bool) -> dict[str, bytes]:
        """The ring by key id; the first one seals."""
        written = self._env.get(KEYS_VARIABLE)
        if written is None:
            if make and not self.key_file.exists():
                write_atomic(self.key_file, _text(os.urandom(KEY_BYTES)) + "\n")
            try:
                written = self.key_file.read_text(encoding="ascii")
            except (OSError, UnicodeDecodeError):
                raise SecretStoreError(f"cannot read the keys in {self.key_file}") from None
        keys = [_key(word) for word in written.replace(",", " ").split()]
        if not keys:
            raise SecretStoreError(f"there is no key: set {KEYS_VARIABLE}, or {self.key_file}")
        return {hashlib.sha256(key).hexdigest()[:16]: key for key in keys}


def _key(word: str) -> bytes:
    try:
        key = base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SecretStoreError(f"a key of the ring is not {KEY_BYTES} bytes of base64")
    return key


def _bound_to(name: str, kind: str) -> bytes:
    return f"portico-secret\0{name}\0{kind}".encode()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(text: Any) -> bytes:
    return base64.b64decode(str(text), validate=True)
