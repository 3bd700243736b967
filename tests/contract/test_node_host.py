"""Our node host over the wire, against a small gateway."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.config.sections.base import Section
from portico.config.sections.node_host import NodeCommand, NodeExec, NodeHost
from portico.node_host.state import read_state
from tests.fakes.gateway import FakeGateway, Peer, running_gateway
from tests.published import needs_schema, problems
from tests.support.node_hosts import Desk, NodeSaidNo, running_node
from tests.support.waiting import eventually

FULL = {"version": 1, "defaults": {"security": "full", "ask": "off"}}


def allow(home: Path, *patterns: str, **more: Any) -> None:
    entries = [{"pattern": pattern} for pattern in patterns]
    file = {"version": 1, "agents": {"*": {"allowlist": entries}}, **more}
    (home / "exec-approvals.json").write_text(json.dumps(file))


def let_all(home: Path) -> None:
    (home / "exec-approvals.json").write_text(json.dumps(FULL))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


async def pid_in(file: Path) -> int:
    await eventually(lambda: file.exists() and file.read_text().strip().isdecimal())
    return int(file.read_text())


async def test_it_says_what_it_is_and_how_it_does(tmp_path: Path) -> None:
    async with running_gateway() as gateway, running_node(gateway, tmp_path) as desk:
        sent = gateway.connects[0]
        assert (sent.role, sent.client.id, sent.client.mode) == ("node", "node-host", "node")
        assert sent.commands == (
            "system.execApprovals.get",
            "system.execApprovals.set",
            "system.run",
            "system.run.prepare",
            "system.which",
        )
        assert sent.caps == ("system",)
        await eventually(lambda: bool(desk.heard("node.host.stats")))
        stats = desk.heard("node.host.stats")[0]
        assert stats["memoryFreeBytes"] <= stats["memoryTotalBytes"]
        assert desk.heard("node.presence.alive") == [{"trigger": "connect"}]


async def test_run_gives_output_exit_code_and_events(tmp_path: Path) -> None:
    let_all(tmp_path)
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    async with (
        running_gateway() as gateway,
        running_node(gateway, tmp_path, exec={"mode": "full"}) as desk,
    ):
        params = {"command": [sys.executable, "-c", program], "runId": "r-1", "sessionKey": "main"}
        result = await desk.invoke("system.run", params)
        assert result == {
            "exitCode": 3,
            "timedOut": False,
            "success": False,
            "stdout": "out\n",
            "stderr": "err\n",
            "error": None,
        }
        started, finished = desk.heard("exec.started")[0], desk.heard("exec.finished")[0]
        assert (started["runId"], started["sessionKey"]) == ("r-1", "main")
        assert (finished["exitCode"], finished["output"]) == (3, "out\n\nerr\n")
        assert "".join(piece["chunk"] for piece in desk.progress).count("out\n") == 1


async def test_only_allowed_variables_and_none_of_the_host(tmp_path: Path) -> None:
    let_all(tmp_path)
    async with (
        running_gateway() as gateway,
        running_node(gateway, tmp_path, exec={"mode": "full"}) as desk,
    ):
        run = {"command": ["env"], "env": {"LANG": "xx"}}
        result = await desk.invoke("system.run", run)
        assert "LANG=xx" in result["stdout"]
        assert "PLANTED_SECRET" not in result["stdout"]
        for name in ("PATH", "LD_PRELOAD", "PYTHONPATH"):
            with pytest.raises(NodeSaidNo, match="environment override rejected"):
                await desk.invoke("system.run", {"command": ["env"], "env": {name: "/tmp"}})


@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        {"command": "ls"},
        {"command": []},
        {"command": [""]},
        {"command": ["a\0"]},
        {"command": [1]},
        {"command": ["ls"], "cwd": "relative"},
        {"command": ["ls"], "cwd": "/no/such/folder"},
        {"command": ["ls"], "env": {"LANG": 1}},
        {"command": ["ls"], "timeoutMs": -1},
        {"command": ["ls"], "approved": True},
        {"command": ["ls"], "approvalSource": "auto-review"},
        {"command": ["ls"], "systemRunPlan": {"argv": 3}},
        [1],
    ],
)
async def test_bad_parameters_are_refused(tmp_path: Path, params: Any) -> None:
    let_all(tmp_path)
    async with (
        running_gateway() as gateway,
        running_node(gateway, tmp_path, exec={"mode": "full"}) as desk,
    ):
        with pytest.raises(NodeSaidNo) as caught:
            await desk.invoke("system.run", params)
        assert caught.value.args[0] == "INVALID_REQUEST"
        assert not desk.heard("exec.started")


async def test_what_is_not_listed_is_denied_and_said(tmp_path: Path) -> None:
    allow(tmp_path, "/bin/echo", "/usr/bin/echo")
    async with (
        running_gateway() as gateway,
        running_node(gateway, tmp_path, exec={"mode": "allowlist"}) as desk,
    ):
        assert (await desk.invoke("system.run", {"command": ["echo", "hi"]}))["stdout"] == "hi\n"
        with pytest.raises(NodeSaidNo, match="allowlist miss"):
            await desk.invoke("system.run", {"command": ["id"]})
        assert desk.heard("exec.denied")[0]["command"] == "id"


async def test_policy_file_cannot_loosen_what_the_owner_set(tmp_path: Path) -> None:
    let_all(tmp_path)
    async with running_gateway() as gateway, running_node(gateway, tmp_path) as desk:
        with pytest.raises(NodeSaidNo, match="approval required"):
            await desk.invoke("system.run", {"command": ["id"]})


async def test_denied_machine_offers_no_programs(tmp_path: Path) -> None:
    let_all(tmp_path)
    async with (
        running_gateway() as gateway,
        running_node(gateway, tmp_path, exec={"mode": "deny"}) as desk,
    ):
        assert "system.run" not in gateway.connects[0].commands
        with pytest.raises(NodeSaidNo, match="not supported"):
            await desk.invoke("system.run", {"command": ["id"]})


async def test_broken_policy_file_denies(tmp_path: Path) -> None:
    (tmp_path / "exec-approvals.json").write_text("{broken")
    async with (
        running_gateway() as gateway,
        running_node(gateway, tmp_path, exec={"mode": "full"}) as desk,
    ):
        with pytest.raises(NodeSaidNo, match="security=deny"):
            await desk.invoke("system.run", {"command": ["id"]})


async def prepared(desk: Desk, **params: Any) -> dict[str, Any]:
    answer = await desk.invoke("system.run.prepare", params)
    return dict(answer["plan"])


def approved(plan: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "command": plan["argv"],
        "rawCommand": plan["commandText"],
        "cwd": plan["cwd"],
        "systemRunPlan": plan,
        "approved": True,
        "approvalDecision": "allow-once",
        **more,
    }


async def test_approved_plan_runs_and_anything_else_does_not(tmp_path: Path) -> None:
    async with running_gateway() as gateway, running_node(gateway, tmp_path) as desk:
        plan = await prepared(desk, command=["echo", "one"], cwd=str(tmp_path))
        assert Path(plan["argv"][0]).is_absolute()
        assert (await desk.invoke("system.run", approved(plan)))["stdout"] == "one\n"
        other = {"command": [plan["argv"][0], "two"]}
        with pytest.raises(NodeSaidNo, match="matching plan"):
            await desk.invoke("system.run", approved(plan, **other))
        with pytest.raises(NodeSaidNo, match="matching plan"):
            await desk.invoke("system.run", approved(plan, cwd="/"))
        with pytest.raises(NodeSaidNo, match="approval required"):
            await desk.invoke("system.run", {"command": plan["argv"]})


async def test_script_that_changed_after_its_approval_does_not_run(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text("print('harmless')")
    async with running_gateway() as gateway, running_node(gateway, tmp_path) as desk:
        plan = await prepared(desk, command=[sys.executable, "job.py"], cwd=str(tmp_path))
        assert plan["mutableFileOperand"]["path"] == str(script.resolve())
        assert (await desk.invoke("system.run", approved(plan)))["stdout"] == "harmless\n"
        script.write_text("print('harmful')")
        with pytest.raises(NodeSaidNo, match="script operand changed"):
            await desk.invoke("system.run", approved(plan))


async def test_stricter_rules_void_an_approval(tmp_path: Path) -> None:
    async with running_gateway() as gateway, running_node(gateway, tmp_path) as desk:
        plan = await prepared(desk, command=["echo", "one"])
        allow(tmp_path, defaults={"ask": "always"})
        with pytest.raises(NodeSaidNo, match="policy changed"):
            await desk.invoke("system.run", approved(plan))


async def test_always_is_remembered(tmp_path: Path) -> None:
    async with running_gateway() as gateway, running_node(gateway, tmp_path) as desk:
        plan = await prepared(desk, command=["echo", "one"], agentId="main")
        always = approved(plan, approvalDecision="allow-always", agentId="main")
        await desk.invoke("system.run", always)
        again = {"command": ["echo", "one"], "agentId": "main"}
        assert (await desk.invoke("system.run", again))["stdout"] == "one\n"
        with pytest.raises(NodeSaidNo, match="approval required"):
            await desk.invoke("system.run", {**again, "command": ["echo", "two"]})


@pytest.mark.parametrize(
    ("decision", "said"),
    [("allow-once", None), ("deny", "a person denied it"), (None, "approval required")],
)
async def test_host_with_an_operators_secret_asks_itself(
    tmp_path: Path, decision: str | None, said: str | None
) -> None:
    async def decide(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        assert peer.connect.scopes == ("operator.approvals",)
        await peer.answer(request, {"id": "a", "decision": decision})

    async with (
        running_gateway(methods={"exec.approval.request": decide}) as gateway,
        running_node(gateway, tmp_path, operator=True) as desk,
    ):
        node = gateway.peers[0]
        invoke_id = await desk.send("system.run", {"command": ["echo", "hi"]})
        answer = await desk.result(invoke_id)
        assert answer["ok"] is (said is None)
        assert said is None or said in answer["error"]["message"]
        asked = gateway.called("exec.approval.request")[0]
        assert (asked["host"], asked["nodeId"]) == ("node", node.connect.device.id)  # type: ignore[union-attr]  # nodes have one
        assert asked["systemRunPlan"]["argv"][1:] == ["hi"]


async def test_question_of_a_cancelled_run_is_withdrawn(tmp_path: Path) -> None:
    async def keep_waiting(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        return

    async with (
        running_gateway(
            methods={"exec.approval.request": keep_waiting},
            answers={"exec.approval.resolve": {"ok": True}},
        ) as gateway,
        running_node(gateway, tmp_path, operator=True) as desk,
    ):
        invoke_id = await desk.send("system.run", {"command": ["echo", "hi"]})
        await eventually(lambda: gateway.called("exec.approval.request"))
        asked = gateway.called("exec.approval.request")[0]
        await desk.say("node.invoke.cancel", {"invokeId": invoke_id, "nodeId": "n"})
        await eventually(lambda: gateway.called("exec.approval.resolve"))
        withdrawn = {"id": asked["id"], "decision": "deny"}
        assert gateway.called("exec.approval.resolve") == [withdrawn]
        assert not desk.heard("exec.started")


async def test_repeated_request_is_not_run_twice(tmp_path: Path) -> None:
    let_all(tmp_path)
    async with (
        running_gateway() as gateway,
        running_node(gateway, tmp_path, exec={"mode": "full"}) as desk,
    ):
        run = {"command": ["sh", "-c", "echo x >> times; cat times"], "cwd": str(tmp_path)}
        first = await desk.invoke("system.run", run, id="same")
        desk.results.clear()
        assert await desk.invoke("system.run", run, id="same") == first
        assert (tmp_path / "times").read_text() == "x\n"


async def test_cancel_ends_the_program_and_what_it_started(tmp_path: Path) -> None:
    let_all(tmp_path)
    async with (
        running_gateway() as gateway,
        running_node(gateway, tmp_path, exec={"mode": "full"}) as desk,
    ):
        run = {"command": ["sh", "-c", "sleep 600 & echo $! > pid; wait"], "cwd": str(tmp_path)}
        invoke_id = await desk.send("system.run", run)
        pid = await pid_in(tmp_path / "pid")
        await desk.say("node.invoke.cancel", {"invokeId": invoke_id, "nodeId": "n"})
        await eventually(lambda: not is_alive(pid))
        assert (await desk.invoke("system.which", {"bins": ["sh"]}))["bins"]["sh"].endswith("/sh")
        assert [one["id"] for one in desk.results if one["id"] == invoke_id] == []


async def test_timeout_ends_it_and_gives_what_it_said(tmp_path: Path) -> None:
    let_all(tmp_path)
    async with (
        running_gateway() as gateway,
        running_node(gateway, tmp_path, exec={"mode": "full"}) as desk,
    ):
        run = {"command": ["sh", "-c", "echo begun; sleep 600"], "timeoutMs": 2_000}
        result = await desk.invoke("system.run", run)
        assert (result["timedOut"], result["success"], result["exitCode"]) == (True, False, None)
        assert result["stdout"] == "begun\n"


async def test_output_is_bounded(tmp_path: Path) -> None:
    let_all(tmp_path)
    exec_ = {"mode": "full", "maxOutputBytes": 1000}
    async with running_gateway() as gateway, running_node(gateway, tmp_path, exec=exec_) as desk:
        run = {"command": ["sh", "-c", "yes | head -c 3000000; echo end"]}
        result = await desk.invoke("system.run", run)
        assert result["truncated"] is True
        assert result["stdout"].endswith("end\n")
        assert len(result["stdout"]) <= 1000
        assert all(len(piece["chunk"].encode()) <= 16_384 for piece in desk.progress)
        seqs = [piece["seq"] for piece in desk.progress]
        assert seqs == list(range(len(seqs)))


async def test_result_reaches_the_gateway_after_a_lost_connection(tmp_path: Path) -> None:
    let_all(tmp_path)
    async with (
        running_gateway() as gateway,
        running_node(gateway, tmp_path, exec={"mode": "full"}) as desk,
    ):
        gate = tmp_path / "gate"
        run = {"command": ["sh", "-c", "until [ -e gate ]; do sleep 0.05; done; echo done"]}
        invoke_id = await desk.send("system.run", {**run, "cwd": str(tmp_path)})
        await eventually(lambda: bool(desk.heard("exec.started")))
        await gateway.peers[-1].socket.close(1012, "service restart")
        gate.touch()
        answer = await desk.result(invoke_id)
        assert json.loads(answer["payloadJSON"])["stdout"] == "done\n"
        assert len(gateway.peers) == 2


async def test_policy_file_is_changed_with_its_hash_only(tmp_path: Path) -> None:
    async with running_gateway() as gateway, running_node(gateway, tmp_path) as desk:
        asked = {"includeResolvedDefaults": True}
        first = await desk.invoke("system.execApprovals.get", asked)
        assert (first["exists"], first["resolvedDefaults"]["ask"]) == (False, "on-miss")
        file = {"version": 1, "agents": {"*": {"allowlist": [{"pattern": "/bin/ls"}]}}}
        changed = await desk.invoke("system.execApprovals.set", {"file": file})
        assert changed["file"] == file
        for base in (None, first["hash"]):
            with pytest.raises(NodeSaidNo):
                await desk.invoke("system.execApprovals.set", {"file": file, "baseHash": base})
        with pytest.raises(NodeSaidNo, match="exec approvals file"):
            await desk.invoke("system.execApprovals.set", {"file": {"version": 2}})
        again = await desk.invoke("system.execApprovals.get")
        assert again["hash"] == changed["hash"]


async def test_configured_command_is_offered_and_carried_out(tmp_path: Path) -> None:
    commands = {"location.get": {"run": ["echo", '{"lat": 1}']}, "camera.list": {"run": ["cat"]}}
    async with (
        running_gateway() as gateway,
        running_node(gateway, tmp_path, commands=commands) as desk,
    ):
        assert gateway.connects[0].caps == ("camera", "location", "system")
        assert await desk.invoke("location.get", {}) == {"lat": 1}
        assert await desk.invoke("camera.list", {"x": [1]}) == {"x": [1]}


async def test_one_too_many_is_refused(tmp_path: Path) -> None:
    commands = {"camera.snap": {"run": ["sleep", "600"]}}
    async with (
        running_gateway() as gateway,
        running_node(gateway, tmp_path, commands=commands, maxRunning=1) as desk,
    ):
        await desk.send("camera.snap", {})
        with pytest.raises(NodeSaidNo) as caught:
            await desk.invoke("system.which", {"bins": []})
        assert caught.value.args[0] == "BUSY"


async def test_nonsense_from_the_gateway_is_survived(tmp_path: Path) -> None:
    async with running_gateway() as gateway, running_node(gateway, tmp_path) as desk:
        for payload in ({}, {"id": 3}, {"id": "x", "command": "a", "paramsJSON": {}}):
            await desk.say("node.invoke.request", payload)
        await desk.say("node.invoke.cancel", {})
        await desk.send("no.such.command")
        bad = {"id": "j", "nodeId": "n", "command": "system.which", "paramsJSON": "{"}
        await desk.say("node.invoke.request", bad)
        assert "malformed JSON" in (await desk.result("j"))["error"]["message"]
        assert await desk.invoke("system.which", {"bins": ["nothing-like-it"]}) == {"bins": {}}


async def test_waiting_for_approval_is_said_once_and_ends_with_it(tmp_path: Path) -> None:
    async with running_gateway() as gateway:
        gateway.refusal = {
            "code": "NOT_PAIRED",
            "message": "pairing required: device is not approved yet",
            "details": {"code": "PAIRING_REQUIRED", "requestId": "req-7"},
        }
        entering = asyncio.ensure_future(_until_in(gateway, tmp_path))
        folder = tmp_path / "node-host"
        await eventually(lambda: read_state(folder) is not None and len(gateway.connects) > 2)
        state = read_state(folder)
        assert state is not None
        assert (state.standing, state.request_id) == ("waiting-for-approval", "req-7")
        gateway.refusal = None
        await entering
        assert (folder / "status.json").stat().st_mode & 0o777 == 0o600


async def _until_in(gateway: FakeGateway, home: Path) -> None:
    def is_in() -> bool:
        state = read_state(home / "node-host")
        return state is not None and state.standing == "connected"

    async with running_node(gateway, home):
        await eventually(is_in)


async def test_every_setting_of_a_node_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: set[str] = set()
    get = Section.__getattribute__

    def noting(self: Section, name: str) -> Any:
        read.add(f"{type(self).__name__}.{name}")
        return get(self, name)

    monkeypatch.setattr(Section, "__getattribute__", noting)
    settings = {"commands": {"camera.list": {"run": ["true"]}}, "exec": {"cwd": str(tmp_path)}}
    async with (
        running_gateway() as gateway,
        running_node(gateway, tmp_path, operator=True, **settings) as desk,
    ):
        await desk.invoke("camera.list", {})
    sections = (NodeHost, NodeExec, NodeCommand)
    declared = {f"{one.__name__}.{name}" for one in sections for name in one.model_fields}
    by_the_command = {"NodeHost.display_name"}  # test_stopped_host_ends_its_programs_and_says_so
    assert declared - read == by_the_command


@pytest.mark.node
@needs_schema
async def test_what_it_sends_has_the_published_shapes(tmp_path: Path) -> None:
    async def allow_it(gateway: FakeGateway, peer: Peer, request: dict[str, Any]) -> None:
        await peer.answer(request, {"id": "a", "decision": "allow-once"})

    async with (
        running_gateway(methods={"exec.approval.request": allow_it}) as gateway,
        running_node(gateway, tmp_path, operator=True) as desk,
    ):
        asked = {"command": [sys.executable, "-c", "print(1)"], "sessionKey": "main"}
        invoke_id = await desk.send("system.run", asked)
        await desk.result(invoke_id)
        await desk.result(await desk.send("no.such.command"))
        shapes = {
            "node.invoke.result": "NodeInvokeResultParams",
            "node.invoke.progress": "NodeInvokeProgressParams",
            "node.event": "NodeEventParams",
            "exec.approval.request": "ExecApprovalRequestParams",
        }
        called = {method: gateway.called(method) for method in shapes}
        assert all(called.values())
        wrong = [
            problem
            for method, sent in called.items()
            for params in sent
            for problem in problems(shapes[method], params)
        ]
        connect = msgspec.to_builtins(gateway.connects[0])
        wrong += problems("ConnectParams", _without_none(connect))
        assert wrong == []


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(one) for name, one in value.items() if one is not None}
    return value
