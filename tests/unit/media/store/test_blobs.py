"""Bytes on disk under the hash of their content."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from portico.media.store.blobs import GRACE_S, Blobs, TooLarge, pieces_of
from tests.support.clock import FakeClock

HELLO = hashlib.sha256(b"hello").hexdigest()


def blobs_in(folder: Path, clock: FakeClock | None = None) -> Blobs:
    return Blobs(folder / "media", clock=clock or FakeClock())


def put(blobs: Blobs, content: bytes = b"hello", *, most: int = 1_000) -> str:
    return blobs.put(pieces_of(content), max_bytes=most, head_bytes=4).sha256


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_same_bytes_are_one_file(tmp_path: Path) -> None:
    blobs = blobs_in(tmp_path)
    assert put(blobs) == put(blobs) == HELLO
    path = blobs.find(HELLO)
    assert path == tmp_path / "media" / HELLO[:2] / HELLO
    assert path is not None
    assert path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "media").stat().st_mode & 0o077 == 0
    assert blobs.read(HELLO, max_bytes=5) == b"hello"
    assert blobs.read(HELLO, max_bytes=4) is None
    assert names(tmp_path) == [".lock", HELLO]


def test_its_beginning_and_size_are_told(tmp_path: Path) -> None:
    written = blobs_in(tmp_path).put([b"he", b"llo"], max_bytes=5, head_bytes=3)
    assert (written.sha256, written.size_bytes, written.head) == (HELLO, 5, b"hel")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", HELLO.upper(), HELLO + "x", "", "ab"])
def test_nothing_but_a_hash_is_looked_for(tmp_path: Path, name: str) -> None:
    blobs = blobs_in(tmp_path)
    put(blobs)
    (tmp_path / "secret").write_text("x")
    assert blobs.find(name) is None
    assert blobs.read(name, max_bytes=100) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    blobs = blobs_in(tmp_path)
    other = "ab" + "0" * 62
    (tmp_path / "media" / "ab").mkdir(parents=True)
    (tmp_path / "media" / "ab" / other).symlink_to("/etc/passwd")
    assert blobs.find(other) is None


def test_what_is_too_large_or_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    blobs = blobs_in(tmp_path)
    with pytest.raises(TooLarge):
        put(blobs, most=4)

    def broken() -> Iterator[bytes]:
        yield b"he"
        raise ValueError("not base64")

    with pytest.raises(ValueError, match="not base64"):
        blobs.put(broken(), max_bytes=9, head_bytes=4)
    assert names(tmp_path) == []


def test_what_was_touched_is_not_old(tmp_path: Path) -> None:
    clock = FakeClock()
    blobs = blobs_in(tmp_path, clock)
    put(blobs)
    clock.advance(GRACE_S + 1)
    assert [*blobs.old()] == [HELLO]
    put(blobs)  # somebody needs it again
    assert [*blobs.old()] == []
    assert not blobs.delete(HELLO)
    assert blobs.find(HELLO) is not None
    clock.advance(GRACE_S + 1)
    assert blobs.delete(HELLO)
    assert blobs.find(HELLO) is None


def test_what_a_crash_left_unfinished_goes(tmp_path: Path) -> None:
    clock = FakeClock()
    blobs = blobs_in(tmp_path, clock)
    put(blobs)
    left = tmp_path / "media" / f".part-{clock.now_ms()}-left"
    left.write_bytes(b"unfinished")
    other = tmp_path / "media" / ("a" * 32 + ".mp3")
    other.write_bytes(b"speech of another part of the house")
    for path in (left, other):
        os.utime(path, (clock.now_ms() / 1000,) * 2)
    assert [*blobs.old()] == []
    assert left.exists()
    clock.advance(GRACE_S + 1)
    assert [*blobs.old()] == [HELLO]
    assert not left.exists()
    assert other.exists()


def test_keeping_and_deleting_at_the_same_time_loses_nothing(tmp_path: Path) -> None:
    """Two threads on one hash: whoever was told that it is there finds it there."""
    clock = FakeClock()
    blobs, other = blobs_in(tmp_path, clock), blobs_in(tmp_path, clock)
    lost: list[int] = []
    begun = threading.Event()

    def delete() -> None:
        begun.set()
        for _ in range(300):
            other.delete(HELLO)

    put(blobs)
    os.utime(tmp_path / "media" / HELLO[:2] / HELLO, (1, 1))
    sweeper = threading.Thread(target=delete)
    sweeper.start()
    begun.wait()
    for number in range(60):
        put(blobs)
        if blobs.find(HELLO) is None:
            lost.append(number)
        os.utime(tmp_path / "media" / HELLO[:2] / HELLO, (1, 1)) if number % 2 else None
    sweeper.join()
    assert lost == []
