"""A program on the other end of two pipes: started in a group of its own, ended with all of it.

Guarantees: what it writes to its error output is drained for ever and its end kept; after `end` no
process of its group is left, whatever it ignored; the group is named by its id, never by a name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import structlog

from portico.agents.acp.launch import find_program, tied
from portico.agents.acp.settings import AcpSettings
from portico.agents.acp.troubles import Unstartable
from portico.tasks import Tasks

log = structlog.get_logger()

KEPT_ERROR_BYTES = 8_192
READ_BYTES = 65_536
TERMINATE_S = 2.0
REAP_S = 5.0


class Program:
    """One running program. Its pipes are `process.stdin` and `process.stdout`."""

    def __init__(self, process: asyncio.subprocess.Process, tasks: Tasks) -> None:
        self.process = process
        self._group = process.pid  # it leads a session, and so a group, of its own
        self._errors = bytearray()
        self._draining = tasks.start(self._drain(), name=f"acp.stderr:{process.pid}")
        self._ending = asyncio.Lock()
        self._has_ended = False

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.returncode is None

    def last_words(self) -> str:
        """Return the end of what it wrote to its error output; the log masks secrets."""
        return bytes(self._errors).decode("utf-8", "replace").strip()

    async def end(self, *, patience_s: float = TERMINATE_S) -> int | None:
        """End it and everything it started; return its exit code. Safe to call twice.

        Args:
            patience_s: how long it may take to end by itself, and again after being asked to.
        """
        async with self._ending:
            if not self._has_ended:
                self._has_ended = True
                try:
                    await self._ask_to_end(patience_s)
                finally:  # also when nobody waits any more; and what it left behind in its group
                    self._signal(signal.SIGKILL)
                await self._exits_within(REAP_S)
                self._draining.cancel()
                self._close_pipes()
        return self.process.returncode

    async def _ask_to_end(self, patience_s: float) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        if not await self._exits_within(patience_s):
            self._signal(signal.SIGTERM)
            await self._exits_within(patience_s)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group, number)

    async def _exits_within(self, limit_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self.process.wait()
        return not self.is_running

    def _close_pipes(self) -> None:
        # A grandchild that left the group may hold the other ends open for ever.
        transport = getattr(self.process, "_transport", None)
        if transport is not None:
            transport.close()

    async def _drain(self) -> None:
        errors = self.process.stderr
        while errors is not None and (piece := await errors.read(READ_BYTES)):
            self._errors += piece
            del self._errors[:-KEPT_ERROR_BYTES]


async def start_program(settings: AcpSettings, tasks: Tasks, *, line_bytes: int) -> Program:
    """Start the agent's program.

    Args:
        line_bytes: the longest line that can be read from it.

    Raises:
        Unstartable: it is not there, or cannot be run.
    """
    if settings.makes_cwd:
        await asyncio.to_thread(Path(settings.cwd).mkdir, parents=True, exist_ok=True)
    try:
        process = await asyncio.create_subprocess_exec(
            *await asyncio.to_thread(_argv, settings),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=settings.cwd,
            env=dict(settings.env),
            limit=line_bytes,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise Unstartable(f"{settings.command[0]}: {error}") from error
    log.info("acp.started", program=settings.command[0], pid=process.pid)
    return Program(process, tasks)


def _argv(settings: AcpSettings) -> list[str]:
    command, *arguments = settings.command
    program = find_program(command, cwd=settings.cwd, path=settings.env.get("PATH"))
    if program is None:
        raise Unstartable(f"{command}: there is no such program, or it cannot be run")
    return tied([program, *arguments])
