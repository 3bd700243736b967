"""Programs that a node host starts: each one ends with its command, or with the host.

Guarantees: a program and what it starts in its process group is killed when its time is over, when
its command is cancelled, and when the host ends, also by kill -9.
Not here: running itself (`portico.process.programs`), who may run what.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from portico.ids import new_secret
from portico.node_host import keeper
from portico.process.programs import Finished, run_program
from portico.tasks import Tasks

log = structlog.get_logger()

CLOSE_S = 5.0


class Children:
    """Starts programs, and tells the keeper of them."""

    def __init__(self) -> None:
        self._mark = new_secret(16)
        self._tasks = Tasks(_told_by_the_start)
        self._starting: asyncio.Task[None] | None = None
        self._keeper: asyncio.subprocess.Process | None = None

    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        timeout_s: float,
        max_output_bytes: int,
        stdin: bytes = b"",
        cwd: Path | None = None,
        may_say_more: bool = False,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Finished:
        """Run a program to its end, as `run_program` does.

        Raises:
            ProgramMissing: it cannot be started.
            ProgramTooSlow: it took longer than `timeout_s`.
        """
        await self._watch()
        group: list[int] = []

        def started(pid: int) -> None:
            group.append(pid)
            self._tell(f"+{pid}")

        try:
            return await run_program(
                argv,
                env={**env, keeper.MARK: self._mark},
                timeout_s=timeout_s,
                max_output_bytes=max_output_bytes,
                stdin=stdin,
                cwd=cwd,
                may_say_more=may_say_more,
                on_start=started,
                on_output=on_output,
            )
        finally:
            for pid in group:
                self._tell(f"-{pid}")

    async def close(self) -> None:
        """Let the keeper go. Programs that still run are killed by it."""
        if self._starting is not None:
            await asyncio.wait([self._starting])
        process, self._keeper = self._keeper, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await process.wait()
                return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _watch(self) -> None:
        """Start the keeper, and again when somebody has killed it."""
        if self._keeper is not None and self._keeper.returncode is None:
            return
        if self._starting is None or self._starting.done():
            self._starting = self._tasks.start(self._start(), name="node_host.keeper")
        await asyncio.shield(self._starting)  # others wait for it, too

    async def _start(self) -> None:
        self._keeper = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", os.fspath(keeper.__file__)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            start_new_session=True,  # what ends our terminal's group must not end it first
        )
        self._tell(f"={self._mark}")

    def _tell(self, line: str) -> None:
        if self._keeper is None or self._keeper.stdin is None:
            return
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._keeper.stdin.write(f"{line}\n".encode())


def _told_by_the_start(_name: str, _error: BaseException) -> None:
    """Whoever waits for the keeper hears of it."""
