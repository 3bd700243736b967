"""Which files the canvas shows, and which it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portico.agents.workspace.tree import TooLarge
from portico.canvas.documents import BYTES, HTML, Documents, NoSuchDocument, type_of
from portico.canvas.settings import CanvasSettings

pytestmark = pytest.mark.anyio


def documents(folder: Path, **settings: object) -> Documents:
    for agent in ("main", "other"):
        (folder / agent / "canvas" / "documents" / "d1").mkdir(parents=True)
        (folder / agent / "canvas" / "index.html").write_text(f"index of {agent}")
        (folder / agent / "SOUL.md").write_text("secret")
    (folder / "main/canvas/documents/d1/index.html").write_text("<p>one")
    (folder / "other/canvas/documents/o.1").mkdir()
    (folder / "other/canvas/documents/o.1/index.html").write_text("theirs")
    known = {"main", "other"}
    return Documents(
        workspace_of=lambda agent: folder / agent if agent in known else None,
        default_agent=lambda: "main",
        settings=CanvasSettings(**settings),  # type: ignore[arg-type]  # any of its fields
    )


async def test_paths_lead_to_files(tmp_path: Path) -> None:
    found = documents(tmp_path)
    for path, content in (
        ("", b"index of main"),
        ("index.html", b"index of main"),
        ("agents/other/", b"index of other"),
        ("documents/d1/", b"<p>one"),
        ("documents/d1/index.html", b"<p>one"),
        ("agents/main/documents/d1/index.html", b"<p>one"),
        ("documents/other.o.1/index.html", b"theirs"),
    ):
        assert (await found.load(path)).data == content
    assert await found.html("d1") == "<p>one"
    assert await found.html("other.o.1") == "theirs"


async def test_what_is_outside_is_not_there(tmp_path: Path) -> None:
    found = documents(tmp_path)
    canvas = tmp_path / "main" / "canvas"
    (canvas / "link.html").symlink_to(tmp_path / "main" / "SOUL.md")
    (canvas / "up").symlink_to(tmp_path / "main")
    os.link(tmp_path / "main" / "SOUL.md", canvas / "hard.html")
    (canvas / ".hidden").write_text("x")
    os.mkfifo(canvas / "pipe.html")
    for path in (
        *("../SOUL.md", "x/../../SOUL.md", "..", "agents/other", "agents/nobody/", "agents/../x"),
        *("/etc/passwd", "//etc/passwd", "link.html", "up/SOUL.md", "hard.html", ".hidden"),
        *("pipe.html", "documents", "nothing.html", "a\0b", "..\\SOUL.md", "x" * 2_000),
        *("documents/nobody.x/index.html", "documents/other.../SOUL.md"),
    ):
        with pytest.raises(NoSuchDocument):
            await found.load(path)
    for document_id in ("..", ".", "a/b", "", "../d1"):
        with pytest.raises(NoSuchDocument):
            await found.html(document_id)


async def test_a_canvas_that_is_a_link_shows_nothing(tmp_path: Path) -> None:
    found = documents(tmp_path)
    (tmp_path / "other" / "canvas").rename(tmp_path / "elsewhere")
    (tmp_path / "other" / "canvas").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NoSuchDocument):
        await found.load("agents/other/")


async def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        await documents(tmp_path, max_file_bytes=4).load("")


async def test_the_default_agents_pages_may_be_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "index.html").write_text("of the root")
    found = documents(tmp_path, root=root)
    assert (await found.load("")).data == b"of the root"
    assert (await found.load("agents/other/")).data == b"index of other"


def test_types() -> None:
    assert type_of("a/b.HTML") == HTML
    assert type_of("a.js") == "text/javascript; charset=utf-8"
    assert type_of("a.exe") == BYTES
