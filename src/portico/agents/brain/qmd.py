"""Asking qmd, a search program for Markdown, when it is installed.

Guarantees: it is run without a shell, its words are never taken for options, and it has nothing of
the gateway's environment but what a program of the person's would have; whatever it answers, the
end is a list of passages or `QmdFailed`.

Source: qmd 2.8, `qmd search`, `qmd get`, `qmd update` (github.com/tobi/qmd).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from portico.agents.brain.model import BrainConfig, NoteFound
from portico.clock import Clock
from portico.process.programs import ProgramMissing, ProgramTooSlow, run_program

log = structlog.get_logger()

PROGRAM = "qmd"
SEARCH_S = 60.0
UPDATE_S = 30.0
UPDATED_FOR_S = 300.0
MAX_OUTPUT_BYTES = 1_000_000
SNIPPET_CHARS = 1_200
_PASSED_ON = ("PATH", "HOME", "LANG", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
_PLACE = re.compile(r"\A@@[^\n]*@@[^\n]*\n+")
_DOCID = re.compile(r"#[0-9a-f]{6,64}")


class QmdFailed(Exception):
    """It did not answer; the text says why, for the log."""


class _Hit(msgspec.Struct, frozen=True):
    file: str
    line: int = 1
    snippet: str = ""
    title: str | None = None
    docid: str | None = None
    score: float | None = None


class Qmd:
    """Runs qmd.

    Args:
        env: the gateway's environment, of which it gets a part.
    """

    def __init__(self, *, env: Mapping[str, str], clock: Clock) -> None:
        self._env = {name: env[name] for name in _PASSED_ON if name in env}
        self._clock = clock
        self._updated_s: dict[str, float] = {}

    def program(self) -> str | None:
        """Return where it is; `None`: it is not installed."""
        return shutil.which(PROGRAM, path=self._env.get("PATH"))

    async def search(self, config: BrainConfig, query: str, most: int) -> list[NoteFound]:
        """Return the passages that fit a question.

        Raises:
            QmdFailed: it did not answer.
        """
        collection = config.collection or ""
        await self._update(collection)
        args = (config.mode, "--json", "-n", str(most), "-c", collection, "--", query)
        said = await self._run(args, SEARCH_S)
        try:
            hits = msgspec.json.decode(said, type=list[_Hit])
        except msgspec.MsgspecError as error:
            raise QmdFailed(f"it answered no list of passages: {error}") from None
        return [_found(hit, collection) for hit in hits[:most]]

    async def get(self, name: str) -> str:
        """Return a note by qmd's name of it.

        Raises:
            QmdFailed: it has none of that name.
        """
        if not _DOCID.fullmatch(name):
            raise QmdFailed(f"{name[:40]!r} is no name of qmd's")
        return (await self._run(("get", "--", name), SEARCH_S)).decode(errors="replace")

    async def _update(self, collection: str) -> None:
        """Let it look for notes that are new; a search of what it knows is better than none."""
        now_s = self._clock.monotonic_s()
        if now_s - self._updated_s.get(collection, -UPDATED_FOR_S) < UPDATED_FOR_S:
            return
        self._updated_s = {collection: now_s}
        try:
            await self._run(("update",), UPDATE_S)
        except QmdFailed as error:
            log.warning("qmd.not_updated", error=str(error))

    async def _run(self, args: Sequence[str], timeout_s: float) -> bytes:
        program = self.program()
        if program is None:
            raise QmdFailed("it is not installed")
        try:
            done = await run_program(
                (program, *args),
                env=self._env,
                timeout_s=timeout_s,
                max_output_bytes=MAX_OUTPUT_BYTES,
            )
        except (ProgramMissing, ProgramTooSlow) as error:
            raise QmdFailed(str(error)) from None
        if done.code != 0 or done.is_cut:
            said = done.stderr.decode(errors="replace").strip()[:300]
            raise QmdFailed(f"{args[0]} ended with {done.code}: {said}")
        return done.stdout


def _found(hit: _Hit, collection: str) -> NoteFound:
    path = hit.file.removeprefix("qmd://").removeprefix(f"{collection}/")
    return NoteFound(
        path=path,
        line=hit.line,
        snippet=_PLACE.sub("", hit.snippet).strip()[:SNIPPET_CHARS],
        title=hit.title,
        docid=hit.docid,
        score=hit.score,
    )
