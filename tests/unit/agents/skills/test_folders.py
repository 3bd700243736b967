"""Finding skills in folders."""

from __future__ import annotations

import os
from pathlib import Path

from portico.agents.skills.folders import FolderLimits, Found, Root, Shelf, look
from tests.support.skills import write_skill


def shelf(root: Path, limits: FolderLimits | None = None) -> Shelf:
    return Shelf(Root(root, "openclaw-workspace"), limits or FolderLimits())


def names(found: Found) -> list[str]:
    return [skill.name for skill in found.skills]


def said(found: Found) -> str:
    return "; ".join(trouble.message for trouble in found.troubles)


def test_skills_are_found_in_folders_and_in_groups_of_folders(tmp_path: Path) -> None:
    write_skill(tmp_path, "one")
    write_skill(tmp_path, "group/two")
    write_skill(tmp_path, "one/inner")  # below a skill no other is looked for
    write_skill(tmp_path, ".hidden/three")
    write_skill(tmp_path, "node_modules/four")
    found = shelf(tmp_path).look()
    assert sorted(names(found)) == ["one", "two"]
    assert found.troubles == ()


def test_a_folder_that_is_not_there_has_no_skills(tmp_path: Path) -> None:
    assert shelf(tmp_path / "nothing").look() == Found()


def test_a_broken_skill_does_not_stop_the_others(tmp_path: Path) -> None:
    write_skill(tmp_path, "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "SKILL.md").write_text("no front matter")
    (tmp_path / "latin").mkdir()
    (tmp_path / "latin" / "SKILL.md").write_bytes(b"---\nname: latin\ndescription: \xe9\n---\n")
    write_skill(tmp_path, "big", text="x" * 2_000)
    (tmp_path / "folder" / "SKILL.md").mkdir(parents=True)
    found = shelf(tmp_path, FolderLimits(max_file_bytes=1_000)).look()
    assert names(found) == ["good"]
    assert {(t.file.parent.name, t.is_fatal) for t in found.troubles} == {
        ("bad", True), ("latin", True), ("big", True), ("folder", True),
    }  # fmt: skip
    for word in ("front matter", "not UTF-8", "larger than 1000", "cannot be read"):
        assert word in said(found)


def test_a_change_is_seen_and_what_is_the_same_is_not_read_again(tmp_path: Path) -> None:
    folder = write_skill(tmp_path, "one", "First.")
    watched = shelf(tmp_path)
    first = watched.look().skills[0]
    assert watched.look().skills[0].document is first.document
    write_skill(tmp_path, "one", "Second, and longer.")
    assert watched.look().skills[0].document.description == "Second, and longer."
    (folder / "SKILL.md").unlink()
    assert watched.look() == Found()


def test_links_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    outside = write_skill(tmp_path / "elsewhere", "secret")
    root = tmp_path / "skills"
    write_skill(root, "inside")
    (root / "linked").symlink_to(outside)
    (root / "same").symlink_to(root / "inside")
    (root / "file").mkdir()
    (root / "file" / "SKILL.md").symlink_to(outside / "SKILL.md")
    found = shelf(root).look()
    assert names(found) == ["inside"]
    assert "a link leads out of" in said(found)
    assert "leads out of its folder" in said(found)


def test_a_root_may_itself_be_a_link(tmp_path: Path) -> None:
    write_skill(tmp_path / "real", "one")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert names(shelf(tmp_path / "link").look()) == ["one"]


def test_the_walk_is_bounded(tmp_path: Path) -> None:
    for number in range(20):
        write_skill(tmp_path, f"s{number:02}")
    folders = shelf(tmp_path, FolderLimits(max_folders=6)).look()
    assert names(folders) == ["s00", "s01", "s02", "s03", "s04"]
    assert "only 6 folders" in said(folders)
    skills = shelf(tmp_path, FolderLimits(max_skills=3)).look()
    assert names(skills) == ["s00", "s01", "s02"]
    assert "more than 3 skills" in said(skills)
    deep = "/".join(["a"] * 8)
    write_skill(tmp_path / "deep", f"{deep}/far")
    assert "far" not in names(shelf(tmp_path).look())


def test_the_same_name_twice_in_one_root_is_a_trouble(tmp_path: Path) -> None:
    write_skill(tmp_path, "a/twin")
    write_skill(tmp_path, "b/twin")
    found = shelf(tmp_path).look()
    assert names(found) == ["twin"]
    assert found.skills[0].folder.parent.name == "a"
    assert "has the same name, twin" in said(found)


def test_of_two_roots_the_first_wins(tmp_path: Path) -> None:
    write_skill(tmp_path / "own", "twin", "Mine.")
    write_skill(tmp_path / "shared", "twin", "Everybody's.")
    write_skill(tmp_path / "shared", "other")
    found = look([shelf(tmp_path / "own"), shelf(tmp_path / "shared")])
    assert [(s.name, s.document.description) for s in found.skills] == [
        ("other", "Does a thing."),
        ("twin", "Mine."),
    ]


def test_a_folder_nobody_may_read(tmp_path: Path) -> None:
    write_skill(tmp_path, "open")
    closed = write_skill(tmp_path, "group/closed")
    closed.parent.chmod(0)
    try:
        found = shelf(tmp_path).look()
    finally:
        closed.parent.chmod(0o755)
    assert "open" in names(found)
    if os.geteuid() != 0:
        assert names(found) == ["open"]
