"""Programs in containers: of the real podman, with an image made of busybox.

Only when PORTICO_TEST_PODMAN is set: where containers are nested, podman 4.3 was seen to wait for
ever for a container that had ended, and tests may not hang.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from portico.agents.tools.contract import ToolCall, ToolError, tools_of
from portico.agents.tools.exec import container
from portico.agents.tools.exec.judge import Judge
from portico.agents.tools.exec.model import Command, ExecSettings, SandboxSettings
from portico.agents.tools.exec.tools import ExecDone, ExecTools
from portico.approvals.model import ApprovalAsked, Decided
from portico.clock import SystemClock
from tests.support.waiting import eventually

CALL = ToolCall(agent_id="main", session_key="agent:main:main", call_id="c1", run_id="r1")
IMAGE = "localhost/portico-test:1"
BOX = SandboxSettings(engine="podman", image=IMAGE, memory_mb=64, most_processes=32)
SETTINGS = ExecSettings(host="sandbox", security="full", ask="off", sandbox=BOX)
PROGRAMS = ("sh", "cat", "echo", "env", "false", "id", "ls", "sleep", "touch", "wc", "head", "tr")


class Nobody:
    """A policy and a person who never come to speak; a yes would be noticed."""

    def __init__(self) -> None:
        self.asked: list[ApprovalAsked] = []

    def check(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("the policy is about this machine")

    def when_unanswered(self, *_: Any) -> Any:
        return "deny"

    async def ask(self, asked: ApprovalAsked, *, timeout_s: float) -> Decided:
        self.asked.append(asked)
        return Decided("allow-once")


@dataclass
class Harbour:
    """The tool on a workspace, with podman."""

    folder: Path
    env: dict[str, str]
    settings: ExecSettings = SETTINGS

    def __post_init__(self) -> None:
        self.nobody = Nobody()
        tools = ExecTools(
            settings_for=lambda _agent: self.settings,
            workspace_of=lambda _agent: self.folder,
            judge=Judge(policy=self.nobody, approvals=self.nobody, patience_s=1),
            clock=SystemClock(),
            search_path="/nowhere",
            engine_env=self.env,
        )
        (self._tool,) = tools_of(tools)

    async def run(self, **given: Any) -> ExecDone:
        done: ExecDone = await self._tool.run(CALL, given)
        return done

    async def sh(self, script: str, **given: Any) -> ExecDone:
        return await self.run(argv=["sh", "-c", script], **given)

    def containers(self) -> list[str]:
        listed = podman(self.env, "ps", "--all", "--format={{.Names}}")
        return [name for name in listed.stdout.split() if name.startswith("portico-")]


def podman(env: dict[str, str], *arguments: str, given: bytes = b"") -> Any:
    return subprocess.run(
        ["podman", *arguments],
        input=given or None,
        capture_output=True,
        text=not given,
        check=False,
        timeout=60,
        env={"PATH": container.SEARCH_PATH, **env},
    )


@pytest.fixture(scope="module")
def podman_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An engine with a store of its own, and the image in it."""
    if not os.environ.get("PORTICO_TEST_PODMAN"):
        pytest.skip("PORTICO_TEST_PODMAN is not set")
    busybox = shutil.which("busybox", path="/bin:/usr/bin")
    if shutil.which("podman") is None or busybox is None:
        pytest.skip("podman or busybox is not installed (apt install podman runc busybox-static)")
    home = tmp_path_factory.mktemp("podman")
    (home / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\nrunroot = "{home}/run"\ngraphroot = "{home}/graph"\n'
    )
    runtime = "runc" if shutil.which("runc") else "crun"
    (home / "containers.conf").write_text(
        f'[engine]\nruntime = "{runtime}"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n'
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
    )
    env = {
        "HOME": str(home),
        "CONTAINERS_STORAGE_CONF": str(home / "storage.conf"),
        "CONTAINERS_CONF": str(home / "containers.conf"),
    }
    root = home / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(busybox, root / "bin" / "busybox")
    for name in PROGRAMS:
        (root / "bin" / name).symlink_to("busybox")
    (home / "root.tar").write_bytes(
        subprocess.run(["tar", "-C", root, "-c", "."], capture_output=True, check=True).stdout
    )
    made = podman(env, "import", str(home / "root.tar"), IMAGE)
    tried = podman(env, "run", "--rm", "--network=none", "--memory=64m", IMAGE, "/bin/echo", "up")
    if tried.stdout != "up\n":
        pytest.skip(f"podman does not work here: {(made.stderr + tried.stderr).strip()[-300:]}")
    yield env
    podman(env, "rmi", "--force", IMAGE)
    subprocess.run(["chmod", "-R", "u+rwX", str(home)], check=False)


@pytest.fixture
def harbour(tmp_path: Path, podman_env: dict[str, str]) -> Iterator[Harbour]:
    made = Harbour(tmp_path / "workspace", podman_env)
    yield made
    assert made.containers() == []


async def test_a_program_of_the_image_has_the_workspace_and_nothing_else(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    done = await harbour.sh("echo made > here; pwd; id -u; cat here; echo words >&2; exit 3")
    assert (done.status, done.exit_code) == ("failed", 3)
    assert done.stdout.split() == [str(harbour.folder), str(os.getuid()), "made"]
    assert done.stderr == "words\n"
    assert (harbour.folder / "here").stat().st_uid == os.getuid()
    assert (await harbour.run(command="ls /sys/class/net")).stdout == "lo\n"
    assert "canary" not in (await harbour.run(command="env", env={"GREETING": "hi"})).stdout
    assert "GREETING=hi" in (await harbour.run(command="env", env={"GREETING": "hi"})).stdout
    outside = await harbour.sh(f"ls {Path(__file__).parent} /etc/hostname; touch /x /bin/x")
    assert outside.exit_code != 0
    assert "Read-only file system" in outside.stderr
    caps = await harbour.run(command="cat /proc/self/status")
    assert "CapEff:\t0000000000000000" in caps.stdout
    missing = await harbour.run(command="no-such-program")
    assert (missing.status, missing.exit_code) == ("failed", 127)


async def test_it_may_only_read_the_workspace_when_that_is_configured(harbour: Harbour) -> None:
    (harbour.folder).mkdir()
    (harbour.folder / "note").write_text("kept")
    more = harbour.folder.parent / "more"
    more.mkdir()
    (more / "data").write_text("seen")
    box = replace(BOX, is_read_only=True, paths=(str(more),))
    harbour.settings = replace(SETTINGS, sandbox=box)
    done = await harbour.sh(f"cat note {more}/data; touch new {more}/new")
    assert done.stdout == "keptseen"
    assert done.exit_code != 0
    assert [one.name for one in harbour.folder.iterdir()] == ["note"]
    assert [one.name for one in more.iterdir()] == ["data"]


async def test_memory_and_processes_are_limited(harbour: Harbour) -> None:
    filling = await harbour.sh("head -c 200m /dev/zero > /tmp/big && echo past")
    assert filling.exit_code != 0
    assert "past" not in filling.stdout
    small = await harbour.sh("head -c 9m /dev/zero > /tmp/small && echo past")
    assert small.stdout == "past\n"
    forking = await harbour.sh(
        "i=0; while [ $i -lt 60 ]; do sleep 5 & i=$((i+1)); done; echo all", timeout=20
    )
    assert "all" not in forking.stdout


async def test_it_ends_with_its_time_and_with_its_turn(harbour: Harbour) -> None:
    done = await harbour.sh("echo begun; sleep 60", timeout=2)
    assert (done.status, done.exit_code, done.stdout) == ("timeout", None, "begun\n")
    assert harbour.containers() == []
    going = asyncio.ensure_future(harbour.sh("touch up; sleep 60", timeout=60))
    await eventually(lambda: (harbour.folder / "up").exists())
    assert len(harbour.containers()) == 1
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert harbour.containers() == []


async def test_what_the_doctor_finds(podman_env: dict[str, str]) -> None:
    assert container.trouble(BOX, podman_env) is None
    problem = container.trouble(replace(BOX, image="localhost/absent:1"), podman_env)
    assert problem is not None
    assert "cannot use localhost/absent:1" in problem


def command_in(folder: Path) -> Command:
    return Command(
        argv=("ls", "-l"), text="ls -l", workspace=folder, cwd=folder, env={"HOME": str(folder)}
    )


def test_what_the_engines_are_told(tmp_path: Path) -> None:
    line = container.wrapped("podman", command_in(tmp_path), BOX, name="portico-x", limit_s=30)
    assert line[:5] == ["podman", "run", "--rm", "--name", "portico-x"]
    assert line[-4:] == ["--entrypoint", "ls", IMAGE, "-l"]
    assert {"--network=none", "--pull=never", "--cap-drop=ALL", "--timeout=40"} <= {*line}
    docker = replace(BOX, engine="docker", has_network=True)
    line = container.wrapped("docker", command_in(tmp_path), docker, name="n", limit_s=30)
    assert not {"--network=none", "--timeout=40", "--userns=keep-id"} & {*line}
    assert f"--user={os.getuid()}:{os.getgid()}" in line
    with pytest.raises(ToolError, match="cannot be given a path"):
        container.wrapped("podman", command_in(Path("/a,ro=false")), BOX, name="n", limit_s=1)


async def test_without_the_engine_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "find_engine", lambda _engine: None)
    with pytest.raises(ToolError, match="podman is not installed"):
        await Harbour(tmp_path, {}).run(command="ls")
    assert "not installed" in str(container.trouble(BOX, {}))


@pytest.mark.parametrize(("ask", "asked"), [("off", 0), ("on-miss", 1), ("always", 1)])
async def test_the_list_of_this_machine_says_nothing_about_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Any, asked: int
) -> None:
    monkeypatch.setattr(container, "find_engine", lambda _engine: None)
    harbour = Harbour(tmp_path, {}, replace(SETTINGS, security="allowlist", ask=ask))
    with pytest.raises(ToolError, match="may not run" if ask == "off" else "not installed"):
        await harbour.run(command="ls")
    assert len(harbour.nobody.asked) == asked
