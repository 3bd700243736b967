from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.agents.acp.pipes import MAX_JUNK_LINES, Pipes


class Sink:
    """Takes what is written, or breaks."""

    def __init__(self, error: Exception | None = None) -> None:
        self.written = bytearray()
        self.error = error

    def write(self, data: bytes) -> None:
        self.written += data

    async def drain(self) -> None:
        if self.error is not None:
            raise self.error


def pipes(
    *lines: bytes, limit: int = 1_000, sink: Sink | None = None
) -> tuple[Pipes, list[str | None]]:
    reader = asyncio.StreamReader(limit=limit)
    for line in lines:
        reader.feed_data(line + b"\n")
    reader.feed_eof()
    made = Pipes(reader, sink or Sink())  # type: ignore[arg-type]  # two methods of a writer
    broken: list[str | None] = []
    made.broken = lambda: broken.append(made.trouble)
    return made, broken


async def received(source: Pipes) -> list[dict[str, Any]]:
    found = []
    while (message := await source.receive()) is not None:
        found.append(message)
    return found


async def test_what_is_no_message_is_passed_over() -> None:
    junk = [b"Welcome!", b"{", b"[1]", b"5", b"\xff\xfe", b"{}", b"[" * 500, b"", b'{"method": 5}']
    junk += [b'{"id": ["odd"], "result": 1}', b'{"id": 1.5, "result": 1}']
    source, broken = pipes(*junk, b'{"method": "m"}', b'{"id": 1, "error": "text"}')
    assert await received(source) == [{"method": "m"}, {"id": 1, "error": {"message": "text"}}]
    assert broken == []


async def test_too_much_junk_ends_the_stream() -> None:
    source, broken = pipes(*[b"junk"] * (MAX_JUNK_LINES + 1), b'{"method": "m"}')
    assert await received(source) == []
    assert broken == ["it writes what is not the protocol"]
    assert not source.is_open


async def test_a_message_forgives_the_junk_before_it() -> None:
    half = [b"junk"] * (MAX_JUNK_LINES // 2 + 1)
    source, broken = pipes(*half, b'{"method": "m"}', *half, b'{"method": "n"}')
    assert [one["method"] for one in await received(source)] == ["m", "n"]
    assert broken == []


async def test_a_line_without_end_ends_the_stream() -> None:
    source, broken = pipes(b'{"method": "m"}', b"x" * 5_000)
    assert len(await received(source)) == 1
    assert len(broken) == 1
    assert "a line of more than" in (broken[0] or "")


async def test_the_last_line_needs_no_end() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b'{"method": "m"}')
    reader.feed_eof()
    assert await received(Pipes(reader, Sink())) == [{"method": "m"}]  # type: ignore[arg-type]  # as above


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=20))
def test_any_bytes_are_read_to_the_end(lines: list[bytes]) -> None:
    async def read() -> None:
        source, broken = pipes(*lines)
        await received(source)
        assert broken == []

    asyncio.run(read())


@pytest.mark.parametrize("error", [BrokenPipeError(), ConnectionResetError(), RuntimeError("gone")])
async def test_a_broken_pipe_is_the_end_and_no_error(error: Exception) -> None:
    source, broken = pipes(sink=Sink(error))
    await source.send({"method": "m"})
    await source.send({"method": "n"})
    assert broken == [None]
    assert await source.receive() is None


async def test_a_message_is_a_line() -> None:
    sink = Sink()
    source, _ = pipes(sink=sink)
    await source.send({"method": "m", "params": {"text": "a\nb"}})
    (line,) = bytes(sink.written).splitlines()
    assert msgspec.json.decode(line)["params"] == {"text": "a\nb"}
