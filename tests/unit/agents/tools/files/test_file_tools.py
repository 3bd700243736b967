"""Files of the workspace: read, written, edited; and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.agents.tools.contract import ToolCall, ToolError, ToolOutput, tools_of
from portico.agents.tools.files.tools import MAX_SHOWN_CHARS, FileTools
from portico.agents.tools.files.workspaces import Workspaces, relative_path
from portico.agents.workspace.tree import UnsafePath
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope

CALL = ToolCall(agent_id="main", session_key="agent:main:main", call_id="c1")


class Desk:
    def __init__(self, folder: Path) -> None:
        self.root = folder / "workspace"
        self.outside = folder / "outside"
        self.outside.mkdir()
        (self.outside / "secret.txt").write_text("canary")
        workspaces = Workspaces(lambda agent: self.root if agent == "main" else None)
        self.tools = {tool.name: tool for tool in tools_of(FileTools(workspaces))}

    async def do(self, name: str, **given: Any) -> Any:
        made = await self.tools[name].run(CALL, given)
        return msgspec.to_builtins(made.value if isinstance(made, ToolOutput) else made)

    async def refusal(self, name: str, **given: Any) -> str:
        with pytest.raises((ToolError, InvalidRequest)) as refused:
            await self.do(name, **given)
        return str(refused.value)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_a_file_is_written_read_and_edited(desk: Desk) -> None:
    done = await desk.do("write", path="notes/a.txt", content="one\ntwo\nthree\n")
    assert done == {"path": "notes/a.txt", "bytes": 14, "created": True}
    assert (desk.root / "notes").stat().st_mode & 0o777 == 0o700
    assert (desk.root / "notes/a.txt").stat().st_mode & 0o777 == 0o600
    shown = await desk.do("read", path="./notes//a.txt", offset=2, limit=1)
    assert shown == {
        "path": "notes/a.txt",
        "text": "two\n",
        "startLine": 2,
        "lines": 1,
        "totalLines": 3,
        "truncated": True,
    }
    done = await desk.do("edit", path="notes/a.txt", oldText="two", newText="2")
    assert done == {"path": "notes/a.txt", "replaced": 1}
    assert (desk.root / "notes/a.txt").read_text() == "one\n2\nthree\n"
    again = await desk.do("write", path=str(desk.root / "notes/a.txt"), content="new")
    assert again == {"path": "notes/a.txt", "bytes": 3, "created": False}
    assert await desk.do("read", path="notes") == {
        "path": "notes",
        "entries": ["a.txt"],
        "truncated": False,
    }
    assert (await desk.do("read"))["entries"] == ["notes/"]


async def test_an_edit_must_be_clear(desk: Desk) -> None:
    await desk.do("write", path="a", content="x x")
    assert "2 times" in await desk.refusal("edit", path="a", oldText="x", newText="y")
    assert "does not stand" in await desk.refusal("edit", path="a", oldText="z", newText="y")
    assert "no file" in await desk.refusal("edit", path="b", oldText="z", newText="y")
    done = await desk.do("edit", path="a", oldText="x", newText="y", replaceAll=True)
    assert done["replaced"] == 2
    assert (desk.root / "a").read_text() == "y y"
    await desk.do("write", path="big", content="x" * 900_000)
    said = await desk.refusal("edit", path="big", oldText="x", newText="x" * 9, replaceAll=True)
    assert "too large" in said


@pytest.mark.parametrize("tool", ["read", "write", "edit"])
@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret.txt",
        "a/../../outside/secret.txt",
        "/etc/passwd",
        "~/.ssh/id_rsa",
        "link/secret.txt",
        "file-link",
        "hard-link",
        ".hidden",
        "a/.git/config",
        "pipe",
        "a\0b",
        "a\\b",
        "x" * 999,
    ],
)
async def test_nothing_outside_is_reached(desk: Desk, tool: str, path: str) -> None:
    desk.root.mkdir()
    (desk.root / "a").mkdir()
    (desk.root / "link").symlink_to(desk.outside)
    (desk.root / "file-link").symlink_to(desk.outside / "secret.txt")
    os.link(desk.outside / "secret.txt", desk.root / "hard-link")
    os.mkfifo(desk.root / "pipe")
    given: dict[str, Any] = {
        "read": {},
        "write": {"content": "overwritten"},
        "edit": {"oldText": "canary", "newText": "overwritten"},
    }[tool]
    assert "canary" not in await desk.refusal(tool, path=path, **given)
    assert (desk.outside / "secret.txt").read_text() == "canary"
    assert [p.name for p in desk.outside.iterdir()] == ["secret.txt"]


async def test_what_is_no_text_or_too_long(desk: Desk) -> None:
    desk.root.mkdir()
    (desk.root / "picture").write_bytes(b"\x89PNG\0\0")
    assert "not a text file" in await desk.refusal("read", path="picture")
    (desk.root / "odd").write_bytes(b"k\xe4se")
    assert (await desk.do("read", path="odd"))["text"] == "k\ufffdse"
    (desk.root / "long").write_text("x" * 100_000)
    shown = await desk.do("read", path="long")
    assert (len(shown["text"]), shown["truncated"]) == (MAX_SHOWN_CHARS, True)
    (desk.root / "huge").write_bytes(b"x" * 5_000_001)
    assert "too large" in await desk.refusal("read", path="huge")
    assert "more than 1000000" in await desk.refusal("write", path="a", content="x" * 1_000_001)
    (desk.root / "folder").mkdir()
    assert "not a plain file" in await desk.refusal("write", path="folder", content="x")
    assert "directory" in await desk.refusal("write", path="", content="x")
    assert "place of a directory" in await desk.refusal("write", path="odd/x", content="x")


async def test_who_may(desk: Desk) -> None:
    assert desk.tools["read"].changes is False
    assert {desk.tools[name].scope for name in ("write", "edit")} == {Scope.ADMIN}
    other = ToolCall(agent_id="other", session_key="agent:other:main", call_id="c")
    with pytest.raises(ToolError, match="no workspace"):
        await desk.tools["read"].run(other, {})


async def test_notes_from_outside_stay_what_they_are(desk: Desk) -> None:
    await desk.do("write", path="memory/a.md", content="## x (from outside)\n\n> obey\n")
    await desk.do("write", path="other.md", content="## x (from outside)\n\n> obey\n")
    for path, is_outside in (("memory/a.md", True), ("other.md", False)):
        made = await desk.tools["read"].run(CALL, {"path": path})
        assert made.is_untrusted is is_outside


@pytest.mark.parametrize(
    ("path", "relative"),
    [
        *(("", ""), (".", ""), ("./a", "a"), ("a//b/", "a/b"), ("a/../b", "b")),
        *(("/w/s/a", "a"), ("/w/s", ""), ("/w/s/", "")),
    ],
)
def test_paths_as_models_write_them(path: str, relative: str) -> None:
    assert relative_path(Path("/w/s"), path) == relative


@pytest.mark.parametrize("path", ["..", "../a", "/w", "/w/space", "/w/s/../x", "~", "~root/x"])
def test_paths_that_lead_elsewhere(path: str) -> None:
    with pytest.raises(UnsafePath):
        relative_path(Path("/w/s"), path)
