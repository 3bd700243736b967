"""Everything that can be called about agents, put together.

The gateway registers it; the command line calls it in its own process where no gateway runs.
"""

from __future__ import annotations

from portico.agents.binding_edits import BindingEditor
from portico.agents.editing import AgentEditor
from portico.agents.rpc import AgentMethods
from portico.agents.rpc_edit import AgentEditMethods
from portico.agents.rpc_models import ModelMethods
from portico.agents.service import Agents
from portico.agents.tools.memory.rpc import MemoryMethods
from portico.agents.workspace.rpc import WorkspaceLimits, WorkspaceMethods
from portico.clock import Clock
from portico.config.live import LiveConfig


def agent_methods(*, live: LiveConfig, agents: Agents, clock: Clock) -> tuple[object, ...]:
    """Return the objects whose methods show and change agents."""
    config = live.loaded.require()
    limits, main_key = config.gateway.limits, config.session.main_key
    sizes = WorkspaceLimits(limits.agent_file_max_bytes, limits.workspace_file_max_bytes)
    editor = AgentEditor(live=live, agents=agents, clock=clock, max_document_bytes=sizes.document)
    return (
        AgentMethods(agents=agents, main_key=main_key),
        ModelMethods(agents=agents, clock=clock, main_key=main_key),
        WorkspaceMethods(agents, sizes),
        MemoryMethods(agents),
        AgentEditMethods(
            agents=agents, editor=editor, bindings=BindingEditor(live=live, agents=agents)
        ),
    )
