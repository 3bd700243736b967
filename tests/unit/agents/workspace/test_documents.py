from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from portico.agents.model.workspace import instructions
from portico.agents.workspace.documents import Conflict, Documents, UnknownDocument
from portico.agents.workspace.starter import STARTERS
from portico.agents.workspace.tree import TooLarge, UnsafePath


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(tmp_path / "w", limit=1000)


def test_a_new_workspace_has_first_documents_that_a_model_is_told(
    documents: Documents, tmp_path: Path
) -> None:
    assert documents.start() == tuple(STARTERS)
    assert documents.start() == ()
    told = instructions(str(tmp_path / "w"), name=None)
    assert [line for line in told.splitlines() if line.startswith("# ") and ".md" in line] == [
        *("# AGENTS.md", "# SOUL.md")  # the others are forms to be filled in
    ]
    assert len(told) < 1_500
    documents.set("USER.md", STARTERS["USER.md"].replace("Name:", "Name: Zoë"))
    assert "Name: Zoë" in instructions(str(tmp_path / "w"), name=None)


def test_a_directory_that_is_there_is_left_as_it_is(documents: Documents, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    assert documents.start() == ()
    assert list((tmp_path / "w").iterdir()) == []


def test_what_was_started_can_be_taken_back_unless_somebody_used_it(tmp_path: Path) -> None:
    first = Documents(tmp_path / "a", limit=1000)
    first.undo_start(first.start())
    assert not (tmp_path / "a").exists()
    second = Documents(tmp_path / "b", limit=1000)
    made = second.start()
    (tmp_path / "b" / "mine.txt").write_text("x")
    second.undo_start(made)
    assert (tmp_path / "b" / "mine.txt").exists()


def test_the_list_says_what_is_missing(documents: Documents, tmp_path: Path) -> None:
    documents.set("SOUL.md", "calm")
    (tmp_path / "w" / "TOOLS.md").write_text("t")
    (tmp_path / "w" / "USER.md").symlink_to(tmp_path)
    shown = {one.name: one for one in documents.list()}
    assert list(shown) == [
        *("AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "BOOTSTRAP.md", "MEMORY.md"),
        "TOOLS.md",
    ]
    assert {name for name, one in shown.items() if not one.is_missing} == {"SOUL.md", "TOOLS.md"}
    assert shown["SOUL.md"].size == 4
    assert shown["SOUL.md"].content is None


def test_writing_and_reading(documents: Documents) -> None:
    written = documents.set("USER.md", "Zoë\n")
    read = documents.get("USER.md")
    assert read == written
    assert (read.content, read.size) == ("Zoë\n", 5)
    assert read.hash == hashlib.sha256("Zoë\n".encode()).hexdigest()
    assert documents.get("AGENTS.md").is_missing
    assert documents.set("USER.md", "").size == 0
    assert not documents.get("USER.md").is_missing


def test_a_hash_guards_what_somebody_else_wrote(documents: Documents, tmp_path: Path) -> None:
    first = documents.set("USER.md", "one")
    assert first.hash is not None
    documents.set("USER.md", "two", expected=first.hash.upper())
    with pytest.raises(Conflict) as caught:
        documents.set("USER.md", "three", expected=first.hash)
    assert caught.value.current == hashlib.sha256(b"two").hexdigest()
    assert (tmp_path / "w" / "USER.md").read_text() == "two"
    with pytest.raises(Conflict) as missing:
        documents.set("SOUL.md", "x", expected=first.hash)
    assert missing.value.current is None


def test_of_many_who_read_the_same_one_writes(documents: Documents) -> None:
    read = documents.set("USER.md", "start").hash
    outcomes: list[str] = []

    def write(number: int) -> None:
        try:
            documents.set("USER.md", f"by {number}", expected=read)
            outcomes.append("written")
        except Conflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 7 + ["written"]


@pytest.mark.parametrize(
    "name",
    ["notes.md", "agents.md", "AGENTS.MD", "../AGENTS.md", "/AGENTS.md", "AGENTS.md/", "", "A\0"],
)
def test_only_known_names(documents: Documents, name: str) -> None:
    with pytest.raises(UnknownDocument):
        documents.get(name)
    with pytest.raises(UnknownDocument):
        documents.set(name, "x")


def test_limits(documents: Documents, tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        documents.set("USER.md", "é" * 501)
    documents.set("USER.md", "x" * 1000)
    (tmp_path / "w" / "SOUL.md").write_text("x" * 1001)
    with pytest.raises(TooLarge):
        documents.get("SOUL.md")


def test_a_link_in_the_place_of_a_document(documents: Documents, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "USER.md").symlink_to(tmp_path / "secret")
    for attempt in (lambda: documents.get("USER.md"), lambda: documents.set("USER.md", "x")):
        with pytest.raises(UnsafePath):
            attempt()
    assert (tmp_path / "secret").read_text() == "s"
