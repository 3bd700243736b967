"""Speaking: which engine, in which voice, and what becomes of the sound.

Theory of operation: the engine that is asked first is the caller's, else the operator's choice of
the day (`tts.setProvider`), else the persona's, else the configured one, else the first that is
ready. When it cannot, the others that are ready are asked, unless the caller named it. What was
said lately in the same voice is not asked for again.

Guarantees: a text of at most `max_text_chars`; at most `MAX_AT_ONCE` at a time; an end within
`timeout_s` for each engine asked.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import structlog

from portico.media.files import MediaFiles, mime_type
from portico.media.speech.model import (
    SUFFIXES,
    Engine,
    EngineAway,
    EngineRefused,
    Format,
    NotConfigured,
    Persona,
    SpeechError,
    TextRefused,
    Utterance,
)
from portico.media.speech.prefs import Preferences
from portico.media.speech.spoken import spoken

log = structlog.get_logger()

Auto = Literal["off", "always", "inbound", "tagged"]
MAX_AT_ONCE = 4
REMEMBERED = 256
_MARKS = 10  # a text may be so many times longer than what is said of it
NOTE_CHANNELS = frozenset({"telegram", "whatsapp", "matrix", "feishu"})
"""Channels that show Ogg Opus as a voice message."""


@dataclass(frozen=True, slots=True)
class SpeechSettings:
    """What is configured.

    Attributes:
        auto: which answers are spoken by themselves.
        provider: the engine that is asked first.
    """

    engines: tuple[Engine, ...] = ()
    auto: Auto = "off"
    provider: str | None = None
    persona: str | None = None
    personas: tuple[Persona, ...] = ()
    max_text_chars: int = 4_000
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asks for.

    Attributes:
        channel: where the sound goes; some show voice messages.
        provider: this engine and no other.
    """

    text: str
    channel: str | None = None
    provider: str | None = None
    voice: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Spoken:
    """Speech in a file.

    Attributes:
        ref: `media:…`, for messages.
    """

    ref: str
    path: Path
    provider: str
    format: Format

    @property
    def mime_type(self) -> str:
        """What kind of file it is."""
        return mime_type(self.ref)

    @property
    def is_note(self) -> bool:
        """Whether channels show it as a voice message."""
        return self.format == "opus"


@dataclass(slots=True)
class _Choice:
    engine: Engine
    others: list[Engine] = field(default_factory=list)


class Speech:
    """Speaks."""

    def __init__(
        self, settings: SpeechSettings, *, files: MediaFiles, preferences: Preferences
    ) -> None:
        self._settings = settings
        self._files = files
        self.preferences = preferences
        self._said: OrderedDict[str, tuple[str, str, Format]] = OrderedDict()
        self._at_once = asyncio.Semaphore(MAX_AT_ONCE)

    @property
    def settings(self) -> SpeechSettings:
        """What is configured now."""
        return self._settings

    def obey(self, settings: SpeechSettings) -> None:
        """Follow other settings from now on."""
        self._settings = settings
        self._said.clear()

    @property
    def auto(self) -> Auto:
        """Which answers are spoken by themselves: the choice of the day, else as configured."""
        return self.preferences.auto or self._settings.auto

    def persona(self) -> Persona | None:
        """Return whose way of speaking counts."""
        chosen = self.preferences.persona
        wanted = self._settings.persona if chosen is None else chosen
        return next((one for one in self._settings.personas if one.id == wanted), None)

    def order(self) -> list[Engine]:
        """Return the engines as they are asked, whether ready or not."""
        persona = self.persona()
        wanted = (
            self.preferences.provider,
            persona.provider if persona else None,
            self._settings.provider,
        )
        engines = [_as(persona, engine) for engine in self._settings.engines]
        named = next((name for name in wanted if self.find(name) is not None), None)
        first = next((one for one in engines if one.id == named), None)
        if first is None:
            return sorted(engines, key=lambda engine: not engine.is_ready())
        return [first, *(one for one in engines if one is not first)]

    def find(self, name: str | None) -> Engine | None:
        """Return an engine by its name."""
        return next((one for one in self._settings.engines if one.id == name), None)

    async def say(self, wish: Wish) -> Spoken:
        """Speak a text, which may be Markdown.

        Raises:
            SpeechError: it was not spoken; see speech/model.py.
        """
        most = self._settings.max_text_chars
        text = spoken(wish.text) if len(wish.text) <= _MARKS * most else wish.text
        if not text:
            raise TextRefused("There is nothing to say in this text.")
        if len(text) > most:
            raise TextRefused(f"The text has {len(text)} characters; {most} can be spoken.")
        utterance = Utterance(
            text=text,
            voice=wish.voice,
            model=wish.model,
            as_note=wish.channel in NOTE_CHANNELS,
        )
        engines = await asyncio.to_thread(self._engines, wish)
        async with self._at_once:
            return await self._first_of(engines, utterance)

    async def _first_of(self, engines: Sequence[Engine], utterance: Utterance) -> Spoken:
        problems: list[str] = []
        away = False
        for engine in engines:
            # A voice or model is one engine's; the next one speaks in its own.
            said = utterance if not problems else replace(utterance, voice=None, model=None)
            try:
                return await self._with(engine, said)
            except (EngineAway, EngineRefused) as error:
                problems.append(str(error))
                away = away or isinstance(error, EngineAway)
                log.warning("speech.failed", provider=engine.id, error=str(error))
        message = f"It was not spoken: {'; '.join(problems)}."
        raise EngineAway(message) if away else EngineRefused(message)

    async def _with(self, engine: Engine, utterance: Utterance) -> Spoken:
        key = hashlib.sha256(repr((engine, utterance)).encode()).hexdigest()
        known = self._said.get(key)
        if known is not None:
            path = await asyncio.to_thread(self._files.path, known[0])
            if path is not None:
                self._said.move_to_end(key)
                return Spoken(known[0], path, known[1], known[2])
        sound = await engine.say(utterance, timeout_s=self._settings.timeout_s)
        try:
            ref = await asyncio.to_thread(self._files.put, sound.content, SUFFIXES[sound.format])
        except OSError as error:
            raise SpeechError(f"The sound was not kept: {error.strerror or error}.") from None
        self._said[key] = (ref, engine.id, sound.format)
        while len(self._said) > REMEMBERED:
            self._said.popitem(last=False)
        path = self._files.folder / ref.partition(":")[2]
        return Spoken(ref, path, engine.id, sound.format)

    def _engines(self, wish: Wish) -> list[Engine]:
        """Return whom to ask, in order; it looks for programs on the disk."""
        if wish.provider is not None:
            engine = self.find(wish.provider)
            if engine is None:
                known = ", ".join(one.id for one in self._settings.engines)
                raise NotConfigured(f"There is no speech provider {wish.provider}; known: {known}.")
            if not engine.is_ready():
                raise NotConfigured(f"{engine.label} has no key, or its program is not here.")
            return [_as(self.persona(), engine)]
        ready = [engine for engine in self.order() if engine.is_ready()]
        if not ready:
            raise NotConfigured(
                "No speech provider is ready: set a key in tts.providers, or install espeak-ng."
            )
        return ready


def _as(persona: Persona | None, engine: Engine) -> Engine:
    if persona is None:
        return engine
    return engine.voiced(persona.voices.get(engine.id), persona.models.get(engine.id))
