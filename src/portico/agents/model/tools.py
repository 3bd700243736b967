"""What the engine needs of others: the ports through which a turn gets its tools and guidance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from portico.agents.runtime import Turn
from portico.agents.tools.contract import ToolCall
from portico.agents.tools.toolbox import Layers, ToolLimits, TurnTools

ToolsFor = Callable[[Turn], Awaitable[TurnTools]]
GuidanceFor = Callable[[Turn, TurnTools], Awaitable[str]]
"""What a turn's instructions say besides the workspace's: the same words as long as may be, since
providers remember the beginning of a prompt."""


async def no_tools(turn: Turn) -> TurnTools:
    """Offer nothing."""
    call = ToolCall(agent_id=turn.agent_id, session_key=turn.session_key, call_id="")
    return TurnTools(call, {}, Layers(), ToolLimits())


async def no_guidance(turn: Turn, tools: TurnTools) -> str:
    """Say nothing."""
    return ""
