"""OpenClaw's own node host (`openclaw node run`) against a real gateway.

It is not among the development dependencies; `OPENCLAW_CLI=…/openclaw.mjs` says where one is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import GatewayProcess, Operator, Refused
from tests.e2e.node_client import find_node

CLI = os.environ.get("OPENCLAW_CLI", "")
pytestmark = pytest.mark.skipif(not CLI, reason="OPENCLAW_CLI does not name openclaw.mjs")
LOOKS = 300
PAUSE = threading.Event()  # never set


class NodeHost:
    """One `openclaw node run` with a home of its own."""

    def __init__(self, gateway: GatewayProcess, home: Path) -> None:
        home.mkdir(exist_ok=True)
        self._home = home
        self._gateway = gateway
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        node = find_node()
        env = {
            "PATH": f"{Path(node).parent}:{os.environ['PATH']}",
            "HOME": str(self._home),
            "NO_COLOR": "1",
            "OPENCLAW_STATE_DIR": str(self._home / "state"),
            "OPENCLAW_GATEWAY_TOKEN": self._gateway.token,
            "OPENCLAW_NO_AUTO_UPDATE": "1",
        }
        where = ("--host", "127.0.0.1", "--port", str(self._gateway.port))
        with (self._home / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                [node, CLI, "node", "run", *where, "--display-name", "real"],
                cwd=self._home,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, number)
            process.wait(30)

    def said(self) -> str:
        return (self._home / "node.log").read_text(errors="replace")[-3000:]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    running = GatewayProcess(tmp_path / "gateway").start()
    yield running
    assert running.stop() == 0
    assert running.tracebacks() == []


@pytest.fixture
def host(gateway: GatewayProcess, tmp_path: Path) -> Iterator[NodeHost]:
    one = NodeHost(gateway, tmp_path / "node")
    one.start()
    yield one
    one.end(signal.SIGKILL)


def find(operator: Operator, fits: Callable[[dict[str, Any]], Any], host: NodeHost) -> str:
    """Return the id of the node once it is as wanted."""
    for _ in range(LOOKS):
        for entry in operator.call("node.list")["nodes"]:
            if fits(entry):
                return str(entry["nodeId"])
        PAUSE.wait(0.1)
    raise AssertionError(host.said())


def test_paired_approved_invoked(gateway: GatewayProcess, host: NodeHost) -> None:
    number = 0

    def invoke(operator: Operator, name: str, /, **params: Any) -> Any:
        nonlocal number
        number += 1
        answer = operator.call(
            "node.invoke",
            nodeId=node_id,
            command=name,
            params=params,
            idempotencyKey=f"key-{number}",
        )
        return answer["payload"]

    def is_here(entry: dict[str, Any]) -> bool:
        return entry["connected"] and entry["approvalState"] == "approved"

    with Operator(gateway) as operator:
        node_id = find(operator, lambda entry: entry["connected"], host)
        with pytest.raises(Refused, match="waits for approval"):
            invoke(operator, "system.which", bins=["sh"])
        asked = operator.call("node.describe", nodeId=node_id)
        assert asked["approvalState"] == "pending-approval"
        operator.call("node.pair.approve", requestId=asked["pendingRequestId"])
        assert invoke(operator, "system.which", bins=["sh"])["bins"]["sh"].endswith("/sh")
        policy = operator.call("exec.approvals.node.get", nodeId=node_id)
        file = {"version": 1, "defaults": {"security": "full", "ask": "always"}}
        operator.call("exec.approvals.node.set", nodeId=node_id, file=file, baseHash=policy["hash"])
        with pytest.raises(Refused, match="SYSTEM_RUN_DENIED"):
            invoke(operator, "system.run", command=["/bin/echo", "hi"])
        plan = invoke(operator, "system.run.prepare", command=["/bin/echo", "hi"])["plan"]
        with Operator(gateway) as reviewer:
            asked_id = operator.send(
                "exec.approval.request",
                id="a-1",
                host="node",
                nodeId=node_id,
                systemRunPlan=plan,
                twoPhase=True,
            )
            operator.answer(asked_id)
            reviewer.call("exec.approval.resolve", id="a-1", decision="allow-once")
        claim = {"command": plan["argv"], "runId": "a-1", "approved": True}
        assert invoke(operator, "system.run", **claim)["stdout"] == "hi\n"
        with pytest.raises(Refused, match="approval required"):
            invoke(operator, "system.run", **claim)
        file = {"version": 1, "defaults": {"security": "full", "ask": "off"}}
        policy = operator.call("exec.approvals.node.get", nodeId=node_id)
        operator.call("exec.approvals.node.set", nodeId=node_id, file=file, baseHash=policy["hash"])
    gateway.restart()
    with Operator(gateway) as operator:
        assert find(operator, is_here, host) == node_id
        assert invoke(operator, "system.run", command=["/bin/echo", "again"])["exitCode"] == 0
        slow = operator.send(
            "node.invoke",
            nodeId=node_id,
            command="system.run",
            params={"command": ["/bin/sleep", "60"]},
            idempotencyKey="slow",
            timeoutMs=60_000,
        )
        invoke(operator, "system.which", bins=["sh"])  # the other one is under way
        host.end(signal.SIGKILL)
        with pytest.raises(Refused) as lost:
            operator.answer(slow)
        assert lost.value.error["details"]["code"] == "DISCONNECTED"
        assert lost.value.error["details"]["outcome"] == "uncertain"
        host.start()
        assert find(operator, is_here, host) == node_id
        assert invoke(operator, "system.which", bins=["sh"])["bins"]["sh"]
