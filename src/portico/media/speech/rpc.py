"""RPC methods of text to speech.

Source: OpenClaw gateway protocol, "tts.status", "tts.providers", "tts.convert", "tts.speak".
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Annotated

import msgspec

from portico.media.speech.model import (
    SUFFIXES,
    Engine,
    EngineAway,
    Persona,
    SpeechError,
    TextRefused,
)
from portico.media.speech.service import Speech, Spoken, Wish
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, OpenParams, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
Name = Annotated[str, msgspec.Meta(max_length=200)]


class PersonaShown(Result, frozen=True, kw_only=True):
    """A way of speaking."""

    id: str
    label: str
    description: str | None = None
    provider: str | None = None


class EngineState(Result, frozen=True, kw_only=True):
    """Whether an engine could speak."""

    id: str
    label: str
    configured: bool


class Status(Result, frozen=True, kw_only=True, omit_defaults=False):
    """How things stand."""

    enabled: bool
    auto: str
    provider: str | None
    persona: str | None
    personas: tuple[PersonaShown, ...]
    fallback_provider: str | None
    fallback_providers: tuple[str, ...]
    prefs_path: str
    provider_states: tuple[EngineState, ...]


class Enabled(Result, frozen=True, omit_defaults=False):
    """Whether answers are spoken by themselves."""

    enabled: bool


class Convert(OpenParams, frozen=True, kw_only=True):
    """`{text, channel?, provider?, modelId?, voiceId?}`."""

    text: Text
    channel: Name | None = None
    provider: Name | None = None
    model_id: Name | None = None
    voice_id: Name | None = None


class Converted(Result, frozen=True, kw_only=True, omit_defaults=False):
    """A file on the gateway's machine; `media` is its name for messages."""

    audio_path: str
    provider: str
    output_format: str
    voice_compatible: bool
    media: str


class Speak(Params, frozen=True):
    """`{text}`."""

    text: Text


class SpokenInline(Result, frozen=True, kw_only=True):
    """The sound itself."""

    audio_base64: str
    provider: str
    output_format: str
    mime_type: str
    file_extension: str


class Choose(OpenParams, frozen=True):
    """`{provider}`."""

    provider: Name = ""


class Chosen(Result, frozen=True, omit_defaults=False):
    """The engine that is asked first."""

    provider: str


class ChoosePersona(OpenParams, frozen=True):
    """`{persona}`; null or empty: none."""

    persona: Name | None = None


class ChosenPersona(Result, frozen=True, omit_defaults=False):
    """As whom."""

    persona: str | None


class EngineShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """One engine."""

    id: str
    name: str
    configured: bool
    models: tuple[str, ...]
    voices: tuple[str, ...]


class Engines(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Every engine, and which is asked first."""

    providers: tuple[EngineShown, ...]
    active: str | None


class Personas(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Every persona, and which one speaks."""

    active: str | None
    personas: tuple[PersonaShown, ...]


class SpeechMethods:
    """`tts.*`."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech

    @method("tts.status", scope=Scope.READ)
    async def status(self, call: Call, params: Empty) -> Status:
        """Say whether answers are spoken, by which engine, and which others are ready."""
        order, ready = await self._order()
        persona = self._speech.persona()
        fallbacks = tuple(engine.id for engine in order[1:] if engine.id in ready)
        return Status(
            enabled=self._speech.auto in {"always", "inbound"},
            auto=self._speech.auto,
            provider=order[0].id if order else None,
            persona=persona.id if persona else None,
            personas=_personas(self._speech.settings.personas),
            fallback_provider=fallbacks[0] if fallbacks else None,
            fallback_providers=fallbacks,
            prefs_path=str(self._speech.preferences.path),
            provider_states=tuple(
                EngineState(id=engine.id, label=engine.label, configured=engine.id in ready)
                for engine in self._speech.settings.engines
            ),
        )

    @method("tts.providers", scope=Scope.READ)
    async def providers(self, call: Call, params: Empty) -> Engines:
        """List the engines, and the models and voices each is known to have."""
        order, ready = await self._order()
        return Engines(
            providers=tuple(
                EngineShown(
                    id=engine.id,
                    name=engine.label,
                    configured=engine.id in ready,
                    models=engine.models,
                    voices=engine.voices,
                )
                for engine in self._speech.settings.engines
            ),
            active=order[0].id if order else None,
        )

    @method("tts.personas", scope=Scope.READ)
    def personas(self, call: Call, params: Empty) -> Personas:
        """List the ways of speaking that are configured."""
        persona = self._speech.persona()
        return Personas(
            active=persona.id if persona else None,
            personas=_personas(self._speech.settings.personas),
        )

    @method("tts.enable", scope=Scope.WRITE)
    async def enable(self, call: Call, params: Empty) -> Enabled:
        """Have every answer spoken that goes out through a channel."""
        await self._choose(auto="always")
        return Enabled(enabled=True)

    @method("tts.disable", scope=Scope.WRITE)
    async def disable(self, call: Call, params: Empty) -> Enabled:
        """Have no answer spoken by itself."""
        await self._choose(auto="off")
        return Enabled(enabled=False)

    @method("tts.setProvider", scope=Scope.WRITE)
    async def set_provider(self, call: Call, params: Choose) -> Chosen:
        """Choose the engine that is asked first."""
        known = [engine.id for engine in self._speech.settings.engines]
        if params.provider not in known:
            raise InvalidRequest(f"Invalid provider. Use {', '.join(known)}.")
        await self._choose(provider=params.provider)
        return Chosen(params.provider)

    @method("tts.setPersona", scope=Scope.WRITE)
    async def set_persona(self, call: Call, params: ChoosePersona) -> ChosenPersona:
        """Choose as whom the engines speak."""
        known = [persona.id for persona in self._speech.settings.personas]
        if params.persona and params.persona not in known:
            raise InvalidRequest(f"unknown persona; known: {', '.join(known) or 'none'}")
        await self._choose(persona=params.persona or "")
        return ChosenPersona(params.persona or None)

    @method("tts.convert", scope=Scope.WRITE)
    async def convert(self, call: Call, params: Convert) -> Converted:
        """Speak a text into a file on the gateway's machine."""
        done = await said_or_refused(
            self._speech,
            Wish(
                text=params.text,
                channel=params.channel,
                provider=params.provider or None,
                voice=params.voice_id or None,
                model=params.model_id or None,
            ),
        )
        return Converted(
            audio_path=str(done.path),
            provider=done.provider,
            output_format=done.format,
            voice_compatible=done.is_note,
            media=done.ref,
        )

    @method("tts.speak", scope=Scope.WRITE)
    async def speak(self, call: Call, params: Speak) -> SpokenInline:
        """Speak a text and return the sound."""
        done = await said_or_refused(self._speech, Wish(params.text))
        try:
            content = await asyncio.to_thread(done.path.read_bytes)
        except OSError:
            raise Unavailable("the sound is gone; ask again", retryable=True) from None
        return SpokenInline(
            audio_base64=base64.b64encode(content).decode(),
            provider=done.provider,
            output_format=done.format,
            mime_type=done.mime_type,
            file_extension=SUFFIXES[done.format],
        )

    async def _choose(self, **chosen: str) -> None:
        try:
            await asyncio.to_thread(self._speech.preferences.choose, **chosen)
        except OSError as error:
            raise Unavailable(f"it cannot be written: {error.strerror or error}") from None

    async def _order(self) -> tuple[list[Engine], set[str]]:
        """Return the engines as they are asked, and which are ready; it looks on the disk."""

        def looked() -> tuple[list[Engine], set[str]]:
            order = self._speech.order()
            return order, {engine.id for engine in order if engine.is_ready()}

        return await asyncio.to_thread(looked)


def _personas(personas: Sequence[Persona]) -> tuple[PersonaShown, ...]:
    return tuple(
        PersonaShown(id=one.id, label=one.label, description=one.description, provider=one.provider)
        for one in personas
    )


async def said_or_refused(speech: Speech, wish: Wish) -> Spoken:
    """Speak, or raise what a client is told.

    Raises:
        InvalidRequest: the text cannot be spoken.
        Unavailable: no engine speaks it now.
    """
    try:
        return await speech.say(wish)
    except TextRefused as error:
        raise InvalidRequest(str(error)) from None
    except EngineAway as error:
        raise Unavailable(str(error), retryable=True) from None
    except SpeechError as error:
        raise Unavailable(str(error), retryable=False) from None
