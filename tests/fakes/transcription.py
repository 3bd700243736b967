"""A transcription service on a real socket: OpenAI's API, with its refusals.

    async with TranscriptionService(Answer(429, headers={"Retry-After": "0.01"})) as service:
        service.openai_url, service.calls, service.heard

Planned answers come first; then each request is looked at as the real service does: the key, the
model, the form of the body, the name of the file. What is right is answered with a text that tells
what was asked.

Source: OpenAI API reference, "Create transcription".
"""

from __future__ import annotations

import json
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import PurePosixPath
from typing import Any

from tests.fakes.receiver import Answer, Called, Receiver

KEY = "sk-listen"
FORMATS = {".flac", ".m4a", ".mp3", ".mp4", ".mpeg", ".mpga", ".oga", ".ogg", ".wav", ".webm"}
MODELS = {"whisper-1", "gpt-4o-mini-transcribe"}


class TranscriptionService(Receiver):
    """The server."""

    def __init__(self, *plan: Answer) -> None:
        super().__init__(*plan)
        self.heard: list[dict[str, Any]] = []

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    def answer(self, called: Called) -> Answer:
        if (called.method, called.path) != ("POST", "/v1/audio/transcriptions"):
            return _problem(404, "no such route")
        if called.headers.get("authorization") != f"Bearer {KEY}":
            return _problem(401, f"Incorrect API key provided: {called.headers['authorization']}")
        form = form_of(called)
        name = form.pop("file.name", "")
        if form.get("model") not in MODELS or "file" not in form:
            return _problem(400, "invalid model, or no file")
        if PurePosixPath(name).suffix not in FORMATS:
            return _problem(400, "Unrecognized file format")
        self.heard.append({**form, "name": name})
        body = json.dumps({"text": f" {form['model']} heard {len(form['file'])} bytes. "})
        return Answer(200, body, {"Content-Type": "application/json"})


def form_of(called: Called) -> dict[str, Any]:
    """Return the fields of a multipart body; a file as bytes, and its name."""
    head = f"Content-Type: {called.headers['content-type']}\r\n\r\n".encode()
    found: dict[str, Any] = {}
    for part in BytesParser(policy=HTTP).parsebytes(head + called.body).iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        file_name = part.get_filename()
        if file_name is None:
            found[name] = content.decode()
        else:
            found[name], found[f"{name}.name"] = content, file_name
    return found


def _problem(status: int, message: str) -> Answer:
    body = json.dumps({"error": {"message": message}})
    return Answer(status, body, {"Content-Type": "application/json"})
