from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from portico.config.atomic import directory_lock, write_atomic


def test_the_file_is_private_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "c.json"
    write_atomic(target, "é")
    write_atomic(target, "new")
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "c.json"
    write_atomic(target, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(target, "\ud800")
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]


def test_a_symlinked_config_stays_a_symlink(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    link.symlink_to(real)
    write_atomic(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_the_directory_lock_admits_one_at_a_time(tmp_path: Path) -> None:
    entered = threading.Event()
    order: list[str] = []

    def second() -> None:
        entered.set()
        with directory_lock(tmp_path):
            order.append("second")

    with directory_lock(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        assert entered.wait(30)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]
