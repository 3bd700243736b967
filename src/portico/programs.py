"""Running another program to its end: argument by argument, never through a shell.

Guarantees: it gets only the environment and input it is given; after `timeout_s`, on cancellation,
or when it writes more than is wanted, it and everything it started is killed; nothing of it is left
when `run_program` returns or raises.

Not here: who may run what (the callers decide), programs that keep running.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 65_536


class ProgramMissing(Exception):
    """There is no such program, or it cannot be started; the text says which."""


class ProgramTooSlow(Exception):
    """It did not end in time, and was killed."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    Attributes:
        code: its exit code; negative: the signal that ended it.
        is_cut: it wrote more than was wanted, and was killed.
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
) -> Finished:
    """Run a program and return how it ended, and what it wrote.

    Args:
        argv: the program, looked up on the path of `env`, and its arguments.
        max_output_bytes: of each of its outputs.

    Raises:
        ProgramMissing: it cannot be started.
        ProgramTooSlow: it took longer than `timeout_s`.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,  # so that what it starts can be killed with it
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ProgramMissing(f"{argv[0]}: {reason}") from None
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            return await _to_its_end(process, stdin, max_output_bytes)
    except TimeoutError:
        raise ProgramTooSlow(f"{argv[0]} did not end within {timeout_s:g} s") from None
    finally:
        _kill(process)
        await process.wait()


async def _to_its_end(process: asyncio.subprocess.Process, stdin: bytes, most: int) -> Finished:
    out, err, _ = await asyncio.gather(
        _read(process, process.stdout, most),
        _read(process, process.stderr, most),
        _feed(process, stdin),
    )
    code = await process.wait()
    return Finished(code, out[:most], err[:most], is_cut=max(len(out), len(err)) > most)


async def _read(
    process: asyncio.subprocess.Process, stream: asyncio.StreamReader | None, most: int
) -> bytes:
    """Read to the end; whoever writes too much is killed, which ends the stream."""
    content = bytearray()
    while stream is not None and (chunk := await stream.read(CHUNK_BYTES)):
        if len(content) <= most:
            content += chunk
        if len(content) > most:
            _kill(process)
    return bytes(content)


async def _feed(process: asyncio.subprocess.Process, content: bytes) -> None:
    if process.stdin is not None:
        # It may not want to read it; a pipe that is closed already is a RuntimeError of uvloop.
        with contextlib.suppress(ConnectionError, RuntimeError):
            process.stdin.write(content)
            await process.stdin.drain()
        process.stdin.close()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
