from __future__ import annotations

from pathlib import Path

import msgspec

from portico.updates.log import MOST, UpdateLog
from portico.updates.model import UpdateRun


def run(number: int) -> UpdateRun:
    return UpdateRun(
        run_id=f"run-{number}", created_at_ms=number, updated_at_ms=number, trigger="api"
    )


def test_the_last_ones_are_remembered_newest_first(tmp_path: Path) -> None:
    log = UpdateLog(tmp_path / "updates" / "runs.json")
    assert log.runs() == []
    for number in range(MOST + 2):
        log.put(run(number))
    ended = msgspec.structs.replace(run(MOST), status="failed", phase="finished")
    log.put(ended)
    runs = log.runs()
    assert (len(runs), runs[0].run_id, runs[1]) == (MOST, f"run-{MOST + 1}", ended)
    assert log.find("run-0") is None
    assert log.find(f"run-{MOST}") == ended


def test_a_broken_file_counts_as_empty(tmp_path: Path) -> None:
    file = tmp_path / "runs.json"
    file.write_text("{")
    log = UpdateLog(file)
    assert log.runs() == []
    log.put(run(1))
    assert log.find("run-1") == run(1)
