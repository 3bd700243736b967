from __future__ import annotations

import asyncio

from portico.node_host.progress import CHUNK_BYTES, LEFT_OUT, MAX_WAITING_BYTES, Progress


async def sent_of(*chunks: bytes) -> list[tuple[int, str]]:
    sent: list[tuple[int, str]] = []

    async def send(seq: int, piece: str) -> None:
        sent.append((seq, piece))

    progress = Progress(send)
    for chunk in chunks:
        progress.add(chunk)
    progress.end()
    async with asyncio.timeout(30):
        await progress.pump()
    return sent


async def test_small_writes_become_one_numbered_piece() -> None:
    assert await sent_of(b"one ", b"two") == [(0, "one two")]


async def test_pieces_are_bounded_in_bytes_and_lose_no_letter() -> None:
    text = "ü" * 20_000
    sent = await sent_of(text.encode())
    assert [seq for seq, _ in sent] == [0, 1, 2]
    assert all(len(piece.encode()) <= CHUNK_BYTES for _, piece in sent)
    assert "".join(piece for _, piece in sent) == text


async def test_a_letter_cut_in_two_by_a_pipe_is_one_letter() -> None:
    raw = "é".encode()
    assert await sent_of(raw[:1], raw[1:]) == [(0, "é")]


async def test_what_does_not_fit_is_left_out_and_said() -> None:
    sent: list[str] = []
    is_open = asyncio.Event()

    async def send(_seq: int, piece: str) -> None:
        await is_open.wait()
        sent.append(piece)

    progress = Progress(send)
    progress.add(b"a" * MAX_WAITING_BYTES)
    progress.add(b"lost")
    pump = asyncio.ensure_future(progress.pump())
    is_open.set()
    async with asyncio.timeout(30):
        while sum(map(len, sent)) < MAX_WAITING_BYTES:
            await asyncio.sleep(0.001)
        progress.add(b"end")
        progress.end()
        await pump
    assert "".join(sent) == "a" * MAX_WAITING_BYTES + LEFT_OUT + "end"


async def test_a_piece_that_cannot_be_sent_stops_nothing() -> None:
    async def send(_seq: int, _piece: str) -> None:
        raise ConnectionError

    progress = Progress(send)
    progress.add(b"x")
    progress.end()
    async with asyncio.timeout(30):
        await progress.pump()
