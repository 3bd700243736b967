"""What an agent may run here; written by somebody who tries to get around it."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portico.approvals.matching import RUNNERS, Program, exactly, fits, locate
from portico.approvals.policy import Ask, ExecPolicy, Security, effective
from portico.approvals.policy_file import BrokenFile, PolicyFile
from portico.protocol.errors import InvalidRequest, Unavailable
from tests.support.clock import FakeClock

WRAPPERS = [
    ["sh", "-c", "tool"],
    ["bash", "-lc", "tool"],
    ["env", "tool"],
    ["env", "-S", "tool"],
    ["busybox", "tool"],
    ["xargs", "tool"],
    ["sudo", "tool"],
    ["nice", "tool"],
    ["timeout", "5", "tool"],
    ["find", ".", "-exec", "tool", "{}", ";"],
    ["python3", "-c", "import os; os.execvp('tool', ['tool'])"],
    ["perl", "-e", "exec 'tool'"],
    ["node", "-e", "0"],
    ["awk", 'BEGIN{system("tool")}'],
]


class Machine:
    """A machine with some programs, and a policy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self.file = folder / "state" / "exec-approvals.json"
        for name in ("tool", "other", "sh", "bash", "env", "busybox", "xargs", "sudo", "nice"):
            self.program(name)
        for name in ("timeout", "find", "python3", "perl", "node", "awk"):
            self.program(name)
        self.policy = ExecPolicy(self.file, search_path=str(self.bin), clock=FakeClock())

    def program(self, name: str, folder: Path | None = None) -> Path:
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/true {name}\n")
        path.chmod(0o755)
        return path

    def write(self, **file: Any) -> None:
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(json.dumps({"version": 1, **file}))

    def allow(self, *entries: Any, agent: str = "main", **rules: Any) -> None:
        listed = [one if isinstance(one, dict) else {"pattern": str(one)} for one in entries]
        self.write(agents={agent: {"allowlist": listed, **rules}})

    def check(self, *argv: str, agent: str = "main") -> str:
        return self.policy.check(agent, list(argv))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path.resolve() / "m")


# -- the rules --------------------------------------------------------------------------------


def test_without_a_file_everything_is_asked(machine: Machine):
    assert machine.check("tool") == "ask"
    assert machine.policy.when_unanswered("main", ["tool"]) == "deny"
    assert not machine.file.exists()


@pytest.mark.parametrize(
    ("security", "ask", "listed", "other"),
    [
        ("deny", "off", "deny", "deny"),
        ("deny", "always", "deny", "deny"),
        ("allowlist", "off", "allow", "deny"),
        ("allowlist", "on-miss", "allow", "ask"),
        ("allowlist", "always", "ask", "ask"),
        ("full", "off", "allow", "allow"),
        ("full", "on-miss", "allow", "allow"),
        ("full", "always", "ask", "ask"),
        ("FULL", "off", "deny", "deny"),
        ("full", "never", "ask", "ask"),
    ],
)
def test_security_and_ask(machine: Machine, security: str, ask: str, listed: str, other: str):
    machine.allow(machine.bin / "tool", security=security, ask=ask)
    assert machine.check("tool") == listed
    assert machine.check("other") == other


@pytest.mark.parametrize(
    ("security", "ask", "listed", "other"),
    [
        ("full", "off", "allow", "ask"),  # the file asks: it is the stricter one
        ("allowlist", "off", "allow", "ask"),
        ("full", "always", "ask", "ask"),
        ("deny", "off", "deny", "deny"),
    ],
)
def test_the_stricter_of_file_and_configuration_counts(
    machine: Machine, security: Security, ask: Ask, listed: str, other: str
):
    machine.allow(machine.bin / "tool", security="full" if security == "allowlist" else None)
    check = machine.policy.check
    assert check("main", ["tool"], security=security, ask=ask) == listed
    assert check("main", ["other"], security=security, ask=ask) == other


def test_an_agents_rules_come_before_everybodys_and_the_defaults(machine: Machine):
    machine.write(
        defaults={"security": "deny", "ask": "off"},
        agents={
            "*": {"security": "full", "allowlist": [{"pattern": str(machine.bin / "tool")}]},
            "main": {"security": "allowlist"},
        },
    )
    assert machine.check("tool") == "allow"
    assert machine.check("other") == "deny"
    assert machine.check("other", agent="else") == "allow"
    assert effective(machine.policy.read().file, None).security == "deny"


@pytest.mark.parametrize(
    ("fallback", "listed", "other"),
    [
        ("deny", "deny", "deny"),
        ("allowlist", "allow", "deny"),
        ("full", "allow", "allow"),
        ("what", "deny", "deny"),
    ],
)
def test_what_holds_when_nobody_answers(machine: Machine, fallback: str, listed: str, other: str):
    machine.allow(machine.bin / "tool", askFallback=fallback, ask="always")
    assert machine.policy.when_unanswered("main", ["tool"]) == listed
    assert machine.policy.when_unanswered("main", ["other"]) == other


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "agents": {"main": 5}}', "\xff"]
)
def test_a_broken_file_lets_nothing_run(machine: Machine, text: str):
    machine.file.parent.mkdir()
    machine.file.write_bytes(text.encode("latin-1"))
    assert machine.check("tool") == "deny"
    assert machine.policy.when_unanswered("main", ["tool"]) == "deny"
    with pytest.raises(BrokenFile):
        machine.policy.allow_always("main", ["tool"])
    assert machine.file.read_bytes() == text.encode("latin-1")


def test_a_change_of_the_file_is_seen_at_once(machine: Machine):
    for _ in range(3):
        machine.allow(machine.bin / "tool")
        assert machine.check("tool") == "allow"
        machine.allow(machine.bin / "other")
        assert machine.check("tool") == "ask"
    machine.file.unlink()
    assert machine.check("other") == "ask"


def test_a_file_that_is_too_large_is_broken(machine: Machine):
    machine.file.parent.mkdir()
    machine.file.write_text('{"version":1}' + " " * 5_000_000)
    assert machine.check("tool") == "deny"


# -- getting around the allowlist -------------------------------------------------------------


@pytest.mark.parametrize("argv", WRAPPERS, ids=lambda argv: argv[0])
def test_what_a_wrapper_runs_is_not_the_wrapper(machine: Machine, argv: list[str]):
    machine.allow(machine.bin / "tool", f"{machine.bin}/*", f"{machine.folder}/**", "/**")
    assert machine.check("tool") == "allow"
    assert machine.check(*argv) == "ask"
    assert machine.check(str(machine.bin / argv[0]), *argv[1:]) == "ask"


@pytest.mark.parametrize("argv", WRAPPERS, ids=lambda argv: argv[0])
def test_a_wrapper_needs_its_arguments_spelled_out(machine: Machine, argv: list[str]):
    wrapper = machine.bin / argv[0]
    machine.allow(wrapper)
    assert machine.check(*argv) == "ask"
    machine.allow({"pattern": str(wrapper), "argPattern": exactly(argv[1:])})
    assert machine.check(*argv) == "allow"
    assert machine.check(*argv, "more") == "ask"
    assert machine.check(argv[0]) == "ask"


def test_a_wrapper_under_another_name_is_still_one(machine: Machine):
    hidden = machine.folder / "mine" / "harmless"
    hidden.parent.mkdir()
    hidden.symlink_to(machine.bin / "sh")
    machine.allow(f"{hidden.parent}/*", hidden)
    assert machine.check(str(hidden), "-c", "tool") == "ask"
    versioned = machine.program("python3.12")
    machine.allow(versioned)
    assert machine.check("python3.12", "-c", "0") == "ask"


def test_a_link_out_of_the_folder_is_not_in_it(machine: Machine):
    outside = machine.program("evil", machine.folder / "outside")
    (machine.bin / "innocent").symlink_to(outside)
    machine.allow(f"{machine.bin}/*")
    assert machine.check("innocent") == "ask"
    machine.allow(f"{machine.bin}/*", f"{machine.folder}/outside/*")
    assert machine.check("innocent") == "ask"  # each pattern must hold for both
    machine.allow(machine.bin / "innocent")
    assert machine.check("innocent") == "allow"  # named by the operator, link and all


@pytest.mark.parametrize(
    "name",
    ["./tool", "bin/tool", "../m/bin/tool", "", "tool\0", "no-such-program", "/no/such", "."],
)
def test_a_program_that_is_not_certain_is_asked_about(
    machine: Machine, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(machine.folder)
    machine.allow("/**", machine.bin / "tool", name)
    assert machine.check(name) == "ask"


def test_a_detour_in_the_path_is_asked_about(machine: Machine):
    machine.allow("/**", machine.bin / "tool")
    for detour in ("/./", "//", "/../bin/"):
        assert machine.check(f"{machine.bin}{detour}tool") == "ask"
    assert machine.check(f"{machine.bin}/tool") == "allow"


def test_names_alone_and_relative_patterns_match_nothing(machine: Machine):
    for pattern in ("tool", "*", "**", "bin/tool", "./tool", "", "*/tool", "~nobody-here/tool"):
        machine.allow(pattern)
        assert machine.check("tool") == "ask", pattern


def test_a_folder_earlier_in_the_path_is_another_program(machine: Machine, tmp_path: Path):
    machine.allow(machine.bin / "tool")
    shadow = machine.program("tool", tmp_path / "shadow")
    policy = ExecPolicy(
        machine.file, search_path=f".:{shadow.parent}:{machine.bin}", clock=FakeClock()
    )
    assert policy.check("main", ["tool"]) == "ask"
    assert policy.locate(["tool"]) == str(shadow.resolve())


def test_what_cannot_be_executed_is_no_program(machine: Machine):
    (machine.bin / "data").write_text("x")
    (machine.bin / "folder").mkdir()
    machine.allow("/**")
    assert machine.check("data") == "ask"
    assert machine.check("folder") == "ask"
    assert machine.check() == "deny"


def test_wildcards_stay_in_their_folder(machine: Machine):
    deep = machine.program("tool", machine.bin / "sub")
    machine.allow(f"{machine.bin}/*")
    assert (machine.check("tool"), machine.check(str(deep))) == ("allow", "ask")
    machine.allow(f"{machine.bin}/**")
    assert (machine.check("tool"), machine.check(str(deep))) == ("allow", "allow")
    machine.allow(f"{machine.folder}/**/too?")
    assert (machine.check("tool"), machine.check(str(deep))) == ("allow", "allow")
    machine.allow(f"{machine.bin}/[t]ool", f"{machine.bin}/.ool")
    assert machine.check("tool") == "ask"


def test_home_is_written_with_a_tilde(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(machine.folder))
    machine.allow("~/bin/tool")
    assert machine.check("tool") == "allow"


def test_no_pattern_takes_long(machine: Machine):
    hostile = [
        {"pattern": "/" + "**/" * 1_000 + "x"},
        {"pattern": "/" + "*a" * 1_500},
        {"pattern": str(machine.bin / "tool"), "argPattern": "^(a+)+$"},
        {"pattern": str(machine.bin / "tool"), "argPattern": "(a|a?)*b" * 50},
        {"pattern": str(machine.bin / "tool"), "argPattern": "(x{1,1000}){1,1000}"},
        {"pattern": str(machine.bin / "tool"), "argPattern": "(?=a)a\\1("},
    ]
    machine.allow(*hostile)
    done = threading.Event()
    verdicts: list[str] = []

    def judge() -> None:
        verdicts.append(machine.check("tool", "a" * 50_000 + "!"))
        done.set()

    threading.Thread(target=judge, daemon=True).start()
    assert done.wait(30)
    assert verdicts == ["ask"]


ARGUMENT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
ARGUMENTS = st.lists(
    ARGUMENT | st.sampled_from(["", " ", "\n", "a b", "$", "^", ".*", "\\"]), max_size=4
)
PROGRAM = Program("/bin/tool", "/bin/tool")


@given(ARGUMENTS, ARGUMENTS)
def test_exact_arguments_are_these_and_no_others(one: list[str], other: list[str]):
    pattern = exactly(one)
    matches_itself = fits(PROGRAM, one, pattern="/bin/tool", arg_pattern=pattern)
    assert matches_itself == (one != ["", ""])  # the format cannot tell that from none
    if one != other:
        assert not fits(PROGRAM, other, pattern="/bin/tool", arg_pattern=pattern)


@given(ARGUMENTS, st.sampled_from(["^-la$", "-la", "status|log", "^a b$", "(?x)a#", "a)|(?:b"]))
def test_a_written_pattern_is_about_the_whole_of_the_arguments(argv: list[str], pattern: str):
    spoken = {"^-la$": [["-la"]], "-la": [["-la"]], "status|log": [["status"], ["log"]]}
    spoken |= {"^a b$": [["a", "b"]]}
    matches = fits(PROGRAM, argv, pattern="/bin/tool", arg_pattern=pattern)
    assert matches == (argv in spoken.get(pattern, []))


def test_arguments_that_could_be_read_in_two_ways_do_not_fit():
    for argv in (["a b"], ["a", "", "b"], ["a\tb"], ["a", "b\n"], ["a", "b "]):
        assert not fits(PROGRAM, argv, pattern="/bin/tool", arg_pattern="^a b.*$")
    assert fits(PROGRAM, ["a", "b"], pattern="/bin/tool", arg_pattern="^a b.*$")


COMMANDS = st.lists(
    st.sampled_from(
        ["tool", "other", "sh", "env", "-c", "-S", "tool other", "/bin/tool", "./tool"]
    ),
    min_size=1,
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(allowed=COMMANDS, tried=COMMANDS)
def test_one_standing_yes_is_for_one_command(
    machine: Machine, allowed: list[str], tried: list[str]
):
    machine.file.unlink(missing_ok=True)
    machine.policy.allow_always("main", allowed)
    was_certain = locate(allowed, str(machine.bin)) is not None
    assert (machine.check(*tried) == "allow") == (was_certain and tried == allowed)


# -- remembering ------------------------------------------------------------------------------


def test_allow_always_is_bound_to_the_file_it_was_for(machine: Machine):
    link = machine.bin / "linked"
    link.symlink_to(machine.bin / "tool")
    machine.policy.allow_always("main", ["linked", "x"])
    assert machine.check("linked", "x") == "allow"
    link.unlink()
    link.symlink_to(machine.bin / "other")
    assert machine.check("linked", "x") == "ask"


def test_allow_always_writes_an_entry_others_understand(machine: Machine):
    machine.policy.allow_always("Main ", ["tool", "a b", "$x"])
    (entry,) = json.loads(machine.file.read_text())["agents"]["main"]["allowlist"]
    assert entry["pattern"] == str(machine.bin / "tool")
    assert entry["argPattern"] == "^a b\0\\$x\0$"
    assert entry["source"] == "allow-always"
    assert entry["commandText"] == "tool 'a b' '$x'"
    assert machine.file.stat().st_mode & 0o777 == 0o600
    before = machine.file.read_text()
    machine.policy.allow_always("main", ["tool", "a b", "$x"])
    assert machine.file.read_text() == before


def test_allow_always_keeps_what_is_in_the_file(machine: Machine):
    machine.write(
        defaults={"ask": "always"},
        agents={
            "main": {
                "mcpTools": [{"server": "s", "tool": "t", "source": "allow-always", "addedAt": 1}]
            }
        },
        socket={"path": "/x", "token": "t"},
    )
    machine.policy.allow_always("main", ["tool"])
    file = json.loads(machine.file.read_text())
    assert file["defaults"] == {"ask": "always"}
    assert file["socket"]["token"] == "t"
    assert file["agents"]["main"]["mcpTools"][0]["server"] == "s"


def test_a_path_that_reads_as_a_pattern_is_not_remembered(machine: Machine):
    odd = machine.program("to*l")
    machine.policy.allow_always("main", [str(odd)])
    machine.policy.allow_always("main", ["no-such-program"])
    machine.policy.allow_always("main", ["./tool"])
    assert not machine.file.exists()


def test_writers_at_the_same_time_lose_nothing(machine: Machine):
    threads = [
        threading.Thread(target=machine.policy.allow_always, args=("main", ["tool", str(n)]))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(machine.check("tool", str(n)) == "allow" for n in range(12))


def test_a_version_nobody_has_seen_is_not_replaced(machine: Machine):
    first = machine.policy.read()
    machine.policy.allow_always("main", ["tool"])
    for base in (None, first.hash):
        with pytest.raises(InvalidRequest):
            machine.policy.replace(PolicyFile(version=1), base_hash=base)
    seen = machine.policy.read()
    assert machine.policy.replace(PolicyFile(version=1), base_hash=seen.hash).exists
    assert machine.check("tool") == "ask"


def test_a_file_that_cannot_be_written_is_said(machine: Machine):
    machine.file.parent.mkdir()
    (machine.file.parent / machine.file.name).mkdir()
    with pytest.raises(Unavailable):
        machine.policy.replace(PolicyFile(version=1), base_hash=None)


def test_the_runners_are_found_by_any_of_their_names():
    for name in ("sh", "python3.11", "Python3", "node", "lua5.4", "ld-linux-x86-64.so.2"):
        assert Program(f"/x/{name}", f"/x/{name}").is_runner, name
    for name in ("git", "shasum", "pythonista", "environment", "ls"):
        assert not Program(f"/x/{name}", f"/x/{name}").is_runner, name
    assert "sh" in RUNNERS


def test_a_real_machine(tmp_path: Path):
    path = shutil.which("ls", path="/usr/bin:/bin")
    assert path is not None
    policy = ExecPolicy(tmp_path / "f.json", search_path="/usr/bin:/bin", clock=FakeClock())
    policy.allow_always("main", ["ls", "-la"])
    assert policy.check("main", ["ls", "-la"]) == "allow"
    assert policy.check("main", [path, "-la"]) == "allow"
    assert policy.check("main", ["sh", "-c", "ls -la"]) == "ask"
