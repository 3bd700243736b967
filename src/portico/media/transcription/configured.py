"""From the configuration to the engines that listen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import structlog

from portico.agents.configured import build_catalog
from portico.agents.model.catalog import Catalog, UnknownModel
from portico.media.transcription.command import CommandListening
from portico.media.transcription.model import Engine
from portico.media.transcription.openai import OpenAIListening
from portico.media.transcription.service import HearingSettings

if TYPE_CHECKING:
    from portico.config.model import PorticoConfig
    from portico.config.sections.tools import AudioModel, AudioUnderstanding

log = structlog.get_logger()

USUAL_MODEL = {"openai": "gpt-4o-mini-transcribe", "groq": "whisper-large-v3-turbo"}


def hearing_settings(config: PorticoConfig, env: Mapping[str, str]) -> HearingSettings:
    """Return who listens to what people attach; nobody, unless the configuration names somebody."""
    media = config.tools.media
    audio = media.audio
    if not audio.enabled or not audio.models:
        return HearingSettings(concurrency=media.concurrency)
    catalog = build_catalog(config, env)
    engines = (_engine(one, audio, catalog, env) for one in audio.models)
    return HearingSettings(
        engines=tuple(engine for engine in engines if engine is not None),
        concurrency=media.concurrency,
        max_chars=audio.max_chars,
    )


def _engine(
    one: AudioModel, audio: AudioUnderstanding, catalog: Catalog, env: Mapping[str, str]
) -> Engine | None:
    """Return an engine; `None`: it names nothing we know."""
    if one.type == "cli" or (one.type is None and one.command is not None):
        return _command(one, audio, env)
    name = one.provider or "openai"
    model = one.model or USUAL_MODEL.get(name, "whisper-1")
    try:
        choice = catalog.resolve(f"{name}/{model}")
    except UnknownModel as error:
        log.warning("media.engine_skipped", problem=str(error))
        return None
    language, prompt = one.language or audio.language, one.prompt or audio.prompt
    return OpenAIListening(
        id=_named(f"{name}/{model}", language, prompt),
        base_url=choice.provider.base_url,
        model=model,
        api_key=choice.provider.api_key,
        headers=choice.provider.headers,
        language=language,
        prompt=prompt,
        max_bytes=one.max_bytes or audio.max_bytes,
        timeout_s=one.timeout_seconds or audio.timeout_seconds,
    )


def _command(
    one: AudioModel, audio: AudioUnderstanding, env: Mapping[str, str]
) -> CommandListening | None:
    if not one.command:
        log.warning("media.engine_skipped", problem="an entry of type cli has no command")
        return None
    language, prompt = one.language or audio.language, one.prompt or audio.prompt
    return CommandListening(
        id=_named(one.command, *one.args, language, prompt),
        command=one.command,
        args=one.args,
        language=language,
        prompt=prompt,
        max_bytes=one.max_bytes or audio.max_bytes,
        timeout_s=one.timeout_seconds or audio.timeout_seconds,
        env=env,
    )


def _named(name: str, *how: str | None) -> str:
    """Return a name that changes with how it listens."""
    if not any(how):
        return name
    return f"{name}#{hashlib.sha256(msgspec.json.encode(how)).hexdigest()[:12]}"
