"""What transcription is about: a sound, who listens, and what can go wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

SUFFIXES = {
    "audio/aac": ".aac",
    "audio/amr": ".amr",
    "audio/flac": ".flac",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/wav": ".wav",
    "audio/webm": ".webm",
}


class NotHeard(Exception):
    """It was not transcribed; the text says why and is fit for the log.

    Attributes:
        again_s: when the engine may be asked again; `None`: it did not say.
        is_away: it may work another time.
    """

    def __init__(
        self, message: str, *, is_away: bool = False, again_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.is_away = is_away
        self.again_s = again_s


@dataclass(frozen=True, slots=True)
class Recording:
    """A sound.

    Attributes:
        mime_type: by its bytes.
    """

    content: bytes
    mime_type: str

    @property
    def file_name(self) -> str:
        """A name of ours, by which engines know its format."""
        return f"sound{SUFFIXES.get(self.mime_type, '.bin')}"


class Engine(Protocol):
    """Something that listens.

    Attributes:
        id: who it is and how it listens: what it heard is kept under this name.
        max_bytes: larger sounds it is not given.
    """

    @property
    def id(self) -> str:
        """See above."""
        ...

    @property
    def max_bytes(self) -> int:
        """See above."""
        ...

    async def listen(self, recording: Recording) -> str:
        """Return what is said; it ends within its own time.

        Raises:
            NotHeard: it could not be made out.
        """
        ...
