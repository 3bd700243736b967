"""`portico chat`: a conversation, line by line, on a terminal or through a pipe.

On a terminal, lines are taken while an answer is being written (`/stop` works, a message waits in
the gateway's queue). Through a pipe each line waits for the answer to the one before.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from typing import Any, Final

from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode
from portico.cli.output import note
from portico.cli.streaming import Answer, AnswerPrinter, JsonAnswer
from portico.cli.target import connected
from portico.client import ClientError, Event, Gap, GatewayClient, Refused
from portico.client.messages import text_of
from portico.ids import new_uuid
from portico.tasks import Tasks

_HELP: Final = """\
/new            start the session afresh
/session KEY    go on in another session
/stop           stop the answer that is being written
/quit           leave (also Ctrl-D, or Ctrl-C twice)"""
_WAIT_STEP_MS: Final = 25_000


@command("chat")
async def chat(*, session: str = "main", to: Remote = THERE) -> int:
    r"""Chat with an agent in the terminal.

    Each line is one message; `/help` lists the commands. Ctrl-C stops the answer that is being
    written, twice leaves. Works through a pipe as well; with --json each answer is one line of
    JSON.

    Args:
        session: The session's key. [default: main]

    Examples:
        portico chat
        portico chat --session agent:main:ideas
        printf 'Hello\nAnd again\n' | portico chat
    """
    async with connected(to, reconnect=True) as client:
        conversation = Conversation(client, session, timeout_s=to.timeout_s, as_json=to.json)
        return await conversation.run()


class Conversation:
    """One chat: lines in, answers out."""

    def __init__(
        self, client: GatewayClient, session: str, *, timeout_s: float, as_json: bool
    ) -> None:
        self._client = client
        self._session = session
        self._timeout_s = timeout_s
        self._as_json = as_json
        self._answers: dict[str, Answer] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1000)
        self._is_terminal = sys.stdin.isatty()
        self._interrupted = False
        self._ended: BaseException | None = None
        self._tasks = Tasks(self._failed)

    async def run(self) -> int:
        """Chat until the input ends or the person leaves."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=_read_lines, args=(loop, self._lines), daemon=True).start()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        self._tasks.start(self._follow(), name="chat.follow")
        try:
            if self._is_terminal:
                note(f"Session {self._session}. /help lists the commands.")
            await self._converse()
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            await self._tasks.stop()
        if self._ended is not None:
            raise self._ended
        return ExitCode.OK

    async def _converse(self) -> None:
        while True:
            self._prompt()
            line = await self._lines.get()
            if line is None:
                await self._idle.wait()
                return
            self._interrupted = False
            if not await self._line(line.strip()):
                return
            if not self._is_terminal:
                await self._idle.wait()

    def _prompt(self) -> None:
        if self._is_terminal and self._idle.is_set():
            print("> ", end="", file=sys.stderr, flush=True)

    async def _line(self, line: str) -> bool:
        """Handle one line; `False` means leave."""
        word, _, rest = line.partition(" ")
        try:
            match word:
                case "":
                    pass
                case "/quit" | "/exit":
                    return False
                case "/help":
                    note(_HELP)
                case "/stop":
                    await self._stop()
                case "/new":
                    await self._request("sessions.reset", {"key": self._session, "reason": "new"})
                    note("(a new conversation)")
                case "/session" if rest:
                    self._session = rest.strip()
                    note(f"(session {self._session})")
                case _:
                    await self._send(line)
        except Refused as refused:
            note(f"(refused: {refused})")
        return True

    async def _request(self, method: str, params: dict[str, Any]) -> Any:
        return await self._client.request(method, params, timeout_s=self._timeout_s)

    async def _send(self, text: str) -> None:
        run_id = new_uuid()
        printer = JsonAnswer(run_id, self._session) if self._as_json else AnswerPrinter()
        self._answers[run_id] = printer
        self._idle.clear()
        params = {"sessionKey": self._session, "message": text, "idempotencyKey": run_id}
        try:
            answer = await self._request("chat.send", params)
        except ClientError:
            self._end(run_id)
            raise
        if "runId" not in answer:  # a command of the gateway, answered at once
            self._end(run_id)

    async def _stop(self) -> None:
        await self._request("chat.abort", {"sessionKey": self._session})

    def _end(self, run_id: str) -> None:
        self._answers.pop(run_id, None)
        if not self._answers:
            self._idle.set()
            self._prompt()

    async def _follow(self) -> None:
        async for event in self._client.events():
            if isinstance(event, Gap):
                for run_id in list(self._answers):
                    self._tasks.start(self._catch_up(run_id), name="chat.catch_up")
            elif event.name == "chat":
                self._take(event)

    def _take(self, event: Event) -> None:
        run_id = event.payload.get("runId", "")
        printer = self._answers.get(run_id)
        if printer is not None and printer.take(event.payload):
            self._end(run_id)

    async def _catch_up(self, run_id: str) -> None:
        """After missing events: wait for the run's end and show what was written."""
        waiting = {"runId": run_id, "timeoutMs": _WAIT_STEP_MS}
        done = {"status": "timeout"}
        while done.get("status") in {"timeout", "pending"} and "endedAt" not in done:
            if run_id not in self._answers:
                return
            limit_s = _WAIT_STEP_MS / 1000 + self._timeout_s
            done = await self._client.request("agent.wait", waiting, timeout_s=limit_s)
        history = await self._request("chat.history", {"sessionKey": self._session, "limit": 1})
        printer = self._answers.get(run_id)
        if printer is not None:
            for message in history["messages"][-1:]:
                printer.finish(text_of(message))
            self._end(run_id)

    def _interrupt(self) -> None:
        if self._interrupted:
            self._lines_end()
            return
        self._interrupted = True
        if self._answers:
            self._tasks.start(self._stop(), name="chat.stop")
        else:
            note("\n(Ctrl-C again to leave)")

    def _lines_end(self) -> None:
        self._answers.clear()
        self._idle.set()
        while not self._lines.empty():
            self._lines.get_nowait()
        self._lines.put_nowait(None)

    def _failed(self, name: str, error: BaseException) -> None:
        if name == "chat.follow":
            self._ended = error
            self._lines_end()
        else:
            note(f"(failed: {error})")


def _read_lines(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[str | None]) -> None:
    """Feed stdin into the queue; a thread, because files and terminals cannot be awaited alike."""
    try:
        for line in sys.stdin:
            asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
        asyncio.run_coroutine_threadsafe(lines.put(None), loop).result()
    except RuntimeError:
        return  # the chat is over and its loop closed
