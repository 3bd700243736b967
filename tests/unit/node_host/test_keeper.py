from __future__ import annotations

import os
import signal
import subprocess
import sys

from portico.node_host import keeper


def keep(*lines: str) -> None:
    """Run the keeper until it has done its work."""
    words = [sys.executable, "-I", "-S", os.fspath(keeper.__file__)]
    subprocess.run(words, input="\n".join(lines) + "\n", text=True, check=True, timeout=20)


def test_what_has_not_ended_is_left() -> None:
    said = ["=mark\n", "+10\n", "+11\n", "-10\n", "+1\n", "junk\n", "+-3\n"]
    assert keeper.left_of(said) == ({11}, "mark")


def test_it_ends_what_its_host_has_left() -> None:
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    keep(f"+{child.pid}")
    assert child.wait(30) == -signal.SIGKILL


def test_it_ends_what_has_the_mark_and_nothing_else() -> None:
    ours = subprocess.Popen(["sleep", "600"], env={**os.environ, keeper.MARK: "m-1"})
    other = subprocess.Popen(["sleep", "600"], env={**os.environ, keeper.MARK: "m-12"})
    try:
        keep("=m-1")
        assert ours.wait(30) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
