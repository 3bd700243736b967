"""Stop and status, with a process that holds the lock as a gateway does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HOLDER = """
import os, signal, sys, time
from pathlib import Path
from portico.process.lock import LockInfo, acquire
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
info = LockInfo(pid=os.getpid(), port=1, started_at=time.time_ns() // 1_000_000, url="http://127.0.0.1:1")
lock = acquire(Path(sys.argv[1]), info)
print("held", flush=True)
time.sleep(60)
"""

Hold = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def hold(home: Path) -> Iterator[Hold]:
    started: list[subprocess.Popen[str]] = []
    path = home / ".portico" / "gateway.lock"

    def start(*options: str) -> subprocess.Popen[str]:
        path.parent.mkdir(exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path), *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_stop_waits_until_the_gateway_has_ended(portico, hold) -> None:
    process = hold()
    shown = portico("gateway", "stop", "--json")
    assert shown.code == 0
    assert shown.json == {"stopped": True, "pid": process.pid}
    assert process.wait(30) == -15


def test_stop_of_what_does_not_run_is_no_error(portico) -> None:
    shown = portico("gateway", "stop", "--json")
    assert shown.code == 0
    assert shown.json == {"stopped": False, "pid": None}


def test_stop_gives_up_and_says_how_to_force_it(portico, hold) -> None:
    process = hold("stubborn")
    shown = portico("gateway", "stop", "--wait", "0.2", "--json")
    assert shown.code == 1
    assert "--force" in shown.error["next_step"]
    assert process.poll() is None
    assert portico("gateway", "stop", "--wait", "0.2", "--force").code == 0
    assert process.wait(30) == -9


def test_status_of_what_does_not_run(portico) -> None:
    shown = portico("gateway", "status", "--json")
    assert shown.code == 3
    assert shown.json["running"] is False


def test_status_of_a_gateway_that_does_not_answer(portico, hold) -> None:
    hold()
    shown = portico("gateway", "status", "--json", "--timeout", "2")
    assert shown.code == 3
    assert shown.error["code"] == "gateway.unreachable"
