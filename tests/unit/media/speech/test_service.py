"""Which engine speaks, and what becomes of the sound."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from portico.channels.contract import Outgoing
from portico.channels.model import Peer, ReplyRoute
from portico.media.files import MediaFiles
from portico.media.outgoing import MISSING, OutgoingMedia
from portico.media.speech.model import (
    EngineAway,
    EngineRefused,
    NotConfigured,
    Persona,
    Sound,
    SpeechError,
    TextRefused,
    Utterance,
)
from portico.media.speech.prefs import Preferences
from portico.media.speech.service import MAX_AT_ONCE, Speech, SpeechSettings, Wish
from tests.support.clock import FakeClock
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Speaker:
    """An engine that says what it was asked; failing, slow or not ready when told."""

    id: str
    ready: bool = True
    voice: str = "own"
    trouble: SpeechError | None = None
    hold: asyncio.Event | None = None
    asked: list[Utterance] = field(default_factory=list, repr=False)
    models: tuple[str, ...] = ()
    voices: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.id.upper()

    def is_ready(self) -> bool:
        return self.ready

    def voiced(self, voice: str | None, model: str | None) -> Speaker:
        return replace(self, voice=voice or self.voice)

    async def say(self, utterance: Utterance, *, timeout_s: float) -> Sound:
        self.asked.append(utterance)
        if self.hold is not None:
            await self.hold.wait()
        if self.trouble is not None:
            raise self.trouble
        said = f"{self.id}:{utterance.voice or self.voice}:{utterance.text}"
        return Sound(said.encode(), "opus" if utterance.as_note else "mp3")


def speech_in(folder: Path, *engines: Speaker, **settings: Any) -> Speech:
    files = MediaFiles(folder / "media", clock=FakeClock(), keep_s=60, max_bytes=10_000)
    made = SpeechSettings(engines=engines, **settings)
    return Speech(made, files=files, preferences=Preferences(folder / "settings" / "tts.json"))


async def said(speech: Speech, text: str = "Hi", **wish: Any) -> str:
    done = await speech.say(Wish(text, **wish))
    return await asyncio.to_thread(done.path.read_text)


async def test_the_first_that_is_ready_speaks(tmp_path: Path) -> None:
    speech = speech_in(tmp_path, Speaker("a", ready=False), Speaker("b"), Speaker("c"))
    assert await said(speech, "# *Hi*") == "b:own:Hi."


async def test_who_is_asked_first(tmp_path: Path) -> None:
    personas = (
        Persona("butler", "Butler", provider="c", voices={"c": "deep", "a": "grave"}),
        Persona("plain", "Plain"),
    )
    engines = (Speaker("a"), Speaker("b"), Speaker("c"))
    speech = speech_in(tmp_path, *engines, provider="b", personas=personas)
    assert await said(speech) == "b:own:Hi"
    speech.preferences.choose(persona="butler")
    assert await said(speech) == "c:deep:Hi"
    speech.preferences.choose(provider="a")
    assert await said(speech) == "a:grave:Hi"
    assert await said(speech, provider="b", voice="shrill") == "b:shrill:Hi"
    again = speech_in(tmp_path, *engines, persona="plain", personas=personas)
    assert again.preferences.provider == "a"
    assert again.persona() == personas[0]
    again.preferences.choose(persona="")
    assert again.persona() is None


async def test_the_next_one_speaks_in_its_own_voice(tmp_path: Path) -> None:
    broken = Speaker("a", trouble=EngineAway("A is away"))
    speech = speech_in(tmp_path, broken, Speaker("b"))
    assert await said(speech, voice="nova") == "b:own:Hi"
    assert broken.asked[0].voice == "nova"
    with pytest.raises(EngineAway, match="A is away"):
        await said(speech, provider="a")


async def test_when_nobody_can(tmp_path: Path) -> None:
    refused = Speaker("a", trouble=EngineRefused("A refuses"))
    away = Speaker("b", trouble=EngineAway("B is away"))
    with pytest.raises(EngineAway, match=r"A refuses; B is away\."):
        await said(speech_in(tmp_path, refused, away))
    with pytest.raises(EngineRefused, match="A refuses"):
        await said(speech_in(tmp_path, refused))
    with pytest.raises(NotConfigured, match="No speech provider is ready"):
        await said(speech_in(tmp_path, Speaker("a", ready=False)))
    with pytest.raises(NotConfigured, match="known: a"):
        await said(speech_in(tmp_path, Speaker("a")), provider="x")
    with pytest.raises(NotConfigured, match="A has no key"):
        await said(speech_in(tmp_path, Speaker("a", ready=False)), provider="a")


@pytest.mark.parametrize("text", ["", "```\ncode\n```", "x" * 51, "*" * 5_000])
async def test_texts_that_are_not_spoken(tmp_path: Path, text: str) -> None:
    engine = Speaker("a")
    with pytest.raises(TextRefused):
        await said(speech_in(tmp_path, engine, max_text_chars=50), text)
    assert engine.asked == []


async def test_what_was_said_lately_is_not_asked_for_again(tmp_path: Path) -> None:
    engine = Speaker("a")
    speech = speech_in(tmp_path, engine)
    first = await speech.say(Wish("Hi"))
    assert await speech.say(Wish("Hi")) == first
    assert len(engine.asked) == 1
    await asyncio.to_thread(first.path.unlink)
    await speech.say(Wish("Hi"))
    speech.obey(speech.settings)
    await speech.say(Wish("Hi"))
    await speech.say(Wish("Hi", channel="telegram"))
    assert len(engine.asked) == 4


async def test_so_many_at_once_and_no_more(tmp_path: Path) -> None:
    hold = asyncio.Event()
    engine = Speaker("a", hold=hold)
    speech = speech_in(tmp_path, engine)
    speaking = asyncio.gather(*(speech.say(Wish(f"n{n}")) for n in range(MAX_AT_ONCE + 3)))
    await eventually(lambda: len(engine.asked) == MAX_AT_ONCE)
    await asyncio.sleep(0)
    assert len(engine.asked) == MAX_AT_ONCE
    hold.set()
    assert len(await speaking) == MAX_AT_ONCE + 3


async def test_a_channel_with_voice_messages_gets_one(tmp_path: Path) -> None:
    speech = speech_in(tmp_path, Speaker("a"))
    note, file = [await speech.say(Wish("Hi", channel=name)) for name in ("telegram", "webhook")]
    assert (note.is_note, note.mime_type, note.path.suffix) == (True, "audio/ogg", ".ogg")
    assert (file.is_note, file.mime_type, file.path.suffix) == (False, "audio/mpeg", ".mp3")


def test_choices_are_kept_and_a_broken_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "settings" / "tts.json"
    chosen = Preferences(path)
    chosen.choose(auto="always")
    chosen.choose(provider="a")
    again = Preferences(path)
    assert (again.auto, again.provider, again.persona) == ("always", "a", None)
    for content in ("{", "[]", '{"tts": {"auto": "loud"}}'):
        path.write_text(content)
        assert Preferences(path).auto is None


# -- messages that go out ----------------------------------------------------------------------


ROUTE = ReplyRoute(channel="telegram", account="default", peer=Peer("direct", "ann"))


def outgoing(speech: Speech, *, heard: bool = False, timeout_s: float = 5) -> OutgoingMedia:
    async def was_heard(_run_id: str) -> bool:
        return heard

    return OutgoingMedia(
        files=speech._files, speech=speech, was_heard=was_heard, timeout_s=timeout_s
    )


@pytest.mark.parametrize(
    ("auto", "heard", "run_id", "spoken"),
    [
        ("off", True, "r", False),
        ("tagged", True, "r", False),
        ("always", False, "r", True),
        ("always", False, None, False),
        ("inbound", True, "r", True),
        ("inbound", False, "r", False),
    ],
)
async def test_which_answers_get_a_voice(
    tmp_path: Path, auto: Any, heard: bool, run_id: str | None, spoken: bool
) -> None:
    speech = speech_in(tmp_path, Speaker("a"), auto=auto)
    message = Outgoing("d", ROUTE, "Hi", (), run_id)
    prepared = await outgoing(speech, heard=heard).prepare(message)
    assert prepared.text == "Hi"
    assert [url[:22] for url in prepared.media] == (["data:audio/ogg;base64,"] if spoken else [])


async def test_a_file_of_ours_goes_out_with_its_content(tmp_path: Path) -> None:
    speech = speech_in(tmp_path, Speaker("a"))
    done = await speech.say(Wish("Hi"))
    media = (done.ref, "https://example.org/x.png")
    prepared = await outgoing(speech).prepare(Outgoing("d", ROUTE, "", media))
    assert prepared.media == ("data:audio/mpeg;base64,YTpvd246SGk=", media[1])
    gone = Outgoing("d", ROUTE, "See", ("media:" + "0" * 32 + ".mp3", media[1]))
    prepared = await outgoing(speech).prepare(gone)
    assert (prepared.media, prepared.text) == ((media[1],), f"See\n\n{MISSING}")


@pytest.mark.parametrize("trouble", [EngineAway("away"), TextRefused("no"), None])
async def test_an_answer_that_cannot_be_spoken_goes_out_as_text(
    tmp_path: Path, trouble: SpeechError | None
) -> None:
    engine = Speaker("a", trouble=trouble, hold=None if trouble else asyncio.Event())
    speech = speech_in(tmp_path, engine, auto="always")
    message = Outgoing("d", ROUTE, "Hi", (), "r")
    assert await outgoing(speech, timeout_s=0.05).prepare(message) == message
