"""What a service manager is given, held against the managers' own parsers where they are here."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from portico.cli.service.launchd import Launchd
from portico.cli.service.plan import Service, remove, write
from portico.cli.service.systemd import Systemd, unit

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed"
)


def service(folder: Path, *, is_system: bool = False) -> Service:
    (folder / "state").mkdir(exist_ok=True)
    return Service(
        name="portico",
        python=Path(sys.executable),
        state_dir=folder / "state",
        config=folder / "state" / "portico.json",
        home=folder,
        user="daemon" if is_system else "",
        is_system=is_system,
    )


@needs_systemd
@pytest.mark.parametrize("is_system", [False, True])
@pytest.mark.parametrize("place", ["plain", "with space", "100%$HOME"])
def test_systemd_understands_the_unit(tmp_path: Path, *, is_system: bool, place: str) -> None:
    folder = tmp_path / place
    folder.mkdir()
    file = tmp_path / "portico.service"
    file.write_text(unit(service(folder, is_system=is_system)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *([] if is_system else ["--user"]), file],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_says_what_it_needs(tmp_path: Path) -> None:
    lines = unit(service(tmp_path)).splitlines()
    assert "Type=notify" in lines
    assert "ExecReload=/bin/kill -USR2 $MAINPID" in lines
    assert f"EnvironmentFile=-{tmp_path}/state/gateway.env" in lines
    assert not [line for line in lines if line.startswith("User=")]
    assert "User=daemon" in unit(service(tmp_path, is_system=True)).splitlines()


def test_launchd_gets_a_property_list(tmp_path: Path) -> None:
    (_, job) = Launchd().files(service(tmp_path))
    assert job.path == tmp_path / "Library/LaunchAgents/ai.portico.portico.plist"
    read = plistlib.loads(job.text.encode())
    assert read["Label"] == "ai.portico.portico"
    assert read["KeepAlive"] == {"SuccessfulExit": False}
    words = read["ProgramArguments"]
    assert words[:2] == ["/bin/sh", "-c"]
    assert words[5:9] == [sys.executable, "-P", "-m", "portico"]


def test_the_shell_reads_the_environment_file_and_becomes_the_gateway(tmp_path: Path) -> None:
    one = service(tmp_path)
    (_, job) = Launchd().files(one)
    words = plistlib.loads(job.text.encode())["ProgramArguments"][:5]
    one.env_file.write_text("TOKEN='a b'\n")
    program = "import os; print(os.environ['TOKEN'])"
    done = subprocess.run(
        [*words, sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "a b\n"


def test_written_twice_changes_nothing_and_the_owner_keeps_what_is_theirs(tmp_path: Path) -> None:
    files = Systemd().files(service(tmp_path))
    env_file, unit_file = (file.path for file in files)
    assert write(files) == [env_file, unit_file]
    assert env_file.stat().st_mode & 0o777 == 0o600
    env_file.write_text("TOKEN=secret\n")
    env_file.chmod(0o644)
    assert write(files) == [env_file]
    assert (env_file.stat().st_mode & 0o777, env_file.read_text()) == (0o600, "TOKEN=secret\n")
    assert write(files) == []
    assert remove(files) == [unit_file]
    assert env_file.exists()
    assert remove(files) == []
