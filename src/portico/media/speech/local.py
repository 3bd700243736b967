"""An engine that is a program of this machine: espeak-ng, or one the operator names.

Guarantees: no shell; the text comes in through standard input, or as one argument that cannot be
taken for an option; the program has the gateway's path and home and nothing else of its
environment, and is killed when its time is up.

Source: espeak-ng(1); OpenClaw, "Text-to-speech", provider `tts-local-cli` for `{{Text}}` and
`{{OutputPath}}`.
"""

from __future__ import annotations

import asyncio
import shutil
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from portico.media.speech.model import (
    EngineAway,
    EngineRefused,
    Format,
    Sound,
    Utterance,
)
from portico.media.speech.web import MAX_SOUND_BYTES
from portico.process.programs import Finished, ProgramMissing, ProgramTooSlow, run_program

log = structlog.get_logger()

KNOWN = ("espeak-ng", "espeak")
_TEXT, _OUTPUT, _VOICE = "{{Text}}", "{{OutputPath}}", "{{Voice}}"


@dataclass(frozen=True, slots=True)
class LocalSpeech:
    """Speaks with a program.

    Attributes:
        command: unset: espeak-ng or espeak, whichever is there.
        args: of a command of one's own; without `{{OutputPath}}` the sound is what it writes.
        format: what the command makes.
    """

    id: str = "tts-local-cli"
    label: str = "Local program"
    command: str | None = None
    args: tuple[str, ...] = ()
    voice: str | None = None
    speed: float | None = None
    format: Format = "wav"
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    models: tuple[str, ...] = ()
    voices: tuple[str, ...] = ()

    def is_ready(self) -> bool:
        """Whether the program is there."""
        return self._program() is not None

    def voiced(self, voice: str | None, model: str | None) -> LocalSpeech:
        """Return it with another voice as its own; it has no models."""
        return replace(self, voice=voice or self.voice)

    async def say(self, utterance: Utterance, *, timeout_s: float) -> Sound:
        """Speak; as a voice message too it is what the program makes."""
        program = self._program()
        if program is None:
            raise EngineRefused("there is no speech program on this machine; install espeak-ng")
        voice = utterance.voice or self.voice
        if self.command is None:
            return await self._espeak(program, utterance.text, voice, timeout_s)
        with tempfile.TemporaryDirectory(prefix="portico-speech-") as folder:
            path = Path(folder) / f"sound.{self.format}"
            args = [_filled(arg, utterance.text, path, voice) for arg in self.args]
            stdin = b"" if any(_TEXT in arg for arg in self.args) else utterance.text.encode()
            done = await self._run([program, *args], stdin, timeout_s)
            has_file = any(_OUTPUT in arg for arg in self.args)
            content = await asyncio.to_thread(_content, path) if has_file else done.stdout
        return self._sound(content, self.format)

    async def _espeak(self, program: str, text: str, voice: str | None, timeout_s: float) -> Sound:
        args = ["--stdin", "--stdout"]
        if voice is not None:
            if voice.startswith("-") or not voice.replace("-", "").replace("+", "").isalnum():
                raise EngineRefused(f"{voice[:40]!r} is no voice of {program}")
            args += ["-v", voice]
        if self.speed is not None:
            args += ["-s", str(round(175 * self.speed))]  # words a minute
        done = await self._run([program, *args], text.encode(), timeout_s)
        return self._sound(with_true_sizes(done.stdout), "wav")

    async def _run(self, argv: list[str], stdin: bytes, timeout_s: float) -> Finished:
        env = {name: self.env[name] for name in ("PATH", "HOME", "LANG") if name in self.env}
        try:
            done = await run_program(
                argv, env=env, stdin=stdin, timeout_s=timeout_s, max_output_bytes=MAX_SOUND_BYTES
            )
        except ProgramMissing as error:
            raise EngineRefused(f"the speech program cannot be started: {error}") from None
        except ProgramTooSlow:
            raise EngineAway(f"the speech program took longer than {timeout_s:g} s") from None
        if done.code != 0 or done.is_cut:
            said = done.stderr.decode(errors="replace")[:2_000]
            log.warning("speech.program_failed", program=argv[0], code=done.code, said=said)
            raise EngineRefused(f"the speech program failed ({done.code})")
        return done

    def _sound(self, content: bytes, wanted: Format) -> Sound:
        if not content:
            raise EngineRefused("the speech program made no sound")
        return Sound(content, wanted)

    def _program(self) -> str | None:
        path = self.env.get("PATH")
        names = (self.command,) if self.command is not None else KNOWN
        return next((found for name in names if (found := shutil.which(name, path=path))), None)


def with_true_sizes(wav: bytes) -> bytes:
    """Return a WAV that was written to a pipe with its sizes set: they were not known then."""
    if wav[:4] != b"RIFF" or wav[8:12] != b"WAVE":
        return wav
    made = bytearray(wav)
    made[4:8] = struct.pack("<I", len(wav) - 8)
    at = 12
    while at + 8 <= len(wav):
        (size,) = struct.unpack_from("<I", wav, at + 4)
        if wav[at : at + 4] == b"data":
            made[at + 4 : at + 8] = struct.pack("<I", len(wav) - at - 8)
            break
        at += 8 + size + size % 2
    return bytes(made)


def _filled(arg: str, text: str, path: Path, voice: str | None) -> str:
    if arg.startswith(_TEXT) and text.startswith("-"):
        text = f" {text}"  # not an option
    return arg.replace(_OUTPUT, str(path)).replace(_VOICE, voice or "").replace(_TEXT, text)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SOUND_BYTES + 1)
    except OSError:
        return b""
    return content if len(content) <= MAX_SOUND_BYTES else b""
