from __future__ import annotations

import json
import os
from pathlib import Path

from portico.process.lock import LockInfo
from portico.process.openclaw_lock import announce, path_of, start_time, withdraw

INFO = LockInfo(pid=os.getpid(), port=18789, started_at=1_700_000_000_000, config_path="/c.json")


def test_what_clients_of_openclaw_find(tmp_path: Path) -> None:
    announce(tmp_path, INFO)
    path = path_of(tmp_path)
    assert path == tmp_path / "tmp" / f"openclaw-{os.getuid()}" / "gateway.state.lock"
    said = json.loads(path.read_text())
    assert (said["pid"], said["port"], said["role"]) == (os.getpid(), 18789, "gateway")
    assert said["createdAt"] == "2023-11-14T22:13:20.000Z"
    assert (said["configPath"], said["stateDir"]) == ("/c.json", str(tmp_path))
    assert said.get("startTime") == start_time(os.getpid())
    withdraw(tmp_path, os.getpid() + 1)
    assert path.exists(), "another process's sign stays"
    withdraw(tmp_path, os.getpid())
    assert not path.exists()
    withdraw(tmp_path, os.getpid())


def test_a_process_that_is_not_there_has_no_start() -> None:
    assert start_time(2**30) is None


def test_a_place_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "tmp").write_text("in the way")
    announce(tmp_path, INFO)
    withdraw(tmp_path, INFO.pid)
