"""What a node host keeps on disk: where its gateway is, and how it stands with it.

Guarantees: files of mode 0600, replaced whole. The key and the tokens of the device are beside
them, kept by `portico.client`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from portico.clock import Clock
from portico.config.atomic import write_atomic

Standing = Literal["connecting", "waiting-for-approval", "connected", "stopped"]
FOLDER: Final = "node-host"
MAX_FILE_BYTES: Final = 262_144
T = TypeVar("T")


class State(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How a node host stands.

    Attributes:
        since_ms: since when it stands like that.
        request_id: what somebody must approve.
        gateway: the gateway's version.
    """

    standing: Standing
    since_ms: int
    pid: int
    url: str
    node_id: str
    display_name: str
    commands: tuple[str, ...] = ()
    request_id: str | None = None
    error: str | None = None
    gateway: str | None = None


class Home(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The gateway this node belongs to."""

    url: str
    tls_fingerprint: str | None = None


class StateFile:
    """The file another process reads with `read_state`."""

    def __init__(self, folder: Path, first: State, *, clock: Clock) -> None:
        self._path = folder / "status.json"
        self._state = first
        self._clock = clock

    def change(
        self,
        standing: Standing,
        *,
        error: str | None = None,
        request_id: str | None = None,
        gateway: str | None = None,
    ) -> bool:
        """Write down how the host stands now, and say whether that is new.

        A full disk does not stop it.
        """
        before = self._state
        moved = standing != before.standing
        self._state = msgspec.structs.replace(
            self._state,
            standing=standing,
            since_ms=self._clock.now_ms() if moved else self._state.since_ms,
            error=error,
            request_id=request_id,
            gateway=gateway or self._state.gateway,
        )
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomic(self._path, msgspec.json.encode(self._state).decode() + "\n")
        return self._state != before


def read_state(folder: Path) -> State | None:
    """Return how a host stood last; `None`: none ever ran, or the file is broken."""
    return _read(folder / "status.json", State)


def read_home(folder: Path) -> Home | None:
    """Return the gateway a node was paired with; `None`: with none."""
    return _read(folder / "gateway.json", Home)


def keep_home(folder: Path, home: Home) -> None:
    """Remember the gateway a node belongs to.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(folder / "gateway.json", msgspec.json.encode(home).decode() + "\n")


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(MAX_FILE_BYTES), type=kind)
    except (OSError, msgspec.DecodeError):
        return None
