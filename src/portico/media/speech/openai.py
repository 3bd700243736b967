"""The engine of OpenAI, and of everybody who speaks its API: `POST /v1/audio/speech`.

Source: OpenAI API reference, "Create speech".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from portico.media.speech.model import Format, Sound, Utterance
from portico.media.speech.web import Service, ask

BASE_URL = "https://api.openai.com/v1"
MODELS = ("gpt-4o-mini-tts", "tts-1", "tts-1-hd")
VOICES = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin"),
    *("nova", "onyx", "sage", "shimmer", "verse"),
)


@dataclass(frozen=True, slots=True)
class OpenAISpeech:
    """Speaks through a service with OpenAI's API.

    Attributes:
        needs_key: a service in one's own network may take anybody.
        instructions: how to speak, for models that listen to it.
    """

    id: str = "openai"
    label: str = "OpenAI"
    base_url: str = BASE_URL
    api_key: str | None = field(default=None, repr=False)
    needs_key: bool = True
    model: str = MODELS[0]
    voice: str = VOICES[0]
    format: Format = "mp3"
    speed: float | None = None
    instructions: str | None = None
    models: tuple[str, ...] = MODELS
    voices: tuple[str, ...] = VOICES

    def is_ready(self) -> bool:
        """Whether there is a key, where one is needed."""
        return bool(self.api_key) or not self.needs_key

    def voiced(self, voice: str | None, model: str | None) -> OpenAISpeech:
        """Return it with another voice or model as its own."""
        return replace(self, voice=voice or self.voice, model=model or self.model)

    async def say(self, utterance: Utterance, *, timeout_s: float) -> Sound:
        """Speak."""
        wanted: Format = "opus" if utterance.as_note else self.format
        body: dict[str, Any] = {
            "model": utterance.model or self.model,
            "voice": utterance.voice or self.voice,
            "input": utterance.text,
            "response_format": wanted,
        }
        if self.speed is not None:
            body["speed"] = self.speed
        if self.instructions is not None:
            body["instructions"] = self.instructions
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        service = Service(self.label, f"{self.base_url.rstrip('/')}/audio/speech", headers)
        return Sound(await ask(service, body, timeout_s=timeout_s), wanted)
