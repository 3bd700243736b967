from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.agents.echo import EchoRuntime
from portico.agents.service import Agent
from portico.agents.workspace.identity import identity_of, parse
from portico.agents.workspace.starter import STARTERS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("- **Name:** Ada\n- **Emoji:** 🦞\n", {"name": "Ada", "emoji": "🦞"}),
        ("* Name: Ada\nAvatar: avatars/a.png", {"name": "Ada", "avatar": "avatars/a.png"}),
        ("- **Name**: *Ada Lovelace*", {"name": "Ada Lovelace"}),
        ("- **Name:**\n  _(pick something you like)_\n- **Emoji:** _(one)_", {}),
        ("Name: <your name>\nCreature: ghost\nTheme: sea", {"theme": "sea"}),
        ("- Name: Ada\n- Name: Eve", {"name": "Ada"}),
        ("", {}),
        (STARTERS["IDENTITY.md"], {}),
    ],
)
def test_what_a_file_says(text: str, found: dict[str, str]) -> None:
    assert parse(text) == found


@given(st.text())
def test_any_text_will_do(text: str) -> None:
    assert all(value.strip() for value in parse(text).values())


def agent(workspace: Path, **given: str) -> Agent:
    return Agent("a", EchoRuntime(), workspace=str(workspace), **given)  # type: ignore[arg-type]


def test_the_configuration_comes_first(tmp_path: Path) -> None:
    (tmp_path / "IDENTITY.md").write_text("- Name: File\n- Emoji: F\n- Avatar: https://f/x.png\n")
    found = identity_of(agent(tmp_path, name="Config"))
    assert (found.name, found.name_source) == ("Config", "config")
    assert found.emoji == "F"
    assert (found.avatar, found.avatar_source, found.avatar_status) == (
        *("https://f/x.png", "workspace"),
        "remote",
    )
    assert identity_of(agent(tmp_path)).name_source == "workspace"
    assert identity_of(Agent("a", EchoRuntime())).name_source == "default"


@pytest.mark.parametrize(
    ("avatar", "status", "reason"),
    [
        ("data:image/png;base64,AA", "data", None),
        ("data:text/html,x", "none", "unsupported"),
        ("file:///etc/passwd", "none", "unsupported"),
        ("avatars/a.png", "local", None),
        ("./avatars/a.png", "local", None),
        ("avatars/none.png", "none", "missing"),
        ("avatars", "none", "missing"),
        ("../a.png", "none", "outside the workspace"),
        ("/etc/passwd", "none", "outside the workspace"),
        ("link.png", "none", "outside the workspace"),
    ],
)
def test_avatars(tmp_path: Path, avatar: str, status: str, reason: str | None) -> None:
    (tmp_path / "avatars").mkdir()
    (tmp_path / "avatars" / "a.png").write_bytes(b"x")
    (tmp_path / "link.png").symlink_to("/etc/passwd")
    found = identity_of(agent(tmp_path, avatar=avatar))
    assert (found.avatar_status, found.avatar_reason) == (status, reason)


def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "IDENTITY.md").symlink_to("/etc/passwd")
    assert identity_of(agent(tmp_path)).name is None
    (tmp_path / "IDENTITY.md").unlink()
    (tmp_path / "IDENTITY.md").write_bytes(b"Name: A\n" + b"x" * 70_000)
    assert identity_of(agent(tmp_path)).name is None
    (tmp_path / "IDENTITY.md").write_bytes(b"Name: \xff\xfe A\n")
    assert identity_of(agent(tmp_path)).name is not None
