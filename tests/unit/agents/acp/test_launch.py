from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from portico.agents.acp.launch import find_program, tied

needs_setpriv = pytest.mark.skipif(not tied([]), reason="setpriv of util-linux is not installed")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    made = tmp_path / "bin" / "agent"
    made.parent.mkdir()
    made.touch(mode=0o755)
    return made


def test_a_bare_name_is_looked_up_on_the_path_it_is_given(program: Path) -> None:
    folder = str(program.parent)
    assert find_program("agent", cwd=None, path=f"/none:{folder}") == str(program)
    assert find_program("agent", cwd=folder, path="/none") is None


def test_a_relative_path_counts_from_where_the_program_works(program: Path) -> None:
    assert find_program("./bin/agent", cwd=str(program.parents[1]), path=None) == str(program)
    assert find_program("bin/agent", cwd=None, path=str(program.parents[1])) is None


def test_what_cannot_be_run_is_no_program(program: Path) -> None:
    assert find_program(str(program), cwd=None, path=None) == str(program)
    assert find_program(str(program.parent), cwd=None, path=None) is None
    program.chmod(0o644)
    assert find_program(str(program), cwd=None, path=None) is None
    assert find_program("agent", cwd=None, path=str(program.parent)) is None


def run(script: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        tied(["sh", "-c", script, "sh", "a b", "$HOME"]),
        input=given,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        start_new_session=True,
    )


@needs_setpriv
def test_a_tied_program_has_its_arguments_and_its_pipes() -> None:
    done = run('cat; printf "%s|" "$@"; echo words >&2; exit 3', "input")
    assert (done.stdout, done.stderr, done.returncode) == ("inputa b|$HOME|", "words\n", 3)


@needs_setpriv
def test_a_tied_program_may_take_its_time_to_end() -> None:
    script = "trap 'sleep 0.3; echo in peace; exit 4' TERM; echo up; sleep 30 >/dev/null & wait"
    with subprocess.Popen(
        tied(["sh", "-c", script]), stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)  # to who guards it alone: it goes on
        os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout.read() == "in peace\n"
        assert process.wait(30) == 4
