from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from portico.process.lock import AlreadyRunning, LockInfo, acquire, inherit, read_lock, remove_stale

INFO = LockInfo(pid=os.getpid(), port=18789, started_at=1, url="http://127.0.0.1:18789")


def test_lock_tells_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "gateway.lock"
    assert read_lock(path) is None
    lock = acquire(path, LockInfo(pid=1, port=0, started_at=1))
    lock.update(INFO)
    state = read_lock(path)
    assert state is not None
    assert state.is_held
    assert state.info == INFO
    assert path.stat().st_mode & 0o777 == 0o600
    lock.release()
    lock.release()
    assert read_lock(path) is None


def test_second_holder_is_refused_with_the_first_one_named(tmp_path: Path) -> None:
    lock = acquire(tmp_path / "gateway.lock", INFO)
    with pytest.raises(AlreadyRunning, match="18789") as caught:
        acquire(tmp_path / "gateway.lock", INFO)
    assert (caught.value.pid, caught.value.port) == (os.getpid(), 18789)
    lock.release()


def test_shorter_content_leaves_nothing_of_the_longer_one(tmp_path: Path) -> None:
    lock = acquire(tmp_path / "gateway.lock", INFO)
    lock.update(LockInfo(pid=1, port=2, started_at=3))
    state = read_lock(tmp_path / "gateway.lock")
    assert state is not None
    assert state.info == LockInfo(pid=1, port=2, started_at=3)
    lock.release()


def test_lock_of_a_killed_process_is_stale_and_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "gateway.lock"
    program = (
        "import sys, time; from pathlib import Path; "
        "from portico.process.lock import LockInfo, acquire; "
        "lock = acquire(Path(sys.argv[1]), LockInfo(pid=5, port=6, started_at=7)); "
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert not remove_stale(path)
        holder.kill()
    state = read_lock(path)
    assert state is not None
    assert not state.is_held
    assert state.info is not None
    acquire(path, INFO).release()


def test_stale_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "gateway.lock"
    path.write_text("not json")
    state = read_lock(path)
    assert state is not None
    assert state.info is None
    assert remove_stale(path)
    assert not path.exists()
    assert not remove_stale(path)


def test_an_heir_holds_the_same_lock(tmp_path: Path) -> None:
    path = tmp_path / "gateway.lock"
    first = acquire(path, INFO)
    second = inherit(path, os.dup(first.descriptor))
    first.leave()
    assert first.descriptor == -1
    state = read_lock(path)
    assert state is not None
    assert state.is_held
    assert state.info == INFO
    with pytest.raises(AlreadyRunning):
        acquire(path, INFO)
    second.release()
    assert read_lock(path) is None


def test_a_descriptor_of_another_file_is_no_inheritance(tmp_path: Path) -> None:
    lock = acquire(tmp_path / "gateway.lock", INFO)
    with (tmp_path / "other").open("w") as other, pytest.raises(AlreadyRunning):
        inherit(tmp_path / "gateway.lock", other.fileno())
    lock.release()
