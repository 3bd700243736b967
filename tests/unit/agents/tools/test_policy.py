"""Who may have which tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.agents.tools.contract import Tool, ToolCall
from portico.agents.tools.policy import PROFILES, Rules, allowed, refusing


async def _run(_call: ToolCall, _given: Mapping[str, Any]) -> Any:
    return None


def make(name: str, group: str = "other") -> Tool:
    return Tool(name=name, description=name, run=_run, group=group)


EXEC = make("exec", "runtime")
FETCH = make("web_fetch", "web")
MAIL = make("mcp__mail__send", "mcp")


@pytest.mark.parametrize(
    ("rules", "tool", "is_allowed"),
    [
        (Rules("r"), EXEC, True),
        (Rules("r", deny=("exec",)), EXEC, False),
        (Rules("r", deny=("group:runtime",)), EXEC, False),
        (Rules("r", deny=("mcp__mail__*",)), MAIL, False),
        (Rules("r", deny=("mcp__mail__*",)), FETCH, True),
        (Rules("r", allow=("group:web",)), FETCH, True),
        (Rules("r", allow=("group:web",)), EXEC, False),
        (Rules("r", allow=("*",), deny=("exec",)), EXEC, False),
        (Rules("r", profile="minimal"), EXEC, False),
        (Rules("r", profile="minimal", also_allow=("exec",)), EXEC, True),
        (Rules("r", profile="minimal", also_allow=("exec",), deny=("exec",)), EXEC, False),
        (Rules("r", profile="coding"), EXEC, True),
        (Rules("r", profile="coding", allow=("group:web",)), EXEC, False),
        (Rules("r", profile="untrusted"), EXEC, False),
        (Rules("r", profile="untrusted"), FETCH, True),
        (Rules("r", profile="full"), MAIL, True),
        (Rules("r", deny=("EXEC",)), EXEC, True),  # names are exact
        (Rules("r", deny=("group:run*",)), EXEC, True),
    ],
)
def test_one_layer(rules: Rules, tool: Tool, *, is_allowed: bool) -> None:
    assert rules.allows(tool) is is_allowed


def test_the_layer_that_refuses_is_named() -> None:
    layers = (Rules("tools"), Rules("agents.a.tools", deny=("exec",)), Rules("x", deny=("exec",)))
    assert refusing(layers, EXEC) == "agents.a.tools"
    assert refusing(layers, FETCH) is None


NAMES = st.sampled_from(["exec", "web_fetch", "mcp__*", "group:runtime", "group:web", "*"])
RULES = st.builds(
    Rules,
    name=st.just("r"),
    profile=st.sampled_from([None, *PROFILES]),
    allow=st.lists(NAMES, max_size=2).map(tuple),
    also_allow=st.lists(NAMES, max_size=2).map(tuple),
    deny=st.lists(NAMES, max_size=2).map(tuple),
)


@given(st.lists(RULES, max_size=4), RULES)
def test_a_layer_more_never_gives_a_tool_back(layers: list[Rules], extra: Rules) -> None:
    tools = [EXEC, FETCH, MAIL]
    before = {tool.name for tool in allowed(layers, tools)}
    after = {tool.name for tool in allowed([*layers, extra], tools)}
    assert after <= before
