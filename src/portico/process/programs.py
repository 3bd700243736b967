"""Running another program to its end: argument by argument, never through a shell.

Guarantees: it gets only the environment and input it is given; after `timeout_s`, on cancellation,
or when it writes more than is wanted, it and everything it started is killed; nothing of it is left
when `run_program` returns or raises. What it leaves running in its process group ends with it.

Not here: who may run what (the callers decide), programs that keep running.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from portico.tasks import Tasks

CHUNK_BYTES = 65_536
LINGER_S = 0.5
"""How long what a program has left behind may keep its output open."""


class ProgramMissing(Exception):
    """There is no such program, or it cannot be started; the text says which."""


class ProgramTooSlow(Exception):
    """It did not end in time, and was killed. It has written this much."""

    def __init__(self, message: str, stdout: bytes = b"", stderr: bytes = b"") -> None:
        super().__init__(message)
        self.stdout = stdout
        self.stderr = stderr


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    Attributes:
        code: its exit code; negative: the signal that ended it.
        is_cut: it wrote more than was wanted.
    """

    code: int
    stdout: bytes
    stderr: bytes
    is_cut: bool = False


async def run_program(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout_s: float,
    max_output_bytes: int,
    stdin: bytes = b"",
    cwd: Path | None = None,
    may_say_more: bool = False,
    on_start: Callable[[int], None] | None = None,
    on_output: Callable[[bytes], None] | None = None,
) -> Finished:
    """Run a program and return how it ended, and what it wrote.

    Args:
        argv: the program, looked up on the path of `env`, and its arguments.
        max_output_bytes: of each of its outputs.
        may_say_more: one that writes more goes on; of what it wrote, the beginning and the end are
            returned. Else it is killed.
        on_start: told the id of its process group.
        on_output: told what it writes, as it comes, of both outputs.

    Raises:
        ProgramMissing: it cannot be started.
        ProgramTooSlow: it took longer than `timeout_s`.
    """
    process = await _start(argv, env, cwd)
    running = _Running(process, max_output_bytes, on_output, may_say_more=may_say_more)
    limit = asyncio.timeout(timeout_s)
    try:
        if on_start is not None:
            on_start(process.pid)
        async with limit:
            return await running.to_its_end(stdin)
    except TimeoutError:
        message = f"{argv[0]} did not end within {timeout_s:g} s"
        raise ProgramTooSlow(message, running.out.content, running.err.content) from None
    finally:
        running.kill()
        await process.wait()


async def _start(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path | None
) -> asyncio.subprocess.Process:
    work = asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,  # so that what it starts can be killed with it
    )
    starting = Tasks(_raised_below).start(work, name="programs.start")
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # It may run already. Cancelled itself, asyncio would kill it, but not what it has started.
        starting.add_done_callback(_kill_unwanted)
        await asyncio.wait([starting])
        if starting.exception() is None:
            await starting.result().wait()
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ProgramMissing(f"{argv[0]}: {reason}") from None


def _raised_below(_name: str, _error: BaseException) -> None:
    """Whoever waits for the start hears of it."""


def _kill_unwanted(starting: asyncio.Future[asyncio.subprocess.Process]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        _kill_group(starting.result().pid)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class _Output:
    """What a program writes, as much of it as is wanted."""

    def __init__(self, most: int, *, keeps_end: bool) -> None:
        self._most = most
        self._keeps_end = keeps_end
        self._kept = bytearray()
        self.is_cut = False

    def add(self, chunk: bytes) -> None:
        self._kept += chunk
        if self._keeps_end and len(self._kept) > 2 * self._most:
            self._cut()

    def _cut(self) -> None:
        half = self._most // 2
        self._kept = self._kept[: self._most - half] + self._kept[len(self._kept) - half :]
        self.is_cut = True

    @property
    def is_full(self) -> bool:
        return len(self._kept) > self._most

    @property
    def content(self) -> bytes:
        if self.is_full:
            self._cut()
        return bytes(self._kept)

    @property
    def beginning(self) -> bytes:
        return bytes(self._kept[: self._most])


class _Running:
    """A program that runs."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        most: int,
        on_output: Callable[[bytes], None] | None,
        *,
        may_say_more: bool,
    ) -> None:
        self._process = process
        self._on_output = on_output
        self._may_say_more = may_say_more
        self._said_all = asyncio.Event()
        self._open = 2
        self.out = _Output(most, keeps_end=may_say_more)
        self.err = _Output(most, keeps_end=may_say_more)

    async def to_its_end(self, stdin: bytes) -> Finished:
        process = self._process
        await asyncio.gather(
            self._read(process.stdout, self.out),
            self._read(process.stderr, self.err),
            self._feed(stdin),
            self._see_it_out(),
        )
        code, outputs = await process.wait(), (self.out, self.err)
        if self._may_say_more:
            out, err = (output.content for output in outputs)
            return Finished(code, out, err, any(output.is_cut for output in outputs))
        is_cut = any(output.is_full for output in outputs)
        return Finished(code, self.out.beginning, self.err.beginning, is_cut)

    async def _read(self, stream: asyncio.StreamReader | None, output: _Output) -> None:
        """Read to the end; whoever writes too much is killed, which ends the stream."""
        while stream is not None and (chunk := await stream.read(CHUNK_BYTES)):
            if self._may_say_more or not output.is_full:
                output.add(chunk)
                if self._on_output is not None:
                    self._on_output(chunk)
            if output.is_full and not self._may_say_more:
                self.kill()
        self._open -= 1
        if not self._open:
            self._said_all.set()

    async def _feed(self, content: bytes) -> None:
        stdin = self._process.stdin
        if stdin is not None:
            # It does not want to read it, or has ended (of which uvloop says so).
            with contextlib.suppress(ConnectionError, RuntimeError):
                stdin.write(content)
                await stdin.drain()
            stdin.close()

    async def _see_it_out(self) -> None:
        """Once it has ended, do not wait for what it left behind with its output still open."""
        await self._process.wait()
        if await self._has_said_all():
            return
        self.kill()
        if not await self._has_said_all():  # it has left the group, too
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.feed_eof()

    async def _has_said_all(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._said_all.wait()
        return self._said_all.is_set()

    def kill(self) -> None:
        _kill_group(self._process.pid)
