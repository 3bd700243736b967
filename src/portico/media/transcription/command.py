"""An engine that is a program of this machine, such as whisper.cpp's `whisper-cli`.

Guarantees: no shell; the sound lies in a folder of its own under a name of ours, which is deleted
afterwards; the program has the gateway's path and home and nothing else of its environment, and is
killed when its time is up.

Source: OpenClaw, "Audio and voice notes", entries of type `cli` for `{{MediaPath}}` and the others.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from portico.media.transcription.model import NotHeard, Recording
from portico.process.programs import ProgramMissing, ProgramTooSlow, run_program

log = structlog.get_logger()

MAX_TEXT_BYTES = 1_000_000
_SOUND = "{{MediaPath}}"


@dataclass(frozen=True, slots=True)
class CommandListening:
    """Listens with a program.

    Attributes:
        args: `{{MediaPath}}`, `{{MediaDir}}`, `{{OutputDir}}`, `{{OutputBase}}`, `{{Language}}` and
            `{{Prompt}}` are filled in. Without `{{MediaPath}}` the sound is its input.
    """

    id: str
    command: str
    args: tuple[str, ...] = ()
    language: str | None = None
    prompt: str | None = None
    max_bytes: int = 20_000_000
    timeout_s: float = 60.0
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    async def listen(self, recording: Recording) -> str:
        """Return what it writes: a text file where it was told to, else its output."""
        with tempfile.TemporaryDirectory(prefix="portico-listen-") as name:
            folder = Path(name)
            sound, out = folder / recording.file_name, folder / "out"
            await asyncio.to_thread(out.mkdir)
            await asyncio.to_thread(sound.write_bytes, recording.content)
            has_file = any(_SOUND in arg for arg in self.args)
            stdin = b"" if has_file else recording.content
            said = await self._run([self.command, *self._filled(sound, out)], stdin)
            written = await asyncio.to_thread(_written, out)
        return (said if written is None else written).decode(errors="replace").strip()

    def _filled(self, sound: Path, out: Path) -> list[str]:
        values = {
            _SOUND: str(sound),
            "{{MediaDir}}": str(sound.parent),
            "{{OutputDir}}": str(out),
            "{{OutputBase}}": str(out / "sound"),
            "{{Language}}": self.language or "",
            "{{Prompt}}": self.prompt or "",
        }
        filled = []
        for given in self.args:
            arg = given
            for name, value in values.items():
                arg = arg.replace(name, value)
            filled.append(arg)
        return filled

    async def _run(self, argv: list[str], stdin: bytes) -> bytes:
        env = {name: self.env[name] for name in ("PATH", "HOME", "LANG") if name in self.env}
        try:
            done = await run_program(
                argv,
                env=env,
                stdin=stdin,
                timeout_s=self.timeout_s,
                max_output_bytes=MAX_TEXT_BYTES,
            )
        except ProgramMissing as error:
            raise NotHeard(f"{self.id} cannot be started: {error}") from None
        except ProgramTooSlow:
            message = f"{self.id} took longer than {self.timeout_s:g} s"
            raise NotHeard(message, is_away=True) from None
        if done.code != 0 or done.is_cut:
            said = done.stderr.decode(errors="replace")[-2_000:]
            log.warning("media.program_failed", engine=self.id, code=done.code, said=said)
            raise NotHeard(f"{self.id} failed ({done.code})")
        return done.stdout


def _written(folder: Path) -> bytes | None:
    """Return the text file a program has left; `None`: it has left none."""
    for path in sorted(folder.glob("*.txt")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                return file.read(MAX_TEXT_BYTES)
    return None
