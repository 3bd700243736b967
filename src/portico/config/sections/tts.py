"""`tts`: text to speech.

Source: OpenClaw configuration reference, section `tts`; `keepHours` and `maxKeptMb` are ours.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from portico.config.sections.base import Section, setting

SoundFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


class TtsProvider(Section):
    """One engine. `openai`, `elevenlabs` and `tts-local-cli` are known; others need `api`."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        seed applyTextNormalization lang pitch rate volume vol style stability responseFormat
        region deployment promptTemplate audioProfile speakerName temperature voiceName proxy
        """.split()
    )

    enabled: bool = setting(True, "false: it is never asked.", reload="hot")
    api: Literal["openai", "elevenlabs", "command"] | None = setting(
        None, "Whose API it speaks; unset: as its name says.", reload="hot"
    )
    label: str | None = setting(None, "Name in lists.", reload="hot")
    api_key: str | None = setting(
        None, "Its key; unset: OPENAI_API_KEY or ELEVENLABS_API_KEY.", reload="hot", secret=True
    )
    base_url: str | None = setting(
        None,
        "Where it is, in place of the provider's own. An openai one with an address of its own "
        "needs no key.",
        reload="hot",
        pattern=r"^https?://",
    )
    model: str | None = setting(None, "Model.", reload="hot")
    model_id: str | None = setting(None, "Another word for model.", reload="hot")
    speaker_voice: str | None = setting(None, "Voice.", reload="hot")
    speaker_voice_id: str | None = setting(None, "Another word for speakerVoice.", reload="hot")
    voice: str | None = setting(None, "Another word for speakerVoice.", reload="hot")
    voice_id: str | None = setting(None, "Another word for speakerVoice.", reload="hot")
    output_format: SoundFormat | None = setting(
        None, "What it makes; unset: mp3, of a command wav.", reload="hot"
    )
    speed: float | None = setting(None, "1 is normal.", reload="hot", ge=0.25, le=4)
    instructions: str | None = setting(
        None, "How to speak, for models of openai that listen to it.", reload="hot"
    )
    language_code: str | None = setting(None, "Language, for elevenlabs.", reload="hot")
    voice_settings: dict[str, Any] = setting(
        doc="The voice_settings of elevenlabs.", reload="hot", default_factory=dict
    )
    command: str | None = setting(
        None, "Program of a command; unset: espeak-ng or espeak.", reload="hot"
    )
    args: tuple[str, ...] = setting(
        (),
        "Its arguments. {{Text}}, {{Voice}} and {{OutputPath}} are filled in; without {{Text}} the "
        "text is its input, without {{OutputPath}} the sound is what it writes.",
        reload="hot",
    )


class TtsPersona(Section):
    """A way of speaking that is the same whichever engine speaks."""

    not_used: ClassVar[frozenset[str]] = frozenset({"prompt", "fallbackPolicy"})

    label: str | None = setting(None, "Name in lists.", reload="hot")
    description: str | None = setting(None, "What it is like.", reload="hot")
    provider: str | None = setting(None, "The engine it prefers.", reload="hot")
    providers: dict[str, TtsProvider] = setting(
        doc="Its voice and model, by engine.", reload="hot", default_factory=dict
    )


class Tts(Section):
    """Text to speech."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        mode summaryModel modelOverrides enabled microsoft edge minimax google xai
        """.split()
    )

    auto: Literal["off", "always", "inbound", "tagged"] = setting(
        "off",
        "Which answers go out with a voice: always: all; inbound: those to voice messages. "
        "tagged counts as off.",
        reload="hot",
    )
    provider: str | None = setting(
        None, "The engine that is asked first; unset: the first that is ready.", reload="hot"
    )
    providers: dict[str, TtsProvider] = setting(
        doc="The engines, by name.", reload="hot", default_factory=dict
    )
    persona: str | None = setting(None, "As whom the engines speak.", reload="hot")
    personas: dict[str, TtsPersona] = setting(
        doc="Ways of speaking, by name.", reload="hot", default_factory=dict
    )
    max_text_length: int = setting(
        4_000, "Longest text that is spoken, in characters.", reload="hot", ge=1, le=100_000
    )
    timeout_ms: int = setting(
        30_000, "How long one engine may take.", reload="hot", ge=1_000, le=60_000
    )
    prefs_path: str | None = setting(
        None,
        "Where tts.enable and the like write; unset: settings/tts.json in the state directory.",
    )
    keep_hours: float = setting(72.0, "How long sounds are kept.", reload="hot", gt=0)
    max_kept_mb: float = setting(256.0, "How much of them is kept.", reload="hot", gt=0)
