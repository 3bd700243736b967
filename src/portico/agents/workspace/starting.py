"""The directories agents have without anybody having named one.

Guarantees: only directories below the state directory are made, only when they are not there, and a
disk that refuses is no reason not to run.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import structlog

from portico.agents.service import Agent
from portico.agents.workspace.documents import Documents

log = structlog.get_logger()


def start_workspaces(agents: Iterable[Agent], *, state_dir: Path, limit: int) -> list[str]:
    """Make what is missing, with the first documents; return for which agents. Blocks."""
    made: list[str] = []
    for agent in agents:
        if agent.workspace is None or not Path(agent.workspace).is_relative_to(state_dir):
            continue
        try:
            if Documents(Path(agent.workspace), limit=limit).start():
                made.append(agent.agent_id)
        except OSError as error:
            log.warning("agent.no_workspace", agent=agent.agent_id, error=str(error))
    return made
