"""Nothing outside of the directory, whatever the path says and whatever stands in it."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portico.agents.workspace.tree import TooLarge, Tree, UnsafePath, split

SECRET = b"top secret"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.md").write_bytes(SECRET)
    return folder


@pytest.fixture
def tree(tmp_path: Path, outside: Path) -> Tree:
    root = tmp_path / "root"
    (root / "notes" / "deep").mkdir(parents=True)
    (root / "A.md").write_text("a")
    (root / "notes" / "b.txt").write_text("bee")
    return Tree(root)


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "../outside/secret.md", "notes/../../outside/secret.md", "..", "."),
        *("", "/", "notes//b.txt", "notes/", "./A.md", "notes\\b.txt", "..\\x", "A.md\0", "\0"),
        *(".git/config", "notes/.env", "~/x", "notes/../A.md"),
    ],
)
def test_a_path_that_is_not_plain_is_refused(tree: Tree, path: str) -> None:
    for attempt in (
        lambda: tree.read(path, limit=100),
        lambda: tree.write(path, b"x"),
        lambda: tree.stat(path),
        lambda: tree.list(path or "/"),
    ):
        try:
            assert attempt() is None or path == "~/x"
        except UnsafePath:
            continue
        except FileNotFoundError:
            assert path == "~/x"  # a directory called ~ that is not there


@settings(max_examples=300)
@given(st.text(alphabet="ab./\\~\0 \u202e", max_size=12))
def test_no_text_leads_out(path: str) -> None:
    try:
        parts = split(path)
    except UnsafePath:
        return
    assert all(part not in {"", ".", ".."} for part in parts)
    assert not Path(*parts).is_absolute()


def test_links_are_not_followed(tree: Tree, outside: Path) -> None:
    (tree.root / "link.md").symlink_to(outside / "secret.md")
    (tree.root / "dir").symlink_to(outside)
    (tree.root / "dangling.md").symlink_to(outside / "made.md")
    for path in ("link.md", "dir/secret.md", "dangling.md"):
        with pytest.raises(UnsafePath, match="links"):
            tree.read(path, limit=100)
        with pytest.raises(UnsafePath, match="links"):
            tree.write(path, b"x")
    with pytest.raises(UnsafePath, match="links"):
        tree.list("dir")
    assert (outside / "secret.md").read_bytes() == SECRET
    assert not (outside / "made.md").exists()
    assert [entry.name for entry in tree.list() or []] == ["notes", "A.md"]


def test_a_file_with_a_second_name_is_left_alone(tree: Tree, outside: Path) -> None:
    os.link(outside / "secret.md", tree.root / "hard.md")
    with pytest.raises(UnsafePath, match="second name"):
        tree.read("hard.md", limit=100)
    with pytest.raises(UnsafePath, match="second name"):
        tree.write("hard.md", b"x")
    assert (outside / "secret.md").read_bytes() == SECRET


def test_a_pipe_does_not_make_anybody_wait(tree: Tree) -> None:
    os.mkfifo(tree.root / "pipe.md")
    for attempt in (lambda: tree.read("pipe.md", limit=9), lambda: tree.write("pipe.md", b"x")):
        with pytest.raises(UnsafePath, match="not a plain file"):
            attempt()


def test_a_directory_is_no_file(tree: Tree) -> None:
    for attempt in (lambda: tree.read("notes", limit=9), lambda: tree.write("notes", b"x")):
        with pytest.raises(UnsafePath):
            attempt()


def test_the_root_may_be_a_link_that_the_operator_made(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tree.root)
    found = Tree(tmp_path / "link").read("A.md", limit=9)
    assert found is not None
    assert found.data == b"a"


def test_what_is_not_there_is_none(tree: Tree, tmp_path: Path) -> None:
    assert tree.read("no.md", limit=9) is None
    assert tree.read("A.md/x", limit=9) is None
    assert tree.stat("no/where") is None
    assert tree.list("no") is None
    assert Tree(tmp_path / "nothing").list() is None
    assert Tree(tmp_path / "nothing").read("A.md", limit=9) is None
    tree.remove("no.md")


def test_sizes_are_limited(tree: Tree) -> None:
    tree.write("A.md", b"12345")
    assert tree.read("A.md", limit=5) is not None
    with pytest.raises(TooLarge, match="5 bytes; the limit is 4"):
        tree.read("A.md", limit=4)


def test_writing_is_private_and_keeps_a_files_mode(tree: Tree) -> None:
    (tree.root / "A.md").chmod(0o640)
    assert tree.write("A.md", b"x").size == 1
    tree.write("new.md", b"yy")
    assert stat.S_IMODE((tree.root / "A.md").stat().st_mode) == 0o640
    assert stat.S_IMODE((tree.root / "new.md").stat().st_mode) == 0o600
    assert {path.name for path in tree.root.iterdir()} == {"A.md", "new.md", "notes"}


def test_a_write_that_fails_leaves_what_was(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        tree.write("A.md", b"new")
    assert (tree.root / "A.md").read_text() == "a"
    assert {path.name for path in tree.root.iterdir()} == {"A.md", "notes"}


def test_readers_see_the_old_text_or_the_new_one(tree: Tree) -> None:
    texts = [bytes([65 + n]) * 20_000 for n in range(4)]
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            tree.write("A.md", texts[n % 4])
            n += 1

    tree.write("A.md", texts[0])
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(200):
            found = tree.read("A.md", limit=30_000)
            assert found is not None
            assert found.data in texts
    finally:
        stop.set()
        writer.join()


def test_a_list_has_directories_first_and_nothing_hidden(tree: Tree) -> None:
    (tree.root / ".env").write_text("K=1")
    (tree.root / "0.txt").write_text("0")
    entries = tree.list()
    assert entries is not None
    assert [(entry.path, entry.kind, entry.size) for entry in entries] == [
        ("notes", "directory", 0),
        ("0.txt", "file", 1),
        ("A.md", "file", 1),
    ]
    assert [entry.path for entry in tree.list("notes") or []] == ["notes/deep", "notes/b.txt"]
