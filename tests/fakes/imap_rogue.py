"""An IMAP server that says what a test wants it to say: for faults no real server shows.

It answers the commands a client needs to come in by itself; what `said` holds for a command comes
in place of that. `{tag}` stands for the command's tag.
"""

from __future__ import annotations

import asyncio
from typing import Self

GREETING = b"* OK [CAPABILITY IMAP4rev1] hello\r\n"
SELECTED = b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 11] ok\r\n{tag} OK done\r\n"
ANSWERS = {
    "CAPABILITY": b"* CAPABILITY IMAP4rev1 IDLE MOVE\r\n{tag} OK done\r\n",
    "SELECT": SELECTED,
    "IDLE": b"+ idling\r\n",
}


class Rogue:
    """One server.

    Attributes:
        said: what to answer, by command; `None`: nothing, and hang up.
        heard: every line that came.
    """

    def __init__(self, **said: bytes | None) -> None:
        self.said: dict[str, bytes | None] = dict(said)
        self.heard: list[bytes] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in [*self._tasks]:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._talk(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(self.said.get("GREETING", GREETING) or b"")
            while line := await reader.readline():
                self.heard.append(line.rstrip(b"\r\n"))
                answer = self._answer_to(line)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def _answer_to(self, line: bytes) -> bytes | None:
        tag, _, rest = line.strip().partition(b" ")
        words = rest.upper().split(b" ")
        name = (words[1] if words[:1] == [b"UID"] else words[0]).decode("ascii", "replace")
        if not rest:  # DONE, or the rest of a command
            name, tag = "DONE", next(t for t in reversed(self._tags()) if t)
        answer = self.said.get(name, ANSWERS.get(name, b"{tag} OK done\r\n"))
        return None if answer is None else answer.replace(b"{tag}", tag)

    def _tags(self) -> list[bytes]:
        return [line.partition(b" ")[0] for line in self.heard if b" " in line]
