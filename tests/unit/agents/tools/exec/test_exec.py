"""Running programs: what may run, with what, and how it ends. Real programs, a real sandbox."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from portico.agents.tools.contract import ToolCall, ToolError, tools_of
from portico.agents.tools.exec import sandbox
from portico.agents.tools.exec.judge import Judge
from portico.agents.tools.exec.model import Command, ExecSettings, SandboxSettings
from portico.agents.tools.exec.tools import ExecDone, ExecTools, environment
from portico.approvals.model import ApprovalAsked, Decided
from portico.clock import SystemClock
from portico.protocol.scopes import Scope
from tests.support.waiting import eventually

CALL = ToolCall(agent_id="main", session_key="agent:main:main", call_id="c1", run_id="r1")
SEARCH_PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"
HERE = ExecSettings(host="gateway", security="full", ask="off")
BOXED = ExecSettings(host="sandbox", security="full", ask="off")
FORBIDDEN = (
    *("PATH", "HOME", "LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "PERL5OPT", "BASH_ENV"),
    *("NODE_OPTIONS", "GIT_SSH_COMMAND", "HTTPS_PROXY", "https_proxy"),
)
needs_bwrap = pytest.mark.skipif(
    sandbox.trouble() is not None, reason=f"no sandbox: {sandbox.trouble()}"
)


@dataclass
class Machine:
    """The policy of a machine and the person who is asked; the test says what both do."""

    verdict: str = "allow"
    unanswered: str = "deny"
    answer: Decided = field(default_factory=lambda: Decided("allow-once"))
    checked: list[tuple[Any, ...]] = field(default_factory=list)
    asked: list[ApprovalAsked] = field(default_factory=list)

    def check(self, agent_id: str, argv: Sequence[str], *, security: str, ask: str) -> Any:
        self.checked.append((agent_id, tuple(argv), security, ask))
        return self.verdict

    def when_unanswered(self, agent_id: str, argv: Sequence[str]) -> Any:
        return self.unanswered

    async def ask(self, asked: ApprovalAsked, *, timeout_s: float) -> Decided:
        self.asked.append(asked)
        return self.answer


@dataclass
class Shop:
    """The tool on a workspace."""

    folder: Path
    settings: ExecSettings = HERE
    machine: Machine = field(default_factory=Machine)
    variables: dict[str, str] = field(default_factory=dict)

    async def _variables(self, agent_id: str) -> dict[str, str]:
        return self.variables if agent_id == "main" else {}

    async def run(self, call: ToolCall = CALL, /, **given: Any) -> ExecDone:
        tools = ExecTools(
            settings_for=lambda _agent: self.settings,
            workspace_of=lambda agent: self.folder if agent == "main" else None,
            judge=Judge(policy=self.machine, approvals=self.machine, patience_s=1),
            clock=SystemClock(),
            search_path=SEARCH_PATH,
            variables_for=self._variables,
        )
        (tool,) = tools_of(tools)
        done: ExecDone = await tool.run(call, given)
        return done

    async def refusal(self, call: ToolCall = CALL, /, **given: Any) -> str:
        with pytest.raises(ToolError) as refused:
            await self.run(call, **given)
        return str(refused.value)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "workspace")


async def test_a_program_runs_in_the_workspace(shop: Shop) -> None:
    done = await shop.run(command="pwd")
    assert (done.status, done.exit_code, done.host) == ("completed", 0, "gateway")
    assert done.stdout.strip() == done.cwd == str(shop.folder)
    (shop.folder / "inner").mkdir()
    assert (await shop.run(command="pwd", workdir="inner")).stdout.endswith("/inner\n")
    failed = await shop.run(argv=["python3", "-c", "import sys; sys.exit('no')"])
    assert (failed.status, failed.exit_code, failed.stderr) == ("failed", 1, "no\n")


async def test_the_keys_of_skills_are_there_but_not_in_the_sandbox(shop: Shop) -> None:
    shop.variables = {"TRACKER_TOKEN": "k", "LANG": "x", "LD_PRELOAD": "/x.so"}
    show = "import os; print(*(os.environ.get(n) for n in ('TRACKER_TOKEN', 'LANG', 'LD_PRELOAD')))"
    assert (await shop.run(argv=["python3", "-c", show])).stdout == "k C.UTF-8 None\n"
    argv = ["python3", "-c", show]
    own = await shop.run(argv=argv, env={"TRACKER_TOKEN": "mine"})
    assert own.stdout.startswith("mine ")
    if sandbox.trouble() is None:
        shop.settings = replace(HERE, host="sandbox")
        assert "k " not in (await shop.run(argv=argv)).stdout


async def test_there_is_no_shell(shop: Shop) -> None:
    for command in ("echo hi | cat", "ls && pwd", "echo x > y", "sleep 9 &", "a ; b"):
        assert "There is no shell" in await shop.refusal(command=command)
    done = await shop.run(command="echo '$HOME' `id` $(id) *")
    assert done.stdout == "$HOME `id` $(id) *\n"
    done = await shop.run(argv=["echo", "a|b", "|", "$(touch x)"])
    assert done.stdout == "a|b | $(touch x)\n"
    assert [*shop.folder.iterdir()] == []


async def test_a_shell_can_be_configured(shop: Shop) -> None:
    shop.settings = replace(HERE, shell=True)
    done = await shop.run(command="echo hi | tr a-z A-Z; pwd > here")
    assert done.stdout == "HI\n"
    assert (shop.folder / "here").read_text().strip() == str(shop.folder)
    assert shop.machine.checked[0][1][:2] == ("/bin/sh", "-c")


async def test_its_environment_is_made_for_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTICO_TOKEN", "canary")
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    done = await shop.run(command="env", env={"GREETING": "hi"})
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert names == {"PATH", "HOME", "LANG", "TERM", "GREETING"}
    assert f"HOME={shop.folder}" in done.stdout
    assert "canary" not in done.stdout


@pytest.mark.parametrize("name", ["1A", "a-b", "X=Y", "", *FORBIDDEN])
async def test_variables_that_change_what_runs_are_refused(shop: Shop, name: str) -> None:
    assert "cannot be given" in await shop.refusal(command="env", env={name: "x"})


@pytest.mark.parametrize("workdir", ["..", "/", "/tmp", "link", "missing", "file"])
async def test_it_begins_within_the_workspace(shop: Shop, workdir: str) -> None:
    shop.folder.mkdir()
    (shop.folder / "link").symlink_to("/")
    (shop.folder / "file").write_text("")
    assert "not a directory of the workspace" in await shop.refusal(command="pwd", workdir=workdir)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "either command or argv"),
        ({"command": "  "}, "either command or argv"),
        ({"command": "ls", "argv": ["ls"]}, "either command or argv"),
        ({"command": "echo 'open"}, "cannot be split"),
        ({"command": "no-such-program-here"}, "There is no program"),
        ({"command": "../outside.sh"}, "There is no program"),
        ({"command": "a\0b"}, "no NUL"),
        ({"argv": [""]}, "There is no program"),
    ],
)
async def test_what_is_no_command(shop: Shop, given: dict[str, Any], said: str) -> None:
    assert said in await shop.refusal(**given)


async def test_who_has_no_workspace_or_is_not_configured(shop: Shop) -> None:
    other = replace(CALL, agent_id="other")
    assert "no workspace" in await shop.refusal(other, command="pwd")
    shop.settings = ExecSettings()
    assert "switched off" in await shop.refusal(command="pwd")
    shop.settings = replace(HERE, host="node")
    assert "nodes" in await shop.refusal(command="pwd")


async def test_what_it_writes_is_bounded_and_shown_from_both_ends(shop: Shop) -> None:
    shop.settings = replace(HERE, max_output_bytes=1_000)
    done = await shop.run(argv=["python3", "-c", "print('first', 'x' * 10**6, 'last')"])
    assert (done.status, done.truncated) == ("completed", True)
    assert len(done.stdout) == 1_000
    assert done.stdout.startswith("first x")
    assert done.stdout.endswith("x last\n")


async def test_time_is_bounded_by_the_call_and_the_configuration(shop: Shop) -> None:
    slow = ["sh", "-c", "echo begun; exec sleep 600"]
    done = await shop.run(argv=slow, timeout=1)
    assert (done.status, done.exit_code, done.stdout) == ("timeout", None, "begun\n")
    shop.settings = replace(HERE, longest_s=1)
    assert (await shop.run(argv=slow, timeout=600)).status == "timeout"


async def test_a_stopped_turn_ends_what_it_started(shop: Shop) -> None:
    shop.folder.mkdir()
    note = shop.folder / "pids"
    program = (
        "import os, subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "open('pids', 'w').write(f'{os.getpid()} {child.pid} '); time.sleep(600)"
    )
    running = asyncio.create_task(shop.run(argv=["python3", "-c", program]))
    await eventually(lambda: note.exists() and note.read_text().endswith(" "))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    for pid in note.read_text().split():
        await eventually(lambda pid=pid: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))
    assert not [p for p in _children() if _is_zombie(p)]


def _is_zombie(pid: str) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _children() -> list[str]:
    me = os.getpid()
    return Path(f"/proc/{me}/task/{me}/children").read_text().split()


# -- who may ---------------------------------------------------------------------------------------


async def test_the_policy_judges_the_program_by_its_path(shop: Shop) -> None:
    shop.settings = replace(HERE, security="allowlist", ask="always")
    await shop.run(command="echo hi")
    ((agent, argv, security, ask),) = shop.machine.checked
    assert agent == "main"
    assert argv[0].startswith("/")
    assert argv[0].endswith("/echo")
    assert argv[1:] == ("hi",)
    assert (security, ask) == ("allowlist", "always")
    shop.machine.verdict = "deny"
    assert "may not run: " in await shop.refusal(command="echo hi")


async def test_a_person_is_asked_and_answers(shop: Shop) -> None:
    shop.machine.verdict = "ask"
    assert (await shop.run(command="echo hi", workdir=".")).stdout == "hi\n"
    (asked,) = shop.machine.asked
    assert asked.command.endswith("/echo hi")
    assert asked.command_argv[1:] == ("hi",)
    assert (asked.agent_id, asked.session_key, asked.run_id) == ("main", CALL.session_key, "r1")
    assert (asked.cwd, asked.host, asked.warning) == (str(shop.folder), "gateway", None)
    for answer, said in (
        (Decided("deny"), "it was refused"),
        (Decided(None, "expired"), "nobody answered in time"),
        (Decided(None, "no-approval-route"), "nobody could be asked"),
    ):
        shop.machine.answer = answer
        assert said in await shop.refusal(command="touch done")
    assert not (shop.folder / "done").exists()


async def test_the_policy_says_what_no_answer_means(shop: Shop) -> None:
    shop.machine.verdict, shop.machine.unanswered = "ask", "allow"
    shop.machine.answer = Decided(None, "no-approval-route")
    assert (await shop.run(command="echo hi")).stdout == "hi\n"
    shop.machine.answer = Decided("deny")  # a no is an answer
    assert "refused" in await shop.refusal(command="echo hi")
    shop.machine.answer = Decided(None, "no-approval-route")
    untrusted = replace(CALL, is_untrusted=True)
    assert "nobody could be asked" in await shop.refusal(untrusted, command="echo hi")
    assert "talked into" in (shop.machine.asked[-1].warning or "")


async def test_the_sandbox_has_its_own_rules(shop: Shop) -> None:
    judge = Judge(policy=shop.machine, approvals=shop.machine, patience_s=1)
    command = Command(argv=("/bin/ls",), text="ls", workspace=shop.folder, cwd=shop.folder, env={})
    shop.machine.verdict = "deny"
    await judge.check(CALL, command, BOXED)  # the policy is about this machine
    assert shop.machine.checked == []
    await judge.check(CALL, command, replace(BOXED, ask="always"))
    assert len(shop.machine.asked) == 1
    with pytest.raises(ToolError):
        await judge.check(CALL, command, replace(BOXED, security="allowlist"))


# -- the sandbox -----------------------------------------------------------------------------------


def box(folder: Path, **settings: Any) -> list[str]:
    command = Command(argv=("/bin/ls", "-l"), text="", workspace=folder, cwd=folder, env={"A": "b"})
    return sandbox.wrapped("/usr/bin/bwrap", command, SandboxSettings(**settings))


def test_how_the_sandbox_is_called(tmp_path: Path) -> None:
    line = box(tmp_path)
    assert line[0] == "/usr/bin/bwrap"
    assert line[line.index("--") :] == ["--", "/bin/ls", "-l"]
    for option in ("--unshare-all", "--die-with-parent", "--clearenv", "--new-session"):
        assert option in line
    assert "--share-net" not in line
    assert "/etc/resolv.conf" not in line
    assert "/etc" not in line
    place = str(tmp_path)
    assert _pairs(line, "--bind") == [(place, place)]
    opened = box(tmp_path, has_network=True, is_read_only=True, paths=("/srv/data",))
    assert "--share-net" in opened
    assert "/etc/resolv.conf" in opened
    assert _pairs(opened, "--bind") == []
    assert (place, place) in _pairs(opened, "--ro-bind")
    assert ("/srv/data", "/srv/data") in _pairs(opened, "--ro-bind-try")


def _pairs(line: list[str], option: str) -> list[tuple[str, str]]:
    return [(line[i + 1], line[i + 2]) for i, word in enumerate(line) if word == option]


async def test_without_a_sandbox_nothing_runs(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.settings = BOXED
    monkeypatch.setattr(sandbox, "find_program", lambda: None)
    assert "bubblewrap is not installed" in await shop.refusal(command="touch x")
    assert [*shop.folder.iterdir()] == []
    assert sandbox.trouble() == "bubblewrap (bwrap) is not installed"


@needs_bwrap
async def test_what_a_program_in_the_sandbox_sees(shop: Shop) -> None:
    shop.settings = BOXED
    shop.folder.mkdir()
    secret = shop.folder.parent / "secret"
    secret.write_text("canary")
    (shop.folder / "note").write_text("mine")
    (shop.folder / "leak").symlink_to(secret)
    assert (await shop.run(command="cat note")).stdout == "mine"
    for path in (str(secret), "leak", "/etc/passwd", "/etc/shadow", f"/proc/{os.getpid()}/environ"):
        done = await shop.run(argv=["cat", path])
        assert done.status == "failed", path
        assert "canary" not in done.stdout
    done = await shop.run(command="env")
    assert "TERM=dumb" in done.stdout
    assert "PORTICO" not in done.stdout
    done = await shop.run(argv=["/bin/sh", "-c", "echo new > made; ls /; ls .."])
    assert (shop.folder / "made").read_text() == "new\n"
    assert "home" not in done.stdout.split()
    assert "secret" not in done.stdout.split()


@needs_bwrap
async def test_a_program_in_the_sandbox_has_no_network(shop: Shop) -> None:
    shop.settings = BOXED
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connect = f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected"
    async with server:
        done = await shop.run(argv=["/bin/bash", "-c", connect])
        assert (done.status, done.stdout) == ("failed", "")
        shop.settings = replace(BOXED, sandbox=SandboxSettings(has_network=True))
        done = await shop.run(argv=["/bin/bash", "-c", connect])
        assert done.stdout == "connected\n"


@needs_bwrap
async def test_a_read_only_workspace_and_the_end_of_everything_inside(shop: Shop) -> None:
    shop.settings = replace(BOXED, sandbox=SandboxSettings(is_read_only=True))
    assert (await shop.run(command="touch x")).status == "failed"
    shop.settings = BOXED
    marker = f"sleep {os.getpid()}.25"
    done = await shop.run(argv=["/bin/sh", "-c", f"setsid {marker} & {marker}"], timeout=1)
    assert done.status == "timeout"
    await eventually(lambda: not _runs(marker))


def _runs(marker: str) -> bool:
    wanted = marker.encode().replace(b" ", b"\0")
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if place.read_bytes().rstrip(b"\0") == wanted:
                return True
        except OSError:
            continue
    return False


def test_the_declaration(shop: Shop) -> None:
    tools = ExecTools(
        settings_for=lambda _: HERE,
        workspace_of=lambda _: shop.folder,
        judge=Judge(policy=shop.machine, approvals=shop.machine, patience_s=1),
        clock=SystemClock(),
        search_path="",
    )
    (tool,) = tools_of(tools)
    assert (tool.group, tool.scope, tool.changes) == ("runtime", Scope.ADMIN, True)


def test_the_environment_of_a_program(tmp_path: Path) -> None:
    given: Mapping[str, str] = {"LC_ALL": "de_DE.UTF-8"}
    assert environment(given, home=tmp_path, search_path="/bin") == {
        "PATH": "/bin",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "LC_ALL": "de_DE.UTF-8",
    }
