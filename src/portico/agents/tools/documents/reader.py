"""Has documents read by the worker process: what goes in, what comes out, and the limits.

Guarantees: whatever a document does, a call ends within its time with its text or `Unreadable`; at
most `at_once` documents are read at the same time; nothing of a worker is left afterwards.
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from portico.agents.tools.documents import worker
from portico.agents.tools.documents.worker import Unreadable, decoded
from portico.process.programs import Finished, ProgramMissing, ProgramTooSlow, run_program

__all__ = ["Page", "Pdf", "Reader", "ReaderLimits", "Unreadable", "decoded", "page_numbers"]

MAX_PAGE_NUMBER = 100_000
_PAGES = re.compile(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?")
_EXTRA = "The operator can add it: pip install 'portico[agent]'"


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """What one document may take.

    Attributes:
        max_pages: pages of one PDF that are read in one call.
        memory_bytes: address space of the worker.
    """

    timeout_s: float = 20.0
    memory_bytes: int = 1 << 30
    max_pages: int = 50
    at_once: int = 2


@dataclass(frozen=True, slots=True)
class Page:
    """A web page as text."""

    text: str
    title: str | None = None
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Pdf:
    """Some pages of a PDF as text: (number, text)."""

    pages: tuple[tuple[int, str], ...]
    page_count: int
    title: str | None = None
    is_cut: bool = False


class _Said(msgspec.Struct, rename="camel"):
    """What the worker answers."""

    error: str | None = None
    missing: str | None = None
    text: str = ""
    title: str | None = None
    is_cut: bool = False
    page_count: int = 0
    pages: list[dict[str, Any]] = []


class Reader:
    """Reads documents."""

    def __init__(self, limits: ReaderLimits | None = None) -> None:
        self._limits = limits or ReaderLimits()
        self._free = asyncio.Semaphore(self._limits.at_once)

    async def page(
        self, body: bytes, *, url: str, charset: str, markdown: bool, max_chars: int
    ) -> Page:
        """Return what a web page says.

        Raises:
            Unreadable: it cannot be read, or not in time.
        """
        said = await self._ask(
            body, kind="html", url=url, charset=charset, markdown=markdown, maxChars=max_chars
        )
        return Page(said.text, said.title, said.is_cut)

    async def pdf(self, body: bytes, *, pages: list[int], max_chars: int) -> Pdf:
        """Return the text of a PDF's pages; of all, when none are named.

        Raises:
            Unreadable: it cannot be read, or not in time.
        """
        said = await self._ask(
            body, kind="pdf", pages=pages, maxPages=self._limits.max_pages, maxChars=max_chars
        )
        found = tuple((int(page["page"]), str(page["text"])) for page in said.pages)
        return Pdf(found, said.page_count, said.title, said.is_cut)

    async def _ask(self, body: bytes, **asked: Any) -> _Said:
        limits = self._limits
        asked |= {"memoryBytes": limits.memory_bytes, "cpuSeconds": int(limits.timeout_s) + 1}
        most = 8 * int(asked["maxChars"]) + 65_536  # JSON may need more for one character
        async with self._free:
            finished = await self._run(msgspec.json.encode(asked) + b"\n" + body, most)
        return _understood(finished)

    async def _run(self, content: bytes, max_output_bytes: int) -> Finished:
        try:
            return await run_program(
                [sys.executable, "-I", "-X", "utf8", str(Path(worker.__file__))],
                env={"LANG": "C.UTF-8"},
                timeout_s=self._limits.timeout_s,
                max_output_bytes=max_output_bytes,
                stdin=content,
            )
        except ProgramTooSlow:
            raise Unreadable("it takes too long to read") from None
        except ProgramMissing as error:
            raise Unreadable(f"the reader could not be started: {error}") from None


def _understood(finished: Finished) -> _Said:
    if finished.code != 0 or finished.is_cut:
        raise Unreadable("it takes too much to read")
    try:
        said = msgspec.json.decode(finished.stdout, type=_Said)
    except msgspec.DecodeError:
        raise Unreadable("it is damaged") from None
    if said.missing is not None:
        raise Unreadable(f"{said.error}. {_EXTRA}")
    if said.error is not None:
        raise Unreadable(said.error)
    return said


def page_numbers(text: str, *, most: int) -> list[int]:
    """Return the page numbers of `1-5,8`, in order and once.

    Raises:
        ValueError: it is no such list, or names more than `most`.
    """
    found: dict[int, None] = {}
    for piece in text.split(","):
        match = _PAGES.fullmatch(piece)
        if match is None:
            raise ValueError(f"not page numbers: {text[:80]}")
        first = int(match[1])
        last = int(match[2] or first)
        if not 1 <= first <= last <= MAX_PAGE_NUMBER or last - first >= most:
            raise ValueError(f"name at most {most} pages, such as 1-5,8")
        found |= dict.fromkeys(range(first, last + 1))
    if len(found) > most:
        raise ValueError(f"name at most {most} pages, such as 1-5,8")
    return sorted(found)
