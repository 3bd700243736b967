"""What the engine needs of tools: the port through which a turn gets its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from portico.agents.runtime import Turn
from portico.agents.tools.contract import ToolCall
from portico.agents.tools.toolbox import Layers, ToolLimits, TurnTools

ToolsFor = Callable[[Turn], Awaitable[TurnTools]]


async def no_tools(turn: Turn) -> TurnTools:
    """Offer nothing."""
    call = ToolCall(agent_id=turn.agent_id, session_key=turn.session_key, call_id="")
    return TurnTools(call, {}, Layers(), ToolLimits())
