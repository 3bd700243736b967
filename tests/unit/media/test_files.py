"""Files kept under the hash of their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from portico.media.files import MediaFiles, mime_type
from tests.support.clock import FakeClock

HOUR_S = 3_600


def files_in(folder: Path, clock: FakeClock | None = None, most: int = 1_000) -> MediaFiles:
    return MediaFiles(folder / "media", clock=clock or FakeClock(), keep_s=HOUR_S, max_bytes=most)


def test_the_same_content_is_one_file(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    ref = files.put(b"sound", ".mp3")
    assert ref == f"media:{hashlib.sha256(b'sound').hexdigest()[:32]}.mp3"
    assert files.put(b"sound", ".mp3") == ref
    path = files.path(ref)
    assert path is not None
    assert path.read_bytes() == b"sound"
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert mime_type(ref) == "audio/mpeg"
    assert mime_type("media:x.exe") == "application/octet-stream"


@pytest.mark.parametrize(
    "ref",
    [
        "media:../secret",
        "media:" + "a" * 32 + ".mp3",
        "media:" + "a" * 32 + "/../x.mp3",
        "media:/etc/passwd",
        "file:///etc/passwd",
        "media:",
        "",
    ],
)
def test_nothing_else_is_found(tmp_path: Path, ref: str) -> None:
    files = files_in(tmp_path)
    files.put(b"sound", ".mp3")
    (tmp_path / "secret").write_text("x")
    assert files.path(ref) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    files.put(b"sound", ".mp3")
    name = "b" * 32 + ".mp3"
    (tmp_path / "media" / name).symlink_to("/etc/passwd")
    assert files.path(f"media:{name}") is None


def test_old_files_go_and_used_ones_stay(tmp_path: Path) -> None:
    clock = FakeClock()
    files = files_in(tmp_path, clock)
    assert files.forget() == 0
    old, used = files.put(b"old", ".mp3"), files.put(b"used", ".mp3")
    (tmp_path / "media" / ".new-left").write_bytes(b"unfinished")
    clock.advance(HOUR_S - 10)
    assert files.path(used) is not None
    clock.advance(20)
    assert files.forget() == 2  # the old one, and what a crash had left
    assert (files.path(old), files.path(used) is not None) == (None, True)


def test_together_they_take_no_more_than_allowed(tmp_path: Path) -> None:
    clock = FakeClock()
    files = files_in(tmp_path, clock, most=250)
    refs = []
    for number in range(4):
        refs.append(files.put(bytes([number]) * 100, ".wav"))
        clock.advance(1)
    assert [files.path(ref) is not None for ref in refs] == [False, False, True, True]
    large = files.put(b"x" * 400, ".wav")
    assert files.path(large) is not None
    files.obey(keep_s=HOUR_S, max_bytes=100)
    small = files.put(b"y", ".wav")
    assert (files.path(large), files.path(small) is not None) == (None, True)
