"""`portico models list`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from portico.cli.agent_calls import agent_calls
from portico.cli.command import THERE, Remote, command
from portico.cli.exit import ExitCode
from portico.cli.output import duration, print_json, print_table
from portico.clock import SystemClock

View = Literal["default", "configured", "provider-config", "all"]


@command("list")
async def list_models(
    *,
    agent: str | None = None,
    provider: str | None = None,
    view: View = "default",
    every: Annotated[bool, Parameter(name="--all")] = False,
    to: Remote = THERE,
) -> int:
    """List the language models, and whether each can be asked now.

    Args:
        agent: For this agent. [default: the default agent]
        provider: Only models of this provider.
        view: default, configured (what agents use), provider-config (what providers list) or all.
        every: The same as --view all.

    Examples:
        portico models list
        portico models list --all --provider openai
        portico models list --view configured --json
    """
    params: dict[str, Any] = {"view": "all" if every else view, "includeDetails": True}
    given = {"agentId": agent, "provider": provider}
    params |= {key: value for key, value in given.items() if value}
    async with agent_calls(to) as call:
        found = await call("models.list", params)
    if to.json:
        print_json(found)
        return ExitCode.OK
    now_ms = SystemClock().now_ms()
    rows = [
        (
            f"{one['provider']}/{one['id']}",
            one.get("alias"),
            one.get("contextWindow"),
            _state(one, now_ms),
            ", ".join(one.get("tags", ())),
        )
        for one in found["models"]
    ]
    print_table(("Model", "Alias", "Context", "State", "Tags"), rows)
    return ExitCode.OK


def _state(model: dict[str, Any], now_ms: int) -> str:
    if model["available"]:
        return "ready"
    if until := model.get("unavailableUntil"):
        return f"rests for {duration(max(0, until - now_ms) / 1000)}"
    return "no key" if model.get("unavailableReason") == "missing-auth" else "no such provider"
