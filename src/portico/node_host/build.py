"""From the configuration of this machine to its node host."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from portico.approvals.policy import ExecPolicy
from portico.client import ClientSettings
from portico.clock import Clock
from portico.config.sections.node_host import NodeExec
from portico.config.sections.node_host import NodeHost as NodeHostSettings
from portico.node_host.asking import Asker, GatewayAsker
from portico.node_host.children import Children
from portico.node_host.commands import handlers, offer
from portico.node_host.host import NodeHost
from portico.node_host.model import Handler
from portico.node_host.state import State, StateFile
from portico.node_host.system_run import RunSettings, SystemRun


def build_commands(
    settings: NodeHostSettings,
    *,
    policy_file: Path,
    children: Children,
    asker: Asker | None,
    env: Mapping[str, str],
    home: Path,
    work: Path,
    clock: Clock,
) -> dict[str, Handler]:
    """Return what this machine can do for a gateway.

    Args:
        env: the environment of the host; programs get of it what `exec.envPass` names.
        work: where programs of configured commands write; what a killed host left there is removed.
    """
    shutil.rmtree(work, ignore_errors=True)
    passed = {name: env[name] for name in settings.exec.env_pass if name in env}
    policy = ExecPolicy(policy_file, search_path=passed.get("PATH", ""), clock=clock)
    run = None
    if settings.exec.mode != "deny":
        limits = _run_settings(settings.exec, passed, home)
        run = SystemRun(policy=policy, children=children, settings=limits, asker=asker)
    return handlers(
        policy=policy,
        children=children,
        system_run=run,
        configured=settings.commands,
        env=passed,
        work=work,
    )


def _run_settings(settings: NodeExec, env: Mapping[str, str], home: Path) -> RunSettings:
    return RunSettings(
        mode=settings.mode,
        home=Path(settings.cwd) if settings.cwd else home,
        env=env,
        env_allow=frozenset(settings.env_allow),
        timeout_s=settings.timeout_ms / 1000,
        longest_s=settings.longest_ms / 1000,
        max_output_bytes=settings.max_output_bytes,
    )


def build_host(
    settings: NodeHostSettings,
    *,
    client: ClientSettings,
    operator: ClientSettings | None,
    folder: Path,
    policy_file: Path,
    children: Children,
    env: Mapping[str, str],
    home: Path,
    pid: int,
    clock: Clock,
) -> NodeHost:
    """Return the node host of this machine.

    Args:
        client: the node's: its gateway, its credentials, its device.
        operator: what may ask a person for approval; `None`: nobody.
        folder: where the host keeps its state.
    """
    node_id = client.device.device_id if client.device else ""
    asker = None
    if operator is not None:
        wait_s = settings.exec.approval_timeout_ms / 1000
        asker = GatewayAsker(operator, node_id=node_id, timeout_s=wait_s)
    commands = build_commands(
        settings,
        policy_file=policy_file,
        children=children,
        asker=asker,
        env=env,
        home=home,
        work=folder / "work",
        clock=clock,
    )
    first = State(
        standing="connecting",
        since_ms=clock.now_ms(),
        pid=pid,
        url=client.url,
        node_id=node_id,
        display_name=client.name.display_name or "",
        commands=tuple(sorted(commands)),
    )
    return NodeHost(
        settings=replace(client, offer=offer(commands, search_path=env.get("PATH", ""))),
        commands=commands,
        state=StateFile(folder, first, clock=clock),
        home=home,
        max_running=settings.max_running,
    )
