"""What this node can do: its commands, and what it says of them to the gateway.

Source: OpenClaw gateway protocol, "Nodes"; `system.which`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from portico.approvals import matching
from portico.approvals.policy import ExecPolicy
from portico.client import Offer
from portico.config.sections.node_host import NodeCommand
from portico.node_host.children import Children
from portico.node_host.configured import ConfiguredCommand
from portico.node_host.exec_approvals import ExecApprovals
from portico.node_host.model import CommandError, Handler, Invoked
from portico.node_host.system_run import SystemRun

MAX_BINS: Final = 200


class Which:
    """`system.which`: where programs are."""

    def __init__(self, search_path: str) -> None:
        self._search_path = search_path

    async def __call__(self, invoked: Invoked) -> dict[str, Any]:
        """Return the paths of those programs that there are."""
        bins = invoked.params.get("bins")
        if not isinstance(bins, list) or not all(isinstance(one, str) for one in bins):
            raise CommandError("INVALID_REQUEST", "INVALID_REQUEST: bins required")
        if len(bins) > MAX_BINS:
            raise CommandError("INVALID_REQUEST", f"INVALID_REQUEST: at most {MAX_BINS} bins")
        return {"bins": await asyncio.to_thread(self._find, bins)}

    def _find(self, bins: list[str]) -> dict[str, str]:
        names = [one.strip() for one in bins]
        found = {one: matching.locate((one,), self._search_path) for one in names if "/" not in one}
        return {name: program.path for name, program in found.items() if program is not None}


def handlers(
    *,
    policy: ExecPolicy,
    children: Children,
    system_run: SystemRun | None,
    configured: Mapping[str, NodeCommand],
    env: Mapping[str, str],
    work: Path,
) -> dict[str, Handler]:
    """Return every command of this node by its name.

    Args:
        system_run: `None`: this machine runs no programs for the gateway.
        env: what programs of configured commands get.
        work: where they may write.
    """
    approvals = ExecApprovals(policy)
    found: dict[str, Handler] = {
        "system.which": Which(env.get("PATH", "")),
        "system.execApprovals.get": approvals.get,
        "system.execApprovals.set": approvals.set,
    }
    if system_run is not None:
        found |= {"system.run": system_run.run, "system.run.prepare": system_run.prepare}
    for name, spec in configured.items():
        found[name] = ConfiguredCommand(spec, children=children, env=env, work=work)
    return found


def offer(commands: Mapping[str, Handler], *, search_path: str) -> Offer:
    """Return what the node says it can do; a group of commands is a capability."""
    caps = sorted({name.partition(".")[0] for name in commands})
    return Offer(caps=tuple(caps), commands=tuple(sorted(commands)), path_env=search_path or None)
