"""The policy file: what agents may run on this machine without asking.

Guarantees: a write replaces the whole file or nothing, survives a power cut once it has returned,
and never overwrites a version its writer has not seen; a file that cannot be understood is never
taken for an empty one.

Source: OpenClaw gateway protocol, `ExecApprovalsFile`; exec.approvals.get and set.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from portico.config.atomic import directory_lock, write_atomic
from portico.protocol.errors import InvalidRequest, Outcome, Unavailable

MAX_FILE_BYTES = 4_194_304
NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
T = TypeVar("T")


class _Part(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True
):
    """Base of the file's objects: closed, unset members left out."""


class AllowlistEntry(_Part, frozen=True):
    """A command that may run.

    Attributes:
        arg_pattern: of the arguments; what it is matched with, see `matching`.
        last_resolved_path: for what `allow-always` wrote: the file that `pattern` must lead to.
    """

    pattern: str
    id: NonEmpty | None = None
    arg_pattern: str | None = None
    source: Literal["allow-always"] | None = None
    command_text: str | None = None
    last_used_at: NonNegative | None = None
    last_used_command: str | None = None
    last_resolved_path: str | None = None


class McpTool(_Part, frozen=True):
    """A tool of an MCP server that may be called; kept, and not used by this version."""

    server: NonEmpty
    tool: NonEmpty
    source: Literal["allow-always"]
    added_at: NonNegative
    last_used_at: NonNegative | None = None


class Rules(_Part, frozen=True):
    """How strict to be; what is unset is inherited."""

    security: str | None = None
    ask: str | None = None
    ask_fallback: str | None = None
    auto_allow_skills: bool | None = None


class AgentRules(_Part, frozen=True):
    """The same for one agent (`*`: for all), with its allowlist."""

    security: str | None = None
    ask: str | None = None
    ask_fallback: str | None = None
    auto_allow_skills: bool | None = None
    allowlist: tuple[AllowlistEntry, ...] | None = None
    mcp_tools: tuple[McpTool, ...] | None = None


class Socket(_Part, frozen=True):
    """Where other programs ask; kept, and not used by this version."""

    path: str | None = None
    token: str | None = None


class PolicyFile(_Part, frozen=True):
    """The whole file."""

    version: Literal[1]
    defaults: Rules | None = None
    agents: dict[str, AgentRules] | None = None
    socket: Socket | None = None


class BrokenFile(Exception):
    """The file is there and cannot be understood; the text says why."""


@dataclass(frozen=True, slots=True)
class Version:
    """The file at one time. `hash` names it to writers."""

    exists: bool
    hash: str
    file: PolicyFile


_Stamp = tuple[int, int, int]


class PolicyStore:
    """Reads and replaces the file; keeps the last version while the file does not change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: _Stamp | None = None
        self._version: Version | None = None

    def read(self) -> Version:
        """Return the present version.

        Raises:
            BrokenFile: it cannot be read or understood.
        """
        stamp = self._stamp_now()
        if stamp is not None and stamp == self._stamp and self._version is not None:
            return self._version
        version = self._load()
        self._stamp, self._version = stamp, version
        return version

    def change(self, apply: Callable[[PolicyFile], PolicyFile]) -> None:
        """Replace the file by what a function makes of it; nothing, when that is the same.

        Raises:
            BrokenFile: there is no telling what it says now.
            OSError: it cannot be written.
        """
        with self._locked():
            before = self._load().file
            after = apply(before)
            if after != before:
                self._write(after)

    def replace(self, file: PolicyFile, *, base_hash: str | None) -> Version:
        """Replace the version a writer has seen.

        Raises:
            InvalidRequest: the writer has not seen the present one.
            Unavailable: the file cannot be written.
        """
        try:
            with self._locked():
                self._check_base(base_hash)
                self._write(self._with_secrets(file))
                return self._load()
        except (OSError, BrokenFile) as error:
            raise Unavailable(
                f"exec approvals file cannot be written: {error}", outcome=Outcome.NOT_STARTED
            ) from error

    def _check_base(self, base_hash: str | None) -> None:
        text = self._text()
        if text is None:
            return
        if not base_hash:
            raise InvalidRequest(
                "exec approvals base hash required; re-run exec.approvals.get and retry"
            )
        if base_hash != _hash(text):
            raise InvalidRequest(
                "exec approvals changed since last load; re-run exec.approvals.get and retry"
            )

    def _with_secrets(self, file: PolicyFile) -> PolicyFile:
        """Keep the socket's token, which nobody is shown and so nobody can send back."""
        with contextlib.suppress(BrokenFile):
            held = self._load().file.socket
            if held is not None and held.token and (file.socket is None or not file.socket.token):
                path = file.socket.path if file.socket else held.path
                return msgspec.structs.replace(file, socket=Socket(path, held.token))
        return file

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with directory_lock(self.path.parent):
            yield

    def _write(self, file: PolicyFile) -> None:
        text = msgspec.json.format(msgspec.json.encode(file), indent=2).decode() + "\n"
        if len(text.encode()) > MAX_FILE_BYTES:
            raise OSError(f"it would be larger than {MAX_FILE_BYTES} bytes")
        write_atomic(self.path, text)

    def _load(self) -> Version:
        text = self._text()
        if text is None:
            return Version(exists=False, hash=_hash(""), file=PolicyFile(version=1))
        try:
            file = msgspec.json.decode(text, type=PolicyFile)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise BrokenFile(f"{self.path}: {error}") from error
        return Version(exists=True, hash=_hash(text), file=file)

    def _text(self) -> str | None:
        try:
            with self.path.open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BrokenFile(f"{self.path}: {error.strerror or error}") from error
        if len(raw) > MAX_FILE_BYTES:
            raise BrokenFile(f"{self.path}: larger than {MAX_FILE_BYTES} bytes")
        return raw.decode("utf-8", "surrogateescape")

    def _stamp_now(self) -> _Stamp | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_size, status.st_ino)


def without_secrets(file: PolicyFile) -> PolicyFile:
    """Return the file as it may be shown."""
    if file.socket is None or file.socket.token is None:
        return file
    return msgspec.structs.replace(file, socket=Socket(file.socket.path))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
