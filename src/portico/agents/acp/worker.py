"""One program that answers one conversation: started, shaken hands with, ended.

Guarantees: `open` and `close` take no longer than they are told; whatever fails, nothing of the
program is left.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

import structlog

from portico.agents.acp.pipes import MAX_LINE_BYTES, Pipes
from portico.agents.acp.program import TERMINATE_S, Program, start_program
from portico.agents.acp.settings import AcpSettings
from portico.agents.acp.troubles import AcpTrouble, Silent, Unstartable
from portico.clock import Clock
from portico.tasks import Tasks

if TYPE_CHECKING:
    from portico.agents.acp.client import AcpClient

log = structlog.get_logger()

IMPATIENCE_S = 0.2
"""For a program that has failed: it has had its time."""
NOT_INSTALLED = "install it with: pip install 'portico[acp]'"


class Worker:
    """A program and the connection to it."""

    def __init__(self, program: Program, pipes: Pipes, client: AcpClient, clock: Clock) -> None:
        self.program = program
        self.client = client
        self._pipes = pipes
        self._clock = clock
        self._heard_s = clock.monotonic_s()
        pipes.heard = self._heard

    @property
    def is_fit(self) -> bool:
        """Whether it can be asked."""
        return self.program.is_running and self._pipes.is_open

    @property
    def silent_s(self) -> float:
        """How long it has said nothing."""
        return self._clock.monotonic_s() - self._heard_s

    def _heard(self) -> None:
        self._heard_s = self._clock.monotonic_s()

    async def close(self, *, patience_s: float = TERMINATE_S) -> None:
        """End the connection and the program. Safe to call twice."""
        try:
            await self.client.close()
        except Exception as error:  # noqa: BLE001 - the library's tasks end as they like
            log.debug("acp.close_failed", error=repr(error))
        finally:
            code = await self.program.end(patience_s=patience_s)
            log.info("acp.ended", pid=self.program.process.pid, exit_code=code)


async def open_worker(settings: AcpSettings, *, tasks: Tasks, clock: Clock) -> Worker:
    """Start a program and shake hands with it.

    Raises:
        Unstartable: it is not there, is too slow, or does not speak the protocol.
    """
    protocol = await _protocol()
    program = await start_program(settings, tasks, line_bytes=MAX_LINE_BYTES)
    reader, writer = program.process.stdout, program.process.stdin
    assert reader is not None  # noqa: S101 - both are pipes
    assert writer is not None  # noqa: S101
    pipes = Pipes(reader, writer)
    worker = Worker(program, pipes, protocol.AcpClient(pipes, settings), clock)

    def end() -> None:  # what waits for it is told by the end of its pipes
        tasks.start(program.end(patience_s=0), name="acp.end")

    pipes.broken = end
    try:
        async with asyncio.timeout(settings.startup_s):
            await worker.client.initialize()
    except (AcpTrouble, TimeoutError) as error:
        await worker.close(patience_s=IMPATIENCE_S)
        raise _unstartable(error, settings, program) from error
    except BaseException:
        tasks.start(worker.close(), name="acp.close")
        raise
    return worker


async def _protocol() -> Any:
    try:
        return await asyncio.to_thread(importlib.import_module, "portico.agents.acp.client")
    except ImportError as error:
        raise Unstartable(f"{error}; {NOT_INSTALLED}") from error


def _unstartable(
    error: AcpTrouble | TimeoutError, settings: AcpSettings, program: Program
) -> AcpTrouble:
    detail = (
        error.detail or type(error).__name__
        if isinstance(error, AcpTrouble)
        else f"no handshake within {settings.startup_s:g} s"
    )
    code, words = program.process.returncode, program.last_words()
    whole = f"{settings.command[0]}: {detail}; exit code {code}; it said: {words or 'nothing'}"
    if isinstance(error, AcpTrouble) and not error.is_program:
        return Unstartable(whole, error.message)
    return Unstartable(whole)


def silent(worker: Worker) -> Silent:
    """Return the trouble of a program that says nothing."""
    return Silent(f"nothing heard for {worker.silent_s:.0f} s")
