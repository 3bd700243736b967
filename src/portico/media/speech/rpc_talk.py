"""RPC methods that tell voice clients with what they speak and are heard, and that speak for them.

Not here: sessions in which sound flows both ways (`talk.session.*`, `talk.client.*`): there are
none.

Source: OpenClaw gateway protocol, "talk.config", "talk.catalog", "talk.speak".
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec

from portico.media.speech.model import SUFFIXES, Engine
from portico.media.speech.rpc import SpokenInline, said_or_refused
from portico.media.speech.service import Speech, Wish
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
Name = Annotated[str, msgspec.Meta(max_length=200)]


class TalkConfigAsked(Params, frozen=True):
    """`{includeSecrets?}`."""

    include_secrets: bool = False


class TalkConfig(Result, frozen=True, omit_defaults=False):
    """What voice clients are configured with."""

    config: dict[str, Any]


class CatalogAsked(Params, frozen=True, kw_only=True):
    """`{provider?, model?}`: both only matter to realtime providers, of which there are none."""

    provider: Name | None = None
    model: Name | None = None


class Provider(Result, frozen=True, kw_only=True):
    """Something that speaks, or listens."""

    id: str
    label: str
    configured: bool = msgspec.field()
    models: tuple[str, ...] | None = None
    voices: tuple[str, ...] | None = None


class ProviderGroup(Result, frozen=True, kw_only=True):
    """Those for one purpose; `ready`: one of them could be asked now."""

    ready: bool = msgspec.field()
    active_provider: str | None = None
    providers: tuple[Provider, ...] = msgspec.field()


class Catalog(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What voice clients can be offered."""

    modes: tuple[str, ...]
    transports: tuple[str, ...]
    brains: tuple[str, ...]
    speech: ProviderGroup
    transcription: ProviderGroup
    realtime: ProviderGroup


class TalkSpeak(Params, frozen=True, kw_only=True):
    """`{text, voiceId?, modelId?, …}`: the fine tuning is each engine's own, in `tts.providers`."""

    text: Text
    voice_id: Name | None = None
    model_id: Name | None = None
    output_format: Name | None = None
    speed: float | None = None
    rate_wpm: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stability: float | None = None
    similarity: float | None = None
    style: float | None = None
    speaker_boost: bool | None = None
    seed: Annotated[int, msgspec.Meta(ge=0)] | None = None
    normalize: str | None = None
    language: str | None = None
    latency_tier: Annotated[int, msgspec.Meta(ge=0)] | None = None


class TalkSpeechMethods:
    """`talk.config`, `talk.catalog`, `talk.speak`.

    Args:
        keys: the engines' keys by name, for those who may have them.
        listeners: who listens to what people say, in order.
    """

    def __init__(
        self,
        speech: Speech,
        *,
        keys: Callable[[], Mapping[str, str]],
        listeners: Callable[[], tuple[str, ...]],
        main_key: str,
    ) -> None:
        self._speech = speech
        self._keys = keys
        self._listeners = listeners
        self._main_key = main_key

    @method(
        "talk.config",
        scope=Scope.READ,
        scope_rule=lambda params: Scope.TALK_SECRETS if params.include_secrets else Scope.READ,
    )
    async def config(self, call: Call, params: TalkConfigAsked) -> TalkConfig:
        """Show with what voice clients speak; the keys only to those who may have them."""
        order = await asyncio.to_thread(self._ready)
        keys = self._keys() if params.include_secrets else {}
        known = {one.id: {"apiKey": keys[one.id]} if one.id in keys else {} for one in order}
        talk: dict[str, Any] = {"providers": known}
        if order:
            first = order[0].id
            talk |= {"provider": first, "resolved": {"provider": first, "config": known[first]}}
        return TalkConfig(
            {
                "talk": talk,
                "session": {"mainKey": self._main_key},
            }
        )

    @method("talk.catalog", scope=Scope.READ)
    async def catalog(self, call: Call, params: CatalogAsked) -> Catalog:
        """List who speaks and who listens; there are no realtime sessions."""
        ready = await asyncio.to_thread(self._ready)
        heard = self._listeners()
        speakers = [_provider(one, is_ready=one in ready) for one in self._speech.order()]
        listeners = [Provider(id=name, label=name, configured=True) for name in heard]
        return Catalog(
            modes=(),
            transports=(),
            brains=(),
            speech=_group(speakers, ready[0].id if ready else None),
            transcription=_group(listeners, heard[0] if heard else None),
            realtime=_group([], None),
        )

    @method("talk.speak", scope=Scope.TALK)
    async def speak(self, call: Call, params: TalkSpeak) -> SpokenInline:
        """Speak a text and return the sound, in what format the engine makes."""
        if params.output_format and params.output_format.partition("_")[0] not in SUFFIXES:
            raise InvalidRequest(
                f"invalid talk.speak params: at /outputFormat: one of {', '.join(SUFFIXES)}"
            )
        wish = Wish(params.text, voice=params.voice_id or None, model=params.model_id or None)
        done = await said_or_refused(self._speech, wish)
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

    def _ready(self) -> list[Engine]:
        """Return the engines that could speak now, as they are asked; it looks on the disk."""
        return [engine for engine in self._speech.order() if engine.is_ready()]


def _provider(engine: Engine, *, is_ready: bool) -> Provider:
    return Provider(
        id=engine.id,
        label=engine.label,
        configured=is_ready,
        models=tuple(engine.models) or None,
        voices=tuple(engine.voices) or None,
    )


def _group(providers: list[Provider], active: str | None) -> ProviderGroup:
    return ProviderGroup(
        ready=active is not None, active_provider=active, providers=tuple(providers)
    )
