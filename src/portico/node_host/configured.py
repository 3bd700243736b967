"""Commands that a program of this machine carries out, as its configuration says.

Theory of operation: the parameters go to the program as JSON on stdin, and into the places of its
arguments that the configuration left for them. A value stays one word, whatever is in it; one that
would begin a word with `-` is refused, so that no value becomes an option.

Guarantees: no shell; a bounded answer; the program ends with its time, with a cancel and with this
host; a file it wrote is gone afterwards.

Source: OpenClaw docs, "Camera", "Location command" (payloads).
"""

from __future__ import annotations

import asyncio
import base64
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from portico import filetypes
from portico.config.sections.node_host import NodeCommand
from portico.node_host.children import Children
from portico.node_host.model import CommandError, Invoked
from portico.process.programs import Finished, ProgramMissing, ProgramTooSlow

MAX_VALUE_CHARS: Final = 4_096
MAX_COMPLAINT_CHARS: Final = 500
OUTPUT: Final = "output"
_PLACE = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*)(?::([^{}]*))?\}")
_EXTENSION = re.compile(r"[A-Za-z0-9]{1,8}")
_FORMATS: Final[Mapping[str, str]] = {
    "image/jpeg": "jpg",
    "image/svg+xml": "svg",
    "audio/mpeg": "mp3",
    "text/plain": "txt",
    "application/octet-stream": "bin",
}


class ConfiguredCommand:
    """One such command.

    Args:
        env: what its program gets.
        work: where its program may write; the folders in it are gone when they are not needed.
    """

    def __init__(
        self, spec: NodeCommand, *, children: Children, env: Mapping[str, str], work: Path
    ) -> None:
        self._spec = spec
        self._children = children
        self._env = env
        self._work = work

    async def __call__(self, invoked: Invoked) -> Any:
        """Run the program and return what it says.

        Raises:
            CommandError: the parameters do not fit, or the program failed.
        """
        folder = await asyncio.to_thread(self._folder)
        try:
            argv, file = fill(self._spec.run, invoked.params, folder)
            finished = await self._run(argv, invoked)
            return await asyncio.to_thread(self._answer, finished, file)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _folder(self) -> Path:
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Path(tempfile.mkdtemp(dir=self._work))

    async def _run(self, argv: list[str], invoked: Invoked) -> Finished:
        own_s = self._spec.timeout_ms / 1000
        try:
            finished = await self._children.run(
                argv,
                env=self._env,
                timeout_s=min(own_s, invoked.timeout_s or own_s),
                max_output_bytes=self._spec.max_bytes,
                stdin=msgspec.json.encode(invoked.params),
            )
        except ProgramMissing as error:
            raise CommandError("UNAVAILABLE", str(error)) from None
        except ProgramTooSlow as error:
            raise CommandError("TIMEOUT", str(error)) from None
        if finished.is_cut:
            raise CommandError(
                "PAYLOAD_TOO_LARGE", f"it wrote more than {self._spec.max_bytes} bytes"
            )
        if finished.code != 0:
            said = (finished.stderr or finished.stdout).decode(errors="replace").strip()
            complaint = said[-MAX_COMPLAINT_CHARS:] or f"exit code {finished.code}"
            raise CommandError("COMMAND_FAILED", f"{Path(argv[0]).name}: {complaint}")
        return finished

    def _answer(self, finished: Finished, file: Path | None) -> Any:
        if self._spec.output == "text":
            return {"text": finished.stdout.decode(errors="replace")}
        if self._spec.output == "json":
            return _json(finished.stdout)
        if file is None:
            return _file(finished.stdout, "")
        said = _members(finished.stdout)
        return said | _file(self._read(file), file.suffix)

    def _read(self, file: Path) -> bytes:
        try:
            with file.open("rb") as opened:
                content = opened.read(self._spec.max_bytes + 1)
        except OSError:
            raise CommandError("COMMAND_FAILED", "it wrote no file") from None
        if len(content) > self._spec.max_bytes:
            raise CommandError(
                "PAYLOAD_TOO_LARGE", f"it wrote more than {self._spec.max_bytes} bytes"
            )
        return content


def fill(
    words: tuple[str, ...], params: Mapping[str, Any], folder: Path
) -> tuple[list[str], Path | None]:
    """Return the words with the parameters in their places, and the file to be written, if any.

    Raises:
        CommandError: a parameter is missing, or cannot stand there.
    """
    file: Path | None = None

    def value(found: re.Match[str]) -> str:
        nonlocal file
        name, default = found[1], found[2]
        if name == OUTPUT:
            suffix = f".{default}" if default and _EXTENSION.fullmatch(default) else ""
            file = folder / f"output{suffix}"
            return str(file)
        text = _text(name, params.get(name), default)
        if found.start() == 0 and text.startswith("-"):
            raise CommandError("INVALID_REQUEST", f"INVALID_REQUEST: {name} cannot begin with -")
        return text

    return [_PLACE.sub(value, word) for word in words], file


def _text(name: str, value: Any, default: str | None) -> str:
    if value is None:
        value = default
    if value is None:
        raise CommandError("INVALID_REQUEST", f"INVALID_REQUEST: {name} is missing")
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)):
        raise CommandError("INVALID_REQUEST", f"INVALID_REQUEST: {name} must be text or a number")
    text = str(value)
    if "\0" in text or len(text) > MAX_VALUE_CHARS:
        raise CommandError("INVALID_REQUEST", f"INVALID_REQUEST: {name} cannot be used")
    return text


def _json(written: bytes) -> Any:
    if not written.strip():
        return {"ok": True}
    try:
        return msgspec.json.decode(written)
    except (msgspec.DecodeError, UnicodeError):
        raise CommandError("COMMAND_FAILED", "its answer is not JSON") from None


def _members(written: bytes) -> dict[str, Any]:
    """Return what the program says of its file, such as width and height."""
    try:
        said = msgspec.json.decode(written)
    except (msgspec.DecodeError, UnicodeError):
        return {}
    return said if isinstance(said, dict) else {}


def _file(content: bytes, suffix: str) -> dict[str, Any]:
    if not content:
        raise CommandError("COMMAND_FAILED", "it wrote nothing")
    mime_type = filetypes.verified(content, None)
    guessed = _FORMATS.get(mime_type, mime_type.rpartition("/")[2])
    return {
        "format": suffix.lstrip(".").lower() or guessed,
        "mimeType": mime_type,
        "size": len(content),
        "base64": base64.b64encode(content).decode(),
    }
