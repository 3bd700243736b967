"""Unpacking what somebody else has packed: archives as they are, and as they should not be."""

from __future__ import annotations

import gzip
import io
import os
import random
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portico.agents.skills.installing.archive import (
    BadArchive,
    SizeLimits,
    copy_folder,
    unpack,
)

LIMITS = SizeLimits(max_files=10, max_bytes=20_000)


def zipped(*files: tuple[str, bytes], **info: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in info.items():
                setattr(member, attribute, value)
            archive.writestr(member, content)
    return made.getvalue()


def tarred(*members: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return made.getvalue()


PACKERS = pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar"])


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(content: bytes, into: Path, limits: SizeLimits = LIMITS) -> str:
    into.mkdir(exist_ok=True)
    with pytest.raises(BadArchive) as bad:
        unpack(content, into, limits)
    return str(bad.value)


@PACKERS
def test_files_and_folders_are_unpacked(pack: Callable[..., bytes], tmp_path: Path) -> None:
    unpack(pack(("SKILL.md", b"a"), ("scripts/go.sh", b"b"), ("x/y/z", b"")), tmp_path, LIMITS)
    assert everything(tmp_path) == {"SKILL.md": b"a", "scripts/go.sh": b"b", "x/y/z": b""}


def test_a_program_stays_one_and_nothing_else_of_the_mode(tmp_path: Path) -> None:
    unpack(zipped(("go", b"x"), external_attr=0o104777 << 16), tmp_path, LIMITS)
    assert stat.S_IMODE((tmp_path / "go").stat().st_mode) == 0o755
    unpack(zipped(("plain", b"x"), external_attr=0o100666 << 16), tmp_path, LIMITS)
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) == 0o644


@PACKERS
@pytest.mark.parametrize(
    "name",
    [
        "../out", "a/../../out", "/etc/passwd", "a\\..\\out", "C:out", "a\nb", "a:b", "x*y",
        "/".join("a" * 20), "n" * 201,
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere(pack: Callable[..., bytes], name: str, tmp_path: Path) -> None:
    why = refused(pack((name, b"x")), tmp_path / "into")
    assert "no name for a file" in why or "too deep" in why
    assert everything(tmp_path) == {}


@PACKERS
def test_two_files_of_one_name(pack: Callable[..., bytes], tmp_path: Path) -> None:
    assert "twice" in refused(pack(("Read.me", b"1"), ("READ.ME", b"2")), tmp_path / "a")
    assert "twice" in refused(pack(("é", b"1"), ("e\u0301", b"2")), tmp_path / "b")


@PACKERS
def test_a_file_where_a_folder_is(pack: Callable[..., bytes], tmp_path: Path) -> None:
    assert refused(pack(("a", b"1"), ("a/b", b"2")), tmp_path)


@PACKERS
def test_what_is_of_no_use_is_left_out(pack: Callable[..., bytes], tmp_path: Path) -> None:
    given = pack(
        ("SKILL.md", b"a"),
        ("__MACOSX/._x", b"b"),
        (".git/config", b"c"),
        (".portico-origin.json", b'{"kind":"path","reference":"x","installed_at":1}'),
    )
    unpack(given, tmp_path, LIMITS)
    assert everything(tmp_path) == {"SKILL.md": b"a"}


@PACKERS
def test_bombs(pack: Callable[..., bytes], tmp_path: Path) -> None:
    zeros = pack(("a", bytes(15_000_000)))
    assert len(zeros) < 20_000
    assert "more than" in refused(zeros, tmp_path / "large")
    assert "more than 10 files" in refused(
        pack(*((f"f{n}", b"") for n in range(11))), tmp_path / "many"
    )
    assert "larger than" in refused(bytes(20_001), tmp_path / "big")
    written = sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())
    assert written <= 20_000


def test_a_zip_that_understates_its_size(tmp_path: Path) -> None:
    honest = zipped(("a", bytes(100_000)))
    lying = honest.replace(struct.pack("<I", 100_000), struct.pack("<I", 10))
    assert lying != honest
    refused(lying, tmp_path)


def test_a_zip_with_a_directory_of_thousands_is_not_even_read(tmp_path: Path) -> None:
    many = zipped(*((f"f{n}", b"") for n in range(300)))
    assert "more than 2 files" in refused(many, tmp_path, SizeLimits(2, 1_000_000))


def test_a_zip64_is_not_taken(tmp_path: Path) -> None:
    content = zipped(("a", b"x"))
    at = content.rfind(b"PK\x05\x06")
    locator = b"PK\x06\x07" + bytes(16)
    assert "ZIP64" in refused(content[:at] + locator + content[at:], tmp_path)


def test_an_encrypted_or_unusual_zip(tmp_path: Path) -> None:
    made = bytearray(zipped(("a", b"x")))
    at = made.rfind(b"PK\x01\x02")
    made[at + 8] |= 1
    assert "encrypted" in refused(bytes(made), tmp_path / "a")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", "x")
    assert "unusual" in refused(packed.getvalue(), tmp_path / "b")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK, stat.S_IFSOCK])
def test_what_is_no_file_in_a_zip(mode: int, tmp_path: Path) -> None:
    given = zipped(("link", b"/etc/passwd"), external_attr=(mode | 0o777) << 16)
    assert "neither a file nor a folder" in refused(given, tmp_path)


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE],
)
def test_what_is_no_file_in_a_tar(kind: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "/etc/passwd"
    assert "neither a file nor a folder" in refused(tarred(info), tmp_path)


def test_a_tar_header_that_asks_for_gigabytes(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 4_000_000_000
    content = gzip.compress(info.tobuf() + bytes(2_000_000))
    assert "unpacks to more" in refused(content, tmp_path)


@PACKERS
def test_an_archive_that_breaks_off(pack: Callable[..., bytes], tmp_path: Path) -> None:
    whole = pack(("a", random.Random(1).randbytes(5_000)))
    for length in (2, 20, 100, len(whole) // 2, len(whole) - 30):
        (tmp_path / str(length)).mkdir()
        refused(whole[:length], tmp_path / str(length))


@pytest.mark.parametrize("content", [b"", b"text", b"PK", b"\x1f\x8b", b"Rar!\x1a\x07"])
def test_what_is_no_archive(content: bytes, tmp_path: Path) -> None:
    assert refused(content, tmp_path)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_damage_of_any_kind_is_a_refusal_or_a_folder(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    pack: Any = data.draw(st.sampled_from([zipped, tarred]))
    content = bytearray(pack(("SKILL.md", b"a" * 50), ("b/c", b"d")))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("into")
    try:
        unpack(bytes(content), folder, LIMITS)
    except BadArchive:
        return
    assert all(path.resolve().is_relative_to(folder) for path in folder.rglob("*"))


def test_copying_a_folder(tmp_path: Path) -> None:
    source, into = tmp_path / "source", tmp_path / "into"
    (source / "scripts").mkdir(parents=True)
    into.mkdir()
    (source / "SKILL.md").write_text("a")
    (source / "scripts" / "go").write_text("b")
    (source / "scripts" / "go").chmod(0o700)
    (source / ".git").mkdir()
    (source / ".git" / "config").write_text("c")
    copy_folder(source, into, LIMITS)
    assert everything(into) == {"SKILL.md": b"a", "scripts/go": b"b"}
    assert os.access(into / "scripts" / "go", os.X_OK)


def test_a_folder_with_links_or_pipes_is_not_copied(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "link").symlink_to("/etc/passwd")
    (tmp_path / "a").mkdir()
    with pytest.raises(BadArchive, match="is a link"):
        copy_folder(source, tmp_path / "a", LIMITS)
    (source / "link").unlink()
    os.mkfifo(source / "pipe")
    with pytest.raises(BadArchive, match="neither a file nor a folder"):
        copy_folder(source, tmp_path / "a", LIMITS)
    with pytest.raises(BadArchive, match="cannot be unpacked"):
        copy_folder(tmp_path / "missing", tmp_path / "a", LIMITS)
