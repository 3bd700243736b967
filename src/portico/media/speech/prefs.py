"""What an operator has chosen of the day: speak or not, with which engine, as whom.

It stands in a file of its own, since choosing it takes less authority than the configuration.

Guarantees: a file that is missing or broken is no choice; a choice is written whole.

Source: OpenClaw, "Text-to-speech", local preferences.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from portico.config.atomic import write_atomic

MAX_BYTES = 16_384


class Chosen(msgspec.Struct, frozen=True, omit_defaults=True):
    """The choices; `None`: as configured."""

    auto: Literal["off", "always", "inbound", "tagged"] | None = None
    provider: str | None = None
    persona: str | None = None


class _File(msgspec.Struct, frozen=True):
    tts: Chosen = msgspec.field(default_factory=Chosen)


class Preferences:
    """The choices, in memory and in their file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._chosen: Chosen | None = None

    @property
    def auto(self) -> Literal["off", "always", "inbound", "tagged"] | None:
        """Which answers are spoken by themselves."""
        return self._now().auto

    @property
    def provider(self) -> str | None:
        """The engine that is asked first."""
        return self._now().provider

    @property
    def persona(self) -> str | None:
        """As whom; empty: as nobody, whatever is configured."""
        return self._now().persona

    def choose(self, **chosen: str | None) -> None:
        """Choose, and write it down. It works on the disk: call it in a thread.

        Raises:
            OSError: it cannot be written; nothing is chosen then.
        """
        after = msgspec.structs.replace(self._now(), **chosen)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(self.path, msgspec.json.encode(_File(after)).decode() + "\n")
        self._chosen = after

    def _now(self) -> Chosen:
        if self._chosen is None:
            self._chosen = self._read()
        return self._chosen

    def _read(self) -> Chosen:
        try:
            with self.path.open("rb") as file:
                return msgspec.json.decode(file.read(MAX_BYTES), type=_File).tts
        except (OSError, msgspec.MsgspecError):
            return Chosen()
