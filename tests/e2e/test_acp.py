"""An agent that is a program, behind a whole gateway: what it asks reaches a person."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portico.agents.acp.launch import tied
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import ROOT, GatewayProcess, Operator

SAMPLE = str(ROOT / "tests" / "fakes" / "acp_agent.py")
ROGUE = str(ROOT / "tests" / "fakes" / "acp_rogue.py")
PATIENCE_S = 40


def start(start_gateway: StartGateway, **runtime: Any) -> GatewayProcess:
    program = {"type": "acp", "command": sys.executable, "args": [SAMPLE], **runtime}
    return start_gateway(
        {
            "gateway": {"auth": {"mode": "token", "token": "0123456789abcdef0123456789abcdef"}},
            "agents": {"list": [{"id": "main", "runtime": program}]},
        }
    )


def say(operator: Operator, text: str, run_id: str) -> None:
    operator.call("chat.send", sessionKey="main", message=text, idempotencyKey=run_id)


def answer(operator: Operator, run_id: str) -> str:
    final = operator.wait_event("chat", runId=run_id, state="final")
    return "".join(part.get("text", "") for part in final["message"]["content"])


def programs(gateway: GatewayProcess) -> list[int]:
    """The programs of agents that work in this gateway's directory."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            command = link.with_name("cmdline").read_text().split("\0")
            is_ours = command[0] == sys.executable and {SAMPLE, ROGUE} & {*command}
            if is_ours and link.readlink().is_relative_to(gateway.state_dir):
                found.append(int(link.parent.name))
        except OSError:
            continue
    return found


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def test_a_person_decides_what_the_program_may_do(start_gateway: StartGateway) -> None:
    gateway = start(start_gateway)
    with Operator(gateway) as operator:
        say(operator, "hello", "r0")
        assert answer(operator, "r0") == "You said: hello"
        begun_with = programs(gateway)
        for decision, chosen in (("allow-once", "allow_once"), ("deny", "reject_once")):
            say(operator, "permit execute touch it", f"r-{decision}")
            wanted = operator.wait_event("exec.approval.requested")
            assert wanted["request"]["command"] == "touch it"
            assert wanted["request"]["runId"] == f"r-{decision}"
            assert wanted["request"]["sessionKey"] == "agent:main:main"
            operator.call("exec.approval.resolve", id=wanted["id"], decision=decision)
            assert answer(operator, f"r-{decision}") == f"chosen the-{chosen}"
            operator.events.clear()
        assert len(begun_with) == 1
        assert programs(gateway) == begun_with  # one program answers it all
    gateway.stop()
    assert programs(gateway) == []


def test_stopping_the_answer_takes_the_question_back(start_gateway: StartGateway) -> None:
    gateway = start(start_gateway)
    with Operator(gateway) as operator:
        say(operator, "permit execute touch it", "r1")
        wanted = operator.wait_event("exec.approval.requested")
        operator.call("chat.abort", sessionKey="main", runId="r1")
        told = operator.wait_event("exec.approval.resolved", id=wanted["id"])
        assert (told["decision"], told["reason"]) == (None, "run-aborted")
        say(operator, "hello", "r2")
        assert answer(operator, "r2") == "You said: hello"
        (workspace,) = {Path(f"/proc/{pid}/cwd").readlink() for pid in programs(gateway)}
        assert not (workspace / "acted").exists()


def test_a_program_does_not_outlive_a_gateway_that_is_killed(start_gateway: StartGateway) -> None:
    gateway = start(start_gateway)
    with Operator(gateway) as operator:
        say(operator, "permit execute touch it", "r1")
        wanted = operator.wait_event("exec.approval.requested")
        assert len(programs(gateway)) == 1
        gateway.kill()
    until(lambda: programs(gateway) == [])
    gateway.start()
    with Operator(gateway) as operator:  # the question waits for a while for the run to come back
        assert [one["id"] for one in operator.call("exec.approval.list")] == [wanted["id"]]
        say(operator, "hello", "r2")
        assert answer(operator, "r2") == "You said: hello"


@pytest.mark.skipif(not tied([]), reason="setpriv of util-linux is not installed")
@pytest.mark.parametrize("started_by", [(), ("sh", "-c", '"$0" "$@"; true', sys.executable)])
def test_not_even_one_that_does_not_notice_outlives_it(
    start_gateway: StartGateway, started_by: tuple[str, ...]
) -> None:
    command, *arguments = [*(started_by or (sys.executable,)), ROGUE, "hangs"]
    gateway = start(start_gateway, command=command, args=arguments)
    with Operator(gateway) as operator:
        say(operator, "hello", "r1")
        operator.wait_event("chat", runId="r1", state="delta")
        assert programs(gateway)
        gateway.kill()
    until(lambda: programs(gateway) == [])
