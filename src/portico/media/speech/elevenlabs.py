"""The engine of ElevenLabs: `POST /v1/text-to-speech/{voice}`.

Source: ElevenLabs API reference, "Create speech".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from portico.media.speech.model import EngineRefused, Format, Sound, Utterance
from portico.media.speech.web import Service, ask

BASE_URL = "https://api.elevenlabs.io"
MODELS = ("eleven_multilingual_v2", "eleven_flash_v2_5", "eleven_turbo_v2_5")
DEFAULT_VOICE = "pMsXgVXv3BLzUgSXRplE"
_FORMATS: Mapping[Format, str] = {
    "mp3": "mp3_44100_128",
    "opus": "opus_48000_64",
    "pcm": "pcm_24000",
}
_VOICE = re.compile(r"[A-Za-z0-9]{10,40}")


@dataclass(frozen=True, slots=True)
class ElevenLabsSpeech:
    """Speaks through ElevenLabs. A voice is named by its id.

    Attributes:
        settings: the service's `voice_settings`.
    """

    id: str = "elevenlabs"
    label: str = "ElevenLabs"
    base_url: str = BASE_URL
    api_key: str | None = field(default=None, repr=False)
    model: str = MODELS[0]
    voice: str = DEFAULT_VOICE
    format: Format = "mp3"
    language: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = MODELS
    voices: tuple[str, ...] = ()

    def is_ready(self) -> bool:
        """Whether there is a key."""
        return bool(self.api_key)

    def voiced(self, voice: str | None, model: str | None) -> ElevenLabsSpeech:
        """Return it with another voice or model as its own."""
        return replace(self, voice=voice or self.voice, model=model or self.model)

    async def say(self, utterance: Utterance, *, timeout_s: float) -> Sound:
        """Speak."""
        voice = utterance.voice or self.voice
        if not _VOICE.fullmatch(voice):  # it becomes part of the address
            raise EngineRefused(f"{voice[:40]!r} is no voice id of {self.label}")
        wanted: Format = "opus" if utterance.as_note else self.format
        if wanted not in _FORMATS:
            raise EngineRefused(f"{self.label} does not make {wanted}")
        body: dict[str, Any] = {"text": utterance.text, "model_id": utterance.model or self.model}
        if self.settings:
            body["voice_settings"] = dict(self.settings)
        if self.language is not None:
            body["language_code"] = self.language
        base = f"{self.base_url.rstrip('/')}/v1/text-to-speech/{voice}"
        service = Service(
            self.label,
            f"{base}?output_format={_FORMATS[wanted]}",
            {"xi-api-key": self.api_key or ""},
        )
        return Sound(await ask(service, body, timeout_s=timeout_s), wanted)
