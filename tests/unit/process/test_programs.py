"""Running other programs: real ones."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from portico.process.programs import ProgramMissing, ProgramTooSlow, run_program
from tests.support.waiting import eventually

ENV = {"PATH": os.environ["PATH"]}


async def python(program: str, *, timeout_s: float = 20, most: int = 1_000, stdin: bytes = b""):
    return await run_program(
        [sys.executable, "-c", program],
        env=ENV,
        timeout_s=timeout_s,
        max_output_bytes=most,
        stdin=stdin,
    )


async def test_input_output_and_exit_code() -> None:
    done = await python(
        "import sys; print(sys.stdin.read().upper()); print('no', file=sys.stderr); sys.exit(4)",
        stdin=b"hi",
    )
    assert (done.code, done.stdout, done.stderr, done.is_cut) == (4, b"HI\n", b"no\n", False)


async def test_arguments_are_not_read_by_a_shell(tmp_path: Path) -> None:
    done = await run_program(
        ["echo", "$HOME; touch x", "`id`"],
        env=ENV,
        timeout_s=20,
        max_output_bytes=100,
        cwd=tmp_path,
    )
    assert done.stdout == b"$HOME; touch x `id`\n"
    assert list(tmp_path.iterdir()) == []


async def test_only_the_environment_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", "s3cret")
    done = await python("import os; print('PLANTED' in os.environ)")
    assert done.stdout == b"False\n"


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
async def test_a_program_that_does_not_read_its_input(size: int) -> None:
    for _ in range(5):
        done = await python("import os; os.close(0); print('done')", stdin=b"x" * size)
        assert done.stdout == b"done\n"


async def test_a_program_that_writes_too_much_is_killed() -> None:
    done = await python("while True: print('x' * 10_000)", most=500)
    assert done.is_cut
    assert len(done.stdout) == 500
    assert done.code != 0


async def test_one_that_may_say_more_goes_on_and_its_beginning_and_end_are_kept() -> None:
    done = await run_program(
        [sys.executable, "-c", "print('first'); print('x' * 1_000_000); print('last')"],
        env=ENV,
        timeout_s=20,
        max_output_bytes=100,
        may_say_more=True,
    )
    assert (done.code, done.is_cut, len(done.stdout)) == (0, True, 100)
    assert done.stdout.startswith(b"first\nx")
    assert done.stdout.endswith(b"x\nlast\n")
    short = await run_program(
        ["echo", "all"], env=ENV, timeout_s=20, max_output_bytes=100, may_say_more=True
    )
    assert (short.stdout, short.is_cut) == (b"all\n", False)


async def test_one_that_is_too_slow_has_written_something() -> None:
    with pytest.raises(ProgramTooSlow) as failed:
        await run_program(
            ["sh", "-c", "echo begun; exec sleep 600"], env=ENV, timeout_s=2, max_output_bytes=100
        )
    assert failed.value.stdout == b"begun\n"


@pytest.mark.parametrize("leaves_the_group", [False, True])
async def test_what_a_program_leaves_behind_holds_nobody_up(
    tmp_path: Path, leaves_the_group: bool
) -> None:
    note = tmp_path / "pid"
    program = (
        "import subprocess, sys; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], "
        f"start_new_session={leaves_the_group}); "
        f"open({str(note)!r}, 'w').write(str(child.pid)); print('done')"
    )
    done = await python(program, timeout_s=60)
    assert (done.code, done.stdout) == (0, b"done\n")
    child = int(note.read_text())
    if leaves_the_group:
        assert _runs(child)  # a daemon of its own is not ours to find
        os.kill(child, signal.SIGKILL)
    await eventually(lambda: not _runs(child))


async def test_a_program_that_is_too_slow_is_killed_with_what_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    program = ["sh", "-c", "sleep 600 & echo $! > $0; wait", str(note)]
    slow = run_program(program, env=ENV, timeout_s=3, max_output_bytes=100)
    running = asyncio.gather(slow, return_exceptions=True)
    await eventually(lambda: note.exists() and note.read_text() != "")
    (failed,) = await running
    assert isinstance(failed, ProgramTooSlow)
    child = int(note.read_text())
    await eventually(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def test_cancelling_kills_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    program = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    task = asyncio.create_task(python(program))
    await eventually(lambda: note.exists() and note.read_text() != "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _runs(int(note.read_text()))


@pytest.mark.parametrize("argv", [["no-such-program"], ["a\0b"]])
async def test_a_program_that_is_not_there(argv: list[str]) -> None:
    with pytest.raises(ProgramMissing):
        await run_program(argv, env=ENV, timeout_s=1, max_output_bytes=1)


async def test_one_that_never_stops_writing_is_killed_at_once() -> None:
    done = await run_program(["yes"], env=ENV, timeout_s=20, max_output_bytes=1_000)
    assert (done.code, done.stdout, done.is_cut) == (-signal.SIGKILL, b"y\n" * 500, True)


async def test_output_and_start_are_told_as_they_come() -> None:
    heard = bytearray()
    groups: list[int] = []
    done = await run_program(
        ["sh", "-c", "echo one; echo two >&2"],
        env=ENV,
        timeout_s=20,
        max_output_bytes=1_000,
        on_start=groups.append,
        on_output=heard.extend,
    )
    assert (done.code, len(groups)) == (0, 1)
    assert sorted(bytes(heard).split()) == [b"one", b"two"]


async def test_one_that_is_cancelled_while_it_starts_does_not_stay(tmp_path: Path) -> None:
    program = "sleep 600 & echo $! > $$.pid; wait"
    for turns in range(8):
        running = asyncio.ensure_future(
            run_program(
                ["sh", "-c", program], env=ENV, timeout_s=60, max_output_bytes=10, cwd=tmp_path
            )
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])

    def none_left() -> bool:
        pids = [file.read_text().strip() for file in tmp_path.glob("*.pid")]
        return not any(pid and _runs(int(pid)) for pid in pids)

    await asyncio.sleep(0.2)  # time to write a pid, for one that was not killed
    await eventually(none_left)
