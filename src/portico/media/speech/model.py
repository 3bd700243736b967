"""What text to speech is about: what is to be said, the sound of it, and what can go wrong.

SpeechError
├── NotConfigured     there is no engine, no key, no program
├── TextRefused       the text cannot be spoken: empty, too long
├── EngineRefused     it will not say this, or not for us; another engine may
└── EngineAway        it does not answer now, or has had enough of us; another engine may
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Format = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
SUFFIXES: Mapping[Format, str] = {
    "mp3": ".mp3",
    "opus": ".ogg",
    "aac": ".aac",
    "flac": ".flac",
    "wav": ".wav",
    "pcm": ".pcm",
}


class SpeechError(Exception):
    """It was not spoken; the text says why and is fit for the person."""


class NotConfigured(SpeechError):
    """There is nothing that could speak."""


class TextRefused(SpeechError):
    """The text cannot be spoken."""


class EngineRefused(SpeechError):
    """The engine does not do it; trying again does not help."""


class EngineAway(SpeechError):
    """The engine does not answer now.

    Attributes:
        again_s: when it may be asked again; `None`: it did not say.
    """

    def __init__(self, message: str, *, again_s: float | None = None) -> None:
        super().__init__(message)
        self.again_s = again_s


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is to be said.

    Attributes:
        voice, model: in the engine's own words; `None`: as configured.
        as_note: it is for a channel that shows voice messages, which are Ogg Opus.
    """

    text: str
    voice: str | None = None
    model: str | None = None
    as_note: bool = False


@dataclass(frozen=True, slots=True)
class Sound:
    """Spoken text."""

    content: bytes
    format: Format


class Engine(Protocol):
    """Something that speaks."""

    @property
    def id(self) -> str:
        """Its name in the configuration."""
        ...

    @property
    def label(self) -> str:
        """Its name for people."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """Models it is known to have."""
        ...

    @property
    def voices(self) -> tuple[str, ...]:
        """Voices it is known to have."""
        ...

    def is_ready(self) -> bool:
        """Whether it has what it needs: a key, or a program. It does not ask anybody."""
        ...

    def voiced(self, voice: str | None, model: str | None) -> Engine:
        """Return it with another voice or model as its own."""
        ...

    async def say(self, utterance: Utterance, *, timeout_s: float) -> Sound:
        """Speak.

        Raises:
            EngineRefused: it does not.
            EngineAway: it cannot now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Persona:
    """A way of speaking that is the same whichever engine speaks.

    Attributes:
        provider: the engine it prefers.
        voices, models: by engine.
    """

    id: str
    label: str
    description: str | None = None
    provider: str | None = None
    voices: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
