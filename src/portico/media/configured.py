"""From the configuration to speech: engines, personas, files; and everything that uses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog

from portico.agents.runtime import TurnRequest
from portico.agents.tools.registry import ToolRegistry
from portico.clock import Clock
from portico.media.files import MediaFiles
from portico.media.outgoing import OutgoingMedia
from portico.media.speech.model import Engine, Persona
from portico.media.speech.prefs import Preferences
from portico.media.speech.service import Speech, SpeechSettings
from portico.media.speech.tools import SpeechTools
from portico.turns.model import TurnRow

if TYPE_CHECKING:
    from portico.config import LoadedConfig
    from portico.config.live import Commit, LiveConfig
    from portico.config.model import PorticoConfig
    from portico.config.sections.tts import TtsPersona, TtsProvider
    from portico.media.speech.elevenlabs import ElevenLabsSpeech
    from portico.media.speech.local import LocalSpeech
    from portico.media.speech.openai import OpenAISpeech

log = structlog.get_logger()

Api = Literal["openai", "elevenlabs", "command"]
_KNOWN: Mapping[str, Api] = {
    "openai": "openai",
    "elevenlabs": "elevenlabs",
    "tts-local-cli": "command",
}
_KEYS: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "elevenlabs": ("ELEVENLABS_API_KEY", "XI_API_KEY"),
}


@dataclass(frozen=True, slots=True)
class Media:
    """The room, constructed."""

    files: MediaFiles
    speech: Speech
    outgoing: OutgoingMedia


def build_media(
    live: LiveConfig,
    *,
    env: Mapping[str, str],
    clock: Clock,
    registry: ToolRegistry,
    find_turn: Callable[[str], Awaitable[TurnRow | None]],
) -> Media:
    """Construct text to speech and its tool, and let it follow the settings."""
    config, state_dir = live.loaded.require(), live.loaded.paths.state_dir
    keep_s, max_bytes = _kept(config)
    files = MediaFiles(state_dir / "media", clock=clock, keep_s=keep_s, max_bytes=max_bytes)
    given = config.tts.prefs_path
    path = Path(given).expanduser() if given else state_dir / "settings" / "tts.json"
    speech = Speech(speech_settings(config, env), files=files, preferences=Preferences(path))
    registry.add(SpeechTools(speech))

    def stage(new: LoadedConfig) -> Commit:
        settings = speech_settings(new.require(), env)
        keep_s, max_bytes = _kept(new.require())

        def commit() -> None:
            speech.obey(settings)
            files.obey(keep_s=keep_s, max_bytes=max_bytes)

        return commit

    live.follow("tts", stage=stage)

    async def was_heard(run_id: str) -> bool:
        turn = await find_turn(run_id)
        return turn is not None and has_sound(turn.request)

    return Media(files, speech, OutgoingMedia(files=files, speech=speech, was_heard=was_heard))


def has_sound(request: TurnRequest) -> bool:
    """Whether somebody spoke: a voice message, or a sound beside the text."""
    kinds = (part.get("type") for part in request.parts)
    attached = (one.mime_type or one.type for one in request.attachments)
    return any(kind in {"audio", "voice"} for kind in kinds) or any(
        kind.startswith(("audio", "voice")) for kind in attached
    )


def speech_settings(config: PorticoConfig, env: Mapping[str, str]) -> SpeechSettings:
    """Return what is configured of text to speech."""
    tts = config.tts
    named = dict.fromkeys(_KNOWN) | dict(tts.providers)
    engines = (_engine(name, given, config, env) for name, given in named.items())
    return SpeechSettings(
        engines=tuple(engine for engine in engines if engine is not None),
        auto=tts.auto,
        provider=tts.provider,
        persona=tts.persona,
        personas=tuple(_persona(name, given) for name, given in tts.personas.items()),
        max_text_chars=tts.max_text_length,
        timeout_s=tts.timeout_ms / 1000,
    )


def _kept(config: PorticoConfig) -> tuple[float, int]:
    """Return how long sounds are kept, and how many bytes of them."""
    return config.tts.keep_hours * 3_600, int(config.tts.max_kept_mb * 1_000_000)


def _engine(
    name: str, given: TtsProvider | None, config: PorticoConfig, env: Mapping[str, str]
) -> Engine | None:
    """Return an engine; `None`: it is switched off, or of no kind we know."""
    from portico.config.sections.tts import TtsProvider

    one = given or TtsProvider()
    api = one.api or _KNOWN.get(name)
    if not one.enabled:
        return None
    match api:
        case "openai":
            return _openai(name, one, config, env)
        case "elevenlabs":
            return _elevenlabs(name, one, env)
        case "command":
            return _local(name, one, env)
        case _:
            log.warning("speech.provider_skipped", provider=name)
            return None


def _openai(
    name: str, one: TtsProvider, config: PorticoConfig, env: Mapping[str, str]
) -> OpenAISpeech:
    from portico.media.speech.openai import OpenAISpeech

    known = OpenAISpeech()
    is_own = one.base_url is not None
    models = config.models.providers.get(name)
    shared = models.api_key if models is not None and not is_own else None
    return OpenAISpeech(
        id=name,
        label=one.label or (known.label if name == known.id else name),
        base_url=one.base_url or known.base_url,
        # A key of the environment is for the provider's own address and no other.
        api_key=one.api_key or shared or (None if is_own else _key("openai", name, env)),
        needs_key=not is_own,
        model=_model(one) or known.model,
        voice=_voice(one) or known.voice,
        format=one.output_format or known.format,
        speed=one.speed,
        instructions=one.instructions,
        models=() if is_own else known.models,
        voices=() if is_own else known.voices,
    )


def _elevenlabs(name: str, one: TtsProvider, env: Mapping[str, str]) -> ElevenLabsSpeech:
    from portico.media.speech.elevenlabs import ElevenLabsSpeech

    known = ElevenLabsSpeech()
    own_key = None if one.base_url is not None else _key("elevenlabs", name, env)
    return ElevenLabsSpeech(
        id=name,
        label=one.label or (known.label if name == known.id else name),
        base_url=one.base_url or known.base_url,
        api_key=one.api_key or own_key,
        model=_model(one) or known.model,
        voice=_voice(one) or known.voice,
        format=one.output_format or known.format,
        language=one.language_code,
        settings=one.voice_settings,
    )


def _local(name: str, one: TtsProvider, env: Mapping[str, str]) -> LocalSpeech:
    from portico.media.speech.local import LocalSpeech

    known = LocalSpeech()
    return LocalSpeech(
        id=name,
        label=one.label or (known.label if name == known.id else name),
        command=one.command,
        args=one.args,
        voice=_voice(one),
        speed=one.speed,
        format=one.output_format or known.format,
        env=env,
    )


def _persona(name: str, given: TtsPersona) -> Persona:
    voices = {engine: _voice(one) for engine, one in given.providers.items()}
    models = {engine: _model(one) for engine, one in given.providers.items()}
    return Persona(
        id=name,
        label=given.label or name,
        description=given.description,
        provider=given.provider,
        voices={engine: voice for engine, voice in voices.items() if voice},
        models={engine: model for engine, model in models.items() if model},
    )


def _voice(one: TtsProvider) -> str | None:
    return one.speaker_voice or one.speaker_voice_id or one.voice or one.voice_id


def _model(one: TtsProvider) -> str | None:
    return one.model or one.model_id


def _key(api: str, name: str, env: Mapping[str, str]) -> str | None:
    if _KNOWN.get(name) != api:
        return None
    return next((env[variable] for variable in _KEYS[api] if env.get(variable)), None)
