"""Text to speech over the control plane of a whole gateway, with real services and files."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from portico.app import Gateway
from portico.config import resolve_paths
from portico.config.service import load_text
from portico.media.configured import speech_settings
from portico.protocol.errors import InvalidRequest, Unavailable
from tests.contract.test_skills import rpc
from tests.fakes.receiver import Answer
from tests.fakes.speech import KEY, SpeechServices
from tests.support.http import house, settings


@asynccontextmanager
async def speaking(
    folder: Path, *plan: Answer, **tts: Any
) -> AsyncIterator[tuple[Gateway, SpeechServices]]:
    async with SpeechServices(*plan) as services:
        providers = {
            "openai": {"apiKey": KEY, "baseUrl": services.openai_url},
            "elevenlabs": {"apiKey": KEY, "baseUrl": services.elevenlabs_url},
            "tts-local-cli": {"enabled": False},
        }
        given = settings(tts={"providers": providers, **tts})
        async with house(folder, given) as inside:
            yield inside.gateway, services


async def test_status_and_providers_say_what_is_there(tmp_path: Path) -> None:
    personas = {"butler": {"label": "Butler", "description": "Dry.", "provider": "elevenlabs"}}
    async with speaking(tmp_path, personas=personas) as (gateway, _services):
        assert await rpc(gateway, "tts.status") == {
            "enabled": False,
            "auto": "off",
            "provider": "openai",
            "persona": None,
            "personas": [
                {
                    "id": "butler",
                    "label": "Butler",
                    "description": "Dry.",
                    "provider": "elevenlabs",
                }
            ],
            "fallbackProvider": "elevenlabs",
            "fallbackProviders": ["elevenlabs"],
            "prefsPath": str(tmp_path / "settings" / "tts.json"),
            "providerStates": [
                {"id": "openai", "label": "OpenAI", "configured": True},
                {"id": "elevenlabs", "label": "ElevenLabs", "configured": True},
            ],
        }
        listed = await rpc(gateway, "tts.providers")
        assert (listed["active"], [one["id"] for one in listed["providers"]]) == (
            "openai",
            ["openai", "elevenlabs"],
        )
        assert set(listed["providers"][0]) == {"id", "name", "configured", "models", "voices"}
        assert (await rpc(gateway, "tts.personas"))["active"] is None


async def test_choices_are_made_and_kept(tmp_path: Path) -> None:
    personas = {"butler": {"providers": {"openai": {"speakerVoice": "nova"}}}}
    async with speaking(tmp_path, personas=personas) as (gateway, _services):
        assert await rpc(gateway, "tts.enable") == {"enabled": True}
        assert await rpc(gateway, "tts.setProvider", {"provider": "elevenlabs"}) == {
            "provider": "elevenlabs"
        }
        assert await rpc(gateway, "tts.setPersona", {"persona": "butler"}) == {"persona": "butler"}
        with pytest.raises(InvalidRequest, match="Use openai, elevenlabs"):
            await rpc(gateway, "tts.setProvider", {"provider": "edge"})
        with pytest.raises(InvalidRequest, match="unknown persona"):
            await rpc(gateway, "tts.setPersona", {"persona": "pirate"})
    async with speaking(tmp_path, personas=personas) as (gateway, _services):
        status = await rpc(gateway, "tts.status")
        assert (status["enabled"], status["auto"]) == (True, "always")
        assert (status["provider"], status["persona"]) == ("elevenlabs", "butler")
        await rpc(gateway, "tts.setProvider", {"provider": "openai"})
        spoken = await rpc(gateway, "tts.speak", {"text": "Hi"})
        assert base64.b64decode(spoken["audioBase64"]) == b"mp3:gpt-4o-mini-tts:nova:Hi"
        assert await rpc(gateway, "tts.setPersona", {"persona": None}) == {"persona": None}
        assert await rpc(gateway, "tts.disable") == {"enabled": False}
        assert (await rpc(gateway, "tts.status"))["enabled"] is False


async def test_convert_makes_a_file_and_speak_returns_it(tmp_path: Path) -> None:
    async with speaking(tmp_path) as (gateway, services):
        done = await rpc(gateway, "tts.convert", {"text": "**Hello**"})
        path = Path(done["audioPath"])
        assert path.read_bytes() == b"mp3:gpt-4o-mini-tts:alloy:Hello"
        assert path.parent == tmp_path / "media"
        assert done == {
            "audioPath": str(path),
            "provider": "openai",
            "outputFormat": "mp3",
            "voiceCompatible": False,
            "media": f"media:{path.name}",
        }
        note = await rpc(gateway, "tts.convert", {"text": "Hello", "channel": "telegram"})
        assert (note["outputFormat"], note["voiceCompatible"]) == ("opus", True)
        other = {"text": "Hello", "provider": "elevenlabs", "voiceId": "EXAVITQu4vr4xnSDxMaL"}
        assert (await rpc(gateway, "tts.convert", other))["provider"] == "elevenlabs"
        inline = await rpc(gateway, "tts.speak", {"text": "Hello"})
        assert inline == {
            "audioBase64": base64.b64encode(path.read_bytes()).decode(),
            "provider": "openai",
            "outputFormat": "mp3",
            "mimeType": "audio/mpeg",
            "fileExtension": ".mp3",
        }
        assert len(services.calls) == 3


async def test_one_that_is_busy_is_stood_in_for(tmp_path: Path) -> None:
    busy = Answer(429, headers={"Retry-After": "60"})
    async with speaking(tmp_path, busy) as (gateway, services):
        done = await rpc(gateway, "tts.convert", {"text": "Hello"})
        assert done["provider"] == "elevenlabs"
        assert [call.path.partition("?")[0] for call in services.calls] == [
            "/v1/audio/speech",
            "/v1/text-to-speech/pMsXgVXv3BLzUgSXRplE",
        ]


async def test_what_cannot_be_spoken(tmp_path: Path) -> None:
    down = [Answer(503)] * 4
    async with speaking(tmp_path, *down, maxTextLength=20) as (gateway, _services):
        for params, error, why in (
            ({"text": "```\nx\n```"}, InvalidRequest, "nothing to say"),
            ({"text": "x" * 21}, InvalidRequest, "20 can be spoken"),
            ({"text": ""}, InvalidRequest, "fewer than 1"),
            ({"text": "Hi", "provider": "edge"}, Unavailable, "no speech provider edge"),
            ({"text": "Hi"}, Unavailable, "out of order"),
        ):
            with pytest.raises(error, match=why):
                await rpc(gateway, "tts.convert", params)
        with pytest.raises(InvalidRequest, match="unexpected property"):
            await rpc(gateway, "tts.speak", {"text": "Hi", "voice": "nova"})


async def test_a_gateway_without_a_provider_says_so(tmp_path: Path) -> None:
    given = settings(tts={"providers": {"tts-local-cli": {"command": "no-such-program"}}})
    async with house(tmp_path, given) as inside:
        status = await rpc(inside.gateway, "tts.status")
        assert {one["configured"] for one in status["providerStates"]} == {False}
        with pytest.raises(Unavailable, match="No speech provider is ready"):
            await rpc(inside.gateway, "tts.convert", {"text": "Hi"})


def engines_of(text: str, env: dict[str, str]) -> dict[str, Any]:
    loaded = load_text(resolve_paths(env={}, state_dir="/nowhere"), text, env=env)
    settings = speech_settings(loaded.require(), env)
    return {engine.id: engine for engine in settings.engines}


def test_keys_go_to_the_services_they_are_for() -> None:
    env = {"OPENAI_API_KEY": "sk-env", "XI_API_KEY": "xi-env"}
    known = engines_of("{}", env)
    assert (known["openai"].api_key, known["elevenlabs"].api_key) == ("sk-env", "xi-env")
    elsewhere = engines_of(
        json.dumps(
            {
                "models": {"providers": {"openai": {"apiKey": "sk-models", "models": []}}},
                "tts": {
                    "providers": {
                        "openai": {"baseUrl": "http://127.0.0.1:1/v1"},
                        "elevenlabs": {"baseUrl": "http://127.0.0.1:1"},
                        "kokoro": {"api": "openai", "baseUrl": "http://127.0.0.1:2/v1"},
                        "unknown": {},
                    }
                },
            }
        ),
        env,
    )
    assert elsewhere["openai"].api_key is elsewhere["elevenlabs"].api_key is None
    assert elsewhere["kokoro"].api_key is None
    assert elsewhere["kokoro"].is_ready()
    assert "unknown" not in elsewhere
    shared = engines_of('{models: {providers: {openai: {apiKey: "sk-models", models: []}}}}', {})
    assert shared["openai"].api_key == "sk-models"


def test_older_spellings_and_other_words_for_a_voice() -> None:
    engines = engines_of(
        '{messages: {tts: {auto: "always", openai: {voice: "nova", modelId: "tts-1"},'
        ' elevenlabs: {voiceId: "EXAVITQu4vr4xnSDxMaL"}}}}',
        {},
    )
    assert (engines["openai"].voice, engines["openai"].model) == ("nova", "tts-1")
    assert engines["elevenlabs"].voice == "EXAVITQu4vr4xnSDxMaL"
