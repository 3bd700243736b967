"""Two speech services on a real socket: OpenAI's and ElevenLabs' API, with their refusals.

    async with SpeechServices(Answer(429, headers={"Retry-After": "1"})) as services:
        services.openai_url, services.elevenlabs_url, services.calls

Planned answers come first; then each request is looked at as the real services do: the key, the
model, the voice, the length. What is right is answered with sound that tells what was asked.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.receiver import Answer, Called, Receiver

KEY = "sk-speech"
VOICES = {"alloy", "nova", "pMsXgVXv3BLzUgSXRplE", "EXAVITQu4vr4xnSDxMaL"}
FORMATS = {"mp3", "opus", "aac", "flac", "wav", "pcm"}
KINDS = {"mp3": "audio/mpeg", "opus": "audio/ogg", "wav": "audio/wav"}


class SpeechServices(Receiver):
    """The server."""

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def elevenlabs_url(self) -> str:
        return self.url

    def answer(self, called: Called) -> Answer:
        parts = urlsplit(called.path)
        try:
            body = called.json
        except ValueError:
            return _problem(400, "not JSON")
        if called.method == "POST" and parts.path == "/v1/audio/speech":
            return _openai(called.headers, body)
        voice = re.fullmatch(r"/v1/text-to-speech/([A-Za-z0-9]+)", parts.path)
        if called.method == "POST" and voice is not None:
            return _elevenlabs(called.headers, voice[1], parse_qs(parts.query), body)
        return _problem(404, "no such route")


def _openai(headers: dict[str, str], body: dict[str, Any]) -> Answer:
    if headers.get("authorization") not in {f"Bearer {KEY}", None}:
        return _problem(401, f"Incorrect API key provided: {headers['authorization']}")
    wanted = body.get("response_format", "mp3")
    if body.get("voice") not in VOICES or wanted not in FORMATS or not body.get("model"):
        return _problem(400, "invalid voice, format or model")
    if len(body.get("input", "")) > 4_096:
        return _problem(400, "input is too long")
    said = f"{wanted}:{body['model']}:{body['voice']}:{body['input']}"
    return Answer(200, said, {"Content-Type": KINDS.get(wanted, "application/octet-stream")})


def _elevenlabs(
    headers: dict[str, str], voice: str, query: dict[str, list[str]], body: dict[str, Any]
) -> Answer:
    if headers.get("xi-api-key") != KEY:
        return _problem(401, "invalid_api_key")
    if voice not in VOICES:
        return _problem(404, "voice_not_found")
    wanted = query["output_format"][0]
    said = f"{wanted}:{body['model_id']}:{voice}:{body['text']}"
    return Answer(200, said, {"Content-Type": "audio/mpeg"})


def _problem(status: int, message: str) -> Answer:
    body = json.dumps({"error": {"message": message}, "detail": {"message": message}})
    return Answer(status, body, {"Content-Type": "application/json"})
