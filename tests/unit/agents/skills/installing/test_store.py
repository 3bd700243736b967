"""Skills go into their folder whole, or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from portico.agents.skills.folders import FolderLimits, Root, Shelf
from portico.agents.skills.installing import store as store_module
from portico.agents.skills.installing.archive import SizeLimits
from portico.agents.skills.installing.store import AlreadyThere, NotInstalled, SkillStore
from portico.agents.skills.model import Origin, Skill
from tests.support.clock import START_MS, FakeClock
from tests.support.skills import write_skill
from tests.unit.agents.skills.installing.test_archive import tarred, zipped

SKILL = b"---\nname: hat\ndescription: A hat.\n---\nWear it.\n"
THERE = Origin("url", "https://user:pw@example.org/hat.zip?token=s3cret#x", START_MS)


def store_in(folder: Path) -> SkillStore:
    return SkillStore(
        folder / "skills", clock=FakeClock(), sizes=SizeLimits(), limits=FolderLimits()
    )


def found_in(store: SkillStore) -> tuple[Skill, ...]:
    return Shelf(Root(store.folder, "openclaw-managed"), FolderLimits()).look().skills


def hidden(store: SkillStore) -> list[str]:
    return [path.name for path in store.folder.iterdir() if path.name.startswith(".")]


def test_a_folder_is_installed_with_where_it_came_from(tmp_path: Path) -> None:
    source = write_skill(tmp_path / "elsewhere", "hat", files={"scripts/go": "x"})
    store = store_in(tmp_path)
    done = store.put_path(source)
    assert not done.replaced
    (skill,) = found_in(store)
    assert skill == done.skill
    assert skill.origin == Origin("path", str(source), START_MS)
    assert (store.folder / "hat" / "scripts" / "go").read_text() == "x"
    assert hidden(store) == []


@pytest.mark.parametrize(
    "content",
    [
        zipped(("SKILL.md", SKILL)),
        zipped(("hat/SKILL.md", SKILL), ("hat/a", b"b")),
        zipped(("hat-main/SKILL.md", SKILL)),
        tarred(("hat/SKILL.md", SKILL)),
    ],
    ids=["flat", "folder", "other folder", "tar"],
)
def test_an_archive_is_installed_under_the_skills_name(tmp_path: Path, content: bytes) -> None:
    store = store_in(tmp_path)
    store.put_archive(content, THERE)
    (skill,) = found_in(store)
    assert (skill.name, skill.folder.name) == ("hat", "hat")
    assert skill.origin is not None
    assert skill.origin.reference == "https://example.org/hat.zip"
    assert skill.origin.sha256 == hashlib.sha256(content).hexdigest()


def test_an_archive_of_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "hat.zip"
    file.write_bytes(zipped(("SKILL.md", SKILL)))
    done = store_in(tmp_path).put_path(file, name="cap")
    assert (done.skill.folder.name, done.skill.name) == ("cap", "hat")
    assert done.skill.origin is not None
    assert not done.skill.origin.is_from_elsewhere


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no archive", "neither a .zip"),
        (zipped(("README.md", b"x")), "has no SKILL.md at its top"),
        (zipped(("a/SKILL.md", SKILL), ("b/SKILL.md", SKILL)), "has no SKILL.md at its top"),
        (zipped(("a/b/SKILL.md", SKILL)), "has no SKILL.md at its top"),
        (zipped(("SKILL.md", b"no front matter")), "front matter"),
        (zipped(("SKILL.md", b"---\ndescription: d\n---\n")), "it has no name"),
        (zipped(("SKILL.md", b"---\nname: ../up\ndescription: d\n---\n")), "lower-case"),
        (zipped(("../SKILL.md", SKILL)), "no name for a file"),
    ],
)
def test_what_is_no_skill_is_not_installed(tmp_path: Path, content: bytes, why: str) -> None:
    store = store_in(tmp_path)
    with pytest.raises(NotInstalled, match=why):
        store.put_archive(content, THERE)
    assert list(store.folder.iterdir()) == []


def test_an_odd_name_or_another_archive_than_was_meant(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    content = zipped(("SKILL.md", SKILL))
    with pytest.raises(NotInstalled, match="no name for a skill"):
        store.put_archive(content, THERE, name="../up")
    with pytest.raises(NotInstalled, match="SHA-256"):
        store.put_archive(content, THERE, sha256="0" * 64)
    digest = hashlib.sha256(content).hexdigest().upper()
    assert store.put_archive(content, THERE, sha256=digest).skill.name == "hat"


def test_a_skill_is_replaced_only_when_that_is_said(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.put_archive(zipped(("SKILL.md", SKILL), ("old", b"")), THERE)
    with pytest.raises(AlreadyThere, match="skill hat already"):
        store.put_archive(zipped(("SKILL.md", SKILL)), THERE)
    assert (store.folder / "hat" / "old").exists()
    assert store.put_archive(zipped(("SKILL.md", SKILL)), THERE, force=True).replaced
    assert not (store.folder / "hat" / "old").exists()
    assert hidden(store) == []


def test_a_failed_replacement_leaves_the_old_one(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.put_archive(zipped(("SKILL.md", SKILL)), THERE)
    with pytest.raises(NotInstalled):
        store.put_archive(zipped(("SKILL.md", b"broken")), THERE, name="hat", force=True)
    assert [skill.name for skill in found_in(store)] == ["hat"]


def test_a_crash_between_the_two_moves_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_in(tmp_path)
    store.put_archive(zipped(("SKILL.md", SKILL), ("first", b"")), THERE)

    class Crash(BaseException):
        pass

    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if target == store.folder / "hat":
            raise Crash
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(Crash):
        store.put_archive(zipped(("SKILL.md", SKILL)), THERE, force=True)
    monkeypatch.setattr(Path, "rename", real)
    assert found_in(store) == ()
    source = write_skill(tmp_path / "elsewhere", "cap")
    store.put_path(source)
    assert [skill.name for skill in found_in(store)] == ["cap", "hat"]
    assert (store.folder / "hat" / "first").exists()
    assert hidden(store) == []


def test_what_a_crash_left_unfinished_is_cleared_away(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    (store.folder / ".new-abc" / "deep").mkdir(parents=True)
    (store.folder / ".old-hat").mkdir()
    store.put_archive(zipped(("SKILL.md", SKILL)), THERE, force=True)
    assert hidden(store) == []


def test_removing(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    assert not store.remove("hat")
    store.put_archive(zipped(("SKILL.md", SKILL)), THERE)
    assert not store.remove("../skills/hat")
    assert store.remove("hat")
    assert not store.remove("hat")
    assert list(store.folder.iterdir()) == []


def test_a_file_that_cannot_be_read_or_is_too_large(tmp_path: Path) -> None:
    store = SkillStore(
        tmp_path / "skills", clock=FakeClock(), sizes=SizeLimits(10, 100), limits=FolderLimits()
    )
    with pytest.raises(NotInstalled, match="cannot be read"):
        store.put_path(tmp_path / "missing.zip")
    (tmp_path / "large.zip").write_bytes(bytes(101))
    with pytest.raises(NotInstalled, match="larger than 100"):
        store.put_path(tmp_path / "large.zip")


def test_a_reference_is_kept_without_its_secrets() -> None:
    assert store_module.shown("/a/path") == "/a/path"
    assert store_module.shown("https://u:p@h:1/x?k=v") == "https://h:1/x"
