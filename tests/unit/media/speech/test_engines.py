"""The engines: two services as they are and as they fail, and real programs."""

from __future__ import annotations

import io
import os
import shutil
import sys
import wave
from dataclasses import replace

import pytest

from portico.media.speech.elevenlabs import ElevenLabsSpeech
from portico.media.speech.local import LocalSpeech, with_true_sizes
from portico.media.speech.model import EngineAway, EngineRefused, Utterance
from portico.media.speech.openai import OpenAISpeech
from tests.fakes.receiver import Answer
from tests.fakes.speech import KEY, SpeechServices

ENV = {"PATH": os.environ["PATH"]}
HELLO = Utterance("Hello there")


def openai(services: SpeechServices, key: str | None = KEY) -> OpenAISpeech:
    return OpenAISpeech(base_url=services.openai_url, api_key=key)


def elevenlabs(services: SpeechServices, key: str = KEY) -> ElevenLabsSpeech:
    return ElevenLabsSpeech(base_url=services.elevenlabs_url, api_key=key)


async def test_openai_is_asked_as_configured() -> None:
    async with SpeechServices() as services:
        engine = replace(openai(services), speed=1.5, instructions="Softly.")
        sound = await engine.say(HELLO, timeout_s=30)
        assert sound.content == b"mp3:gpt-4o-mini-tts:alloy:Hello there"
        note = await engine.voiced("nova", "tts-1").say(replace(HELLO, as_note=True), timeout_s=30)
        assert (note.format, note.content) == ("opus", b"opus:tts-1:nova:Hello there")
        asked = await engine.say(replace(HELLO, voice="nova", model="tts-1-hd"), timeout_s=30)
        assert asked.content == b"mp3:tts-1-hd:nova:Hello there"
    assert services.calls[0].json["speed"] == 1.5
    assert services.calls[0].json["instructions"] == "Softly."
    assert services.calls[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_service_of_ones_own_needs_no_key() -> None:
    async with SpeechServices() as services:
        engine = replace(openai(services, None), needs_key=False)
        assert engine.is_ready()
        await engine.say(HELLO, timeout_s=30)
    assert "authorization" not in services.calls[0].headers


async def test_elevenlabs_is_asked_as_configured() -> None:
    async with SpeechServices() as services:
        engine = replace(elevenlabs(services), language="en", settings={"stability": 0.5})
        sound = await engine.say(HELLO, timeout_s=30)
        assert sound.content.startswith(b"mp3_44100_128:eleven_multilingual_v2:pMsX")
        note = await engine.say(replace(HELLO, as_note=True), timeout_s=30)
        assert (note.format, note.content[:13]) == ("opus", b"opus_48000_64")
    assert services.calls[0].json == {
        "text": "Hello there",
        "model_id": "eleven_multilingual_v2",
        "voice_settings": {"stability": 0.5},
        "language_code": "en",
    }


@pytest.mark.parametrize("voice", ["../user", "a/b", "EXAVITQu4vr4xnSDxMaL?x=1", "", "short"])
async def test_a_voice_never_becomes_another_address(voice: str) -> None:
    async with SpeechServices() as services:
        engine = replace(elevenlabs(services), voice=voice)
        with pytest.raises(EngineRefused, match="no voice id"):
            await engine.say(HELLO, timeout_s=30)
    assert services.calls == []


@pytest.mark.parametrize("make", [openai, elevenlabs])
@pytest.mark.parametrize(
    ("plan", "error", "why", "asked"),
    [
        ([Answer(429, headers={"Retry-After": "0"}), None], None, "", 2),
        ([Answer(503), None], None, "", 2),
        ([Answer(None), None], EngineAway, "cannot be reached", 1),
        ([Answer(503), Answer(503)], EngineAway, "out of order", 2),
        ([Answer(429, headers={"Retry-After": "120"})], EngineAway, "had enough", 1),
        ([Answer(400, "your text says s3cret")], EngineRefused, "does not take this", 1),
        ([Answer(302, headers={"Location": "/x"})], EngineRefused, "does not take this", 1),
        ([Answer(200, "")], EngineAway, "silence", 2),
        ([Answer(200, "{}", {"Content-Type": "application/json"})], EngineAway, "no sound", 2),
        ([Answer(mute=True)], EngineAway, "did not answer within", 1),
    ],
)
async def test_troubles_of_a_service(make, plan, error, why, asked) -> None:
    plan = [answer for answer in plan if answer is not None]
    if why in {"silence", "no sound"}:
        plan *= 2
    async with SpeechServices(*plan) as services:
        is_mute = why == "did not answer within"
        speaking = make(services).say(HELLO, timeout_s=0.5 if is_mute else 30)
        if error is None:
            assert (await speaking).content
        else:
            with pytest.raises(error, match=why) as failed:
                await speaking
            assert "s3cret" not in str(failed.value)
    assert len(services.calls) == asked


@pytest.mark.parametrize("make", [openai, elevenlabs])
async def test_a_wrong_key_is_not_said(make) -> None:
    async with SpeechServices() as services:
        engine = make(services, "sk-wrong")
        with pytest.raises(EngineRefused, match="does not accept the configured key") as failed:
            await engine.say(HELLO, timeout_s=30)
    assert "sk-wrong" not in f"{failed.value} {engine}"


async def test_nobody_there_and_too_much_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    async with SpeechServices() as services:
        engine = openai(services)
    with pytest.raises(EngineAway, match="cannot be reached"):
        await engine.say(HELLO, timeout_s=30)
    monkeypatch.setattr("portico.media.speech.web.MAX_SOUND_BYTES", 10)
    async with SpeechServices() as services:
        with pytest.raises(EngineRefused, match="more than 10 bytes"):
            await openai(services).say(HELLO, timeout_s=30)


# -- programs ----------------------------------------------------------------------------------


def program(code: str, *args: str, **more: object) -> LocalSpeech:
    return LocalSpeech(command=sys.executable, args=("-c", code, *args), env=ENV, **more)  # type: ignore[arg-type]  # of the test


SAY_INPUT = "import sys; sys.stdout.write('sound of ' + sys.stdin.read())"
SAY_ARGS = "import sys; sys.stdout.write(repr(sys.argv[1:]))"


async def test_a_program_gets_the_text_as_its_input() -> None:
    sound = await program(SAY_INPUT).say(Utterance("-rf; $(id) {{OutputPath}}"), timeout_s=30)
    assert sound.content == b"sound of -rf; $(id) {{OutputPath}}"
    assert sound.format == "wav"


async def test_a_program_may_take_it_as_an_argument_and_write_a_file() -> None:
    sound = await program(SAY_ARGS, "{{Text}}", "-v{{Voice}}", "--x={{Text}}", voice="ann").say(
        Utterance("--help {{Voice}}"), timeout_s=20
    )
    assert sound.content == b"[' --help {{Voice}}', '-vann', '--x=--help {{Voice}}']"
    write = "import sys; open(sys.argv[1], 'w').write('sound')"
    written = await program(write, "{{OutputPath}}", format="mp3").say(HELLO, timeout_s=30)
    assert (written.content, written.format) == (b"sound", "mp3")


async def test_a_program_has_nothing_of_our_environment() -> None:
    show = "import os; print(sorted(os.environ))"
    engine = replace(program(show), env={**ENV, "OPENAI_API_KEY": "s3cret", "HOME": "/h"})
    said = (await engine.say(HELLO, timeout_s=30)).content.decode()
    assert "'HOME'" in said
    assert "OPENAI" not in said


@pytest.mark.parametrize(
    ("engine", "error", "why"),
    [
        (program("raise SystemExit(3)"), EngineRefused, "failed \\(3\\)"),
        (program("pass"), EngineRefused, "made no sound"),
        (program("pass", "{{OutputPath}}"), EngineRefused, "made no sound"),
        (LocalSpeech(command="no-such-program", env=ENV), EngineRefused, "no speech program"),
        (LocalSpeech(env={"PATH": "/nowhere"}), EngineRefused, "install espeak-ng"),
    ],
)
async def test_troubles_of_a_program(engine: LocalSpeech, error: type, why: str) -> None:
    with pytest.raises(error, match=why):
        await engine.say(HELLO, timeout_s=30)


async def test_a_program_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(EngineAway, match="took longer"):
        await program("import time; time.sleep(600)").say(HELLO, timeout_s=0.5)


def test_a_program_that_is_not_there_is_not_ready() -> None:
    assert not LocalSpeech(env={"PATH": "/nowhere"}).is_ready()
    assert program("").is_ready()


def test_sizes_of_a_wav_that_was_piped() -> None:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(bytes(800))
    whole = made.getvalue()
    piped = whole[:4] + b"\x24\xf0\xff\x7f" + whole[8:40] + b"\x00\xf0\xff\x7f" + whole[44:]
    assert with_true_sizes(piped) == whole
    assert with_true_sizes(b"not a wav at all") == b"not a wav at all"
    assert with_true_sizes(b"RIFF") == b"RIFF"


HAS_ESPEAK = any(shutil.which(name) for name in ("espeak-ng", "espeak"))


@pytest.mark.skipif(not HAS_ESPEAK, reason="espeak-ng is not installed (apt-get install espeak-ng)")
async def test_espeak_speaks() -> None:
    engine = LocalSpeech(env=ENV, voice="en", speed=1.2)
    assert engine.is_ready()
    short = await engine.say(Utterance("Hi."), timeout_s=30)
    long = await engine.say(Utterance("-w /etc/passwd is said, and no option. " * 3), timeout_s=30)
    lengths = []
    for sound in (short, long):
        with wave.open(io.BytesIO(sound.content)) as heard:
            lengths.append(heard.getnframes() / heard.getframerate())
    assert 0.1 < lengths[0] < 3
    assert lengths[1] > 2 * lengths[0]
    with pytest.raises(EngineRefused, match="no voice of"):
        await replace(engine, voice="-w/etc/x").say(HELLO, timeout_s=30)
    with pytest.raises(EngineRefused, match="failed"):
        await replace(engine, voice="nosuchvoice").say(HELLO, timeout_s=30)
