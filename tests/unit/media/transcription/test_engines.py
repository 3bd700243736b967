"""Who listens: a service with OpenAI's API, and programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from portico.media.transcription.command import CommandListening
from portico.media.transcription.model import NotHeard, Recording
from portico.media.transcription.openai import OpenAIListening
from tests.fakes.receiver import Answer
from tests.fakes.transcription import KEY, TranscriptionService

SOUND = Recording(b"RIFF\0\0\0\0WAVEfmt ", "audio/wav")
JSON = {"Content-Type": "application/json"}


def listening(
    service: TranscriptionService, *, key: str = KEY, wait_s: float = 30
) -> OpenAIListening:
    return OpenAIListening(
        "ears", service.openai_url, "whisper-1", api_key=key, prompt="Ada", timeout_s=wait_s
    )


async def test_a_sound_becomes_text() -> None:
    async with TranscriptionService() as service:
        assert await listening(service).listen(SOUND) == " whisper-1 heard 16 bytes. "
        (heard,) = service.heard
        assert heard == {
            "model": "whisper-1",
            "response_format": "json",
            "prompt": "Ada",
            "file": SOUND.content,
            "name": "sound.wav",
        }


@pytest.mark.parametrize(
    ("plan", "calls"),
    [
        ([Answer(429, headers={"Retry-After": "0.01"})], 2),
        ([Answer(500)], 2),
        ([Answer(503, headers={"Retry-After": "0"})], 2),
    ],
)
async def test_who_is_away_is_asked_once_more(plan: list[Answer], calls: int) -> None:
    async with TranscriptionService(*plan) as service:
        assert "heard" in await listening(service).listen(SOUND)
        assert len(service.calls) == calls


@pytest.mark.parametrize(
    ("plan", "message", "calls"),
    [
        ([Answer(429, headers={"Retry-After": "3600"})], "429", 1),
        ([Answer(500), Answer(500)], "500", 2),
        ([Answer(400, "your sound says s3cret")], "400", 1),
        ([Answer(302, headers={"Location": "/elsewhere"})], "302", 1),
        ([Answer(200, "no json", JSON)], "no JSON", 1),
        ([Answer(200, '{"text": 7}', JSON)], "without a text", 1),
        ([Answer(200, "[]", JSON)], "without a text", 1),
        ([Answer(200, '{"text": "' + "x" * 3_000_000, JSON)], "no JSON", 1),
        ([Answer(None)], "cannot be reached", 1),
        ([Answer(mute=True)], "did not answer", 1),
    ],
)
async def test_what_it_does_not_do(plan: list[Answer], message: str, calls: int) -> None:
    wait_s = 0.5 if message == "did not answer" else 30
    async with TranscriptionService(*plan) as service:
        with pytest.raises(NotHeard, match=message) as refusal:
            await listening(service, wait_s=wait_s).listen(SOUND)
        assert "s3cret" not in str(refusal.value)
        assert len(service.calls) == calls


async def test_a_wrong_key_and_nobody_there() -> None:
    async with TranscriptionService() as service:
        engine = listening(service, key="sk-wrong")
        with pytest.raises(NotHeard, match="401"):
            await engine.listen(SOUND)
    assert "sk-wrong" not in repr(engine)
    with pytest.raises(NotHeard, match="cannot be reached"):
        await engine.listen(SOUND)


def program(code: str, *args: str, wait_s: float = 30) -> CommandListening:
    env = {"PATH": os.environ["PATH"], "SECRET": "s3cret"}
    return CommandListening(
        "here", sys.executable, ("-c", code, *args), language="en", timeout_s=wait_s, env=env
    )


async def test_a_program_is_told_where_the_sound_is() -> None:
    code = (
        "import sys, os; print(open(sys.argv[1], 'rb').read()[:4], sys.argv[2:], len(os.environ))"
    )
    said = await program(code, "{{MediaPath}}", "--lang={{Language}}", "$(id);`id`").listen(SOUND)
    assert said.startswith("b'RIFF' ['--lang=en', '$(id);`id`']")
    assert "s3cret" not in said


async def test_a_program_reads_the_sound_or_leaves_a_file() -> None:
    code = "import sys; print(len(sys.stdin.buffer.read()))"
    assert await program(code).listen(SOUND) == "16"
    code = "import sys; print('noise'); open(sys.argv[2] + '.txt', 'w').write(' hello ')"
    assert await program(code, "{{MediaPath}}", "{{OutputBase}}").listen(SOUND) == "hello"


async def test_programs_that_fail_or_take_too_long(tmp_path: Path) -> None:
    with pytest.raises(NotHeard, match="failed"):
        await program("raise SystemExit(3)").listen(SOUND)
    missing = CommandListening("here", str(tmp_path / "none"), env={"PATH": ""})
    with pytest.raises(NotHeard, match="cannot be started"):
        await missing.listen(SOUND)
    with pytest.raises(NotHeard, match="took longer") as slow:
        await program("import time; time.sleep(600)", wait_s=0.3).listen(SOUND)
    assert slow.value.is_away
