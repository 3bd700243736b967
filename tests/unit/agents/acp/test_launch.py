from __future__ import annotations

from pathlib import Path

import pytest

from portico.agents.acp.launch import find_program


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
