from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from portico.agents.workspace.trash import CannotTrash, trash


@pytest.fixture
def state(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    (made / "workspace-a").mkdir(parents=True)
    (made / "workspace-a" / "SOUL.md").write_text("calm")
    return made


def test_a_workspace_is_moved_whole(state: Path) -> None:
    target = trash(state / "workspace-a", state_dir=state, others=[state / "workspace"], label="1")
    assert target == state / "trash" / "workspace-a-1"
    assert (target / "SOUL.md").read_text() == "calm"
    assert not (state / "workspace-a").exists()
    assert trash(state / "workspace-a", state_dir=state, others=[], label="2") is None


def test_a_link_is_moved_and_not_what_it_leads_to(state: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (state / "link").symlink_to(tmp_path / "real")
    trash(state / "link", state_dir=state, others=[], label="1")
    assert (tmp_path / "real").is_dir()
    assert not os.path.lexists(state / "link")


@pytest.mark.parametrize(
    ("workspace", "others", "reason"),
    [
        (".", [], "gateway's own"),
        ("..", [], "gateway's own"),
        ("workspace-a", ["workspace-a"], "another agent"),
        ("workspace-a", ["workspace-a/inner"], "another agent"),
        ("workspace-a", ["."], "another agent"),
    ],
)
def test_what_holds_other_things_stays(
    state: Path, workspace: str, others: list[str], reason: str
) -> None:
    with pytest.raises(CannotTrash, match=reason):
        trash(state / workspace, state_dir=state, others=[state / one for one in others], label="1")
    assert (state / "workspace-a" / "SOUL.md").exists()


def test_the_home_directory_stays(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "me"))
    (tmp_path / "home" / "me").mkdir(parents=True)
    with pytest.raises(CannotTrash, match="home"):
        trash(tmp_path / "home", state_dir=state, others=[], label="1")


def test_on_another_disk_it_is_moved_beside_itself(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = tmp_path / "far"
    far.mkdir()
    rename = Path.rename

    def across(self: Path, target: Path) -> Path:
        if target.parent == state / "trash":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", across)
    assert trash(far, state_dir=state, others=[], label="7") == tmp_path / ".far-7"


def test_nothing_in_the_trash_is_written_over(state: Path) -> None:
    (state / "trash" / "workspace-a-1").mkdir(parents=True)
    with pytest.raises(CannotTrash, match="there already"):
        trash(state / "workspace-a", state_dir=state, others=[], label="1")
