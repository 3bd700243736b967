"""From one configuration to the next: what is kept, what is made anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from portico.agents.configured import ConfiguredAgents
from portico.agents.model.catalog import Catalog
from portico.agents.model.cooldown import Cooldowns
from portico.agents.model.runtime import ModelRuntime, Models
from portico.agents.model.settings import AgentModel
from portico.agents.tools.registry import ToolRegistry
from portico.agents.tools.toolbox import Layers, Toolbox
from portico.clock import SystemClock
from portico.config import resolve_paths
from portico.config.model import PorticoConfig
from portico.config.service import load_text
from tests.fakes.provider import FakeProvider
from tests.support.thinking import answer, provider_spec, text_of, turn_of

STATE = Path("/state")
LAB = {"lab": {"baseUrl": "http://127.0.0.1:1/v1", "models": [{"id": "m"}]}}


def config(agents: dict[str, Any], **sections: Any) -> PorticoConfig:
    tree = {"agents": agents, "models": {"providers": LAB}, **sections}
    return load_text(resolve_paths(env={}, state_dir=STATE), json.dumps(tree), env={}).require()


def builder() -> ConfiguredAgents:
    toolbox = Toolbox(ToolRegistry(), lambda _agent, _channel: Layers())
    return ConfiguredAgents(clock=SystemClock(), toolbox=toolbox, env={}, state_dir=STATE)


def test_only_what_changed_gets_another_runtime() -> None:
    made = builder()
    before = made.roster(
        config(
            {"list": [{"id": "a", "model": "lab/m"}, {"id": "b", "model": "lab/m"}, {"id": "e"}]}
        )
    )
    after = made.roster(
        config(
            {
                "list": [
                    {"id": "b", "model": "lab/m", "timeoutSeconds": 5},
                    {"id": "a", "model": {"primary": "lab/m", "fallbacks": ["lab/n"]}},
                    {"id": "e", "name": "Echo"},
                    {"id": "new"},
                ]
            },
            bindings=[{"agentId": "new", "match": {"channel": "x"}}],
        ),
        before,
    )
    old, new = ({agent.agent_id: agent for agent in one.agents} for one in (before, after))
    assert new["b"].runtime is old["b"].runtime
    assert new["b"].timeout_s == 5
    assert new["a"].runtime is not old["a"].runtime
    assert new["e"].runtime is old["e"].runtime
    assert new["e"].name == "Echo"
    assert after.models is before.models
    assert [(one.agent_id, one.account) for one in after.bindings] == [("new", "default")]


def test_other_providers_make_other_models_and_rests_are_remembered() -> None:
    made = builder()
    agents = {"list": [{"id": "a", "model": "lab/m"}]}
    before = made.roster(config(agents))
    other = {"providers": {"lab": {**LAB["lab"], "apiKey": "k"}}}
    after = made.roster(config(agents, models=other), before)
    assert before.models is not None
    assert after.models is not None
    assert after.models is not before.models
    assert after.models.cooldowns is before.models.cooldowns
    assert after.agents[0].runtime is not before.agents[0].runtime


def test_every_agent_has_a_directory_of_its_own() -> None:
    made = builder()
    plain = made.roster(
        config({"list": [{"id": "main"}, {"id": "b"}, {"id": "c", "workspace": "/c"}]})
    )
    assert [agent.workspace for agent in plain.agents] == [
        "/state/workspace",
        "/state/workspace-b",
        "/c",
    ]
    common = made.roster(
        config(
            {"defaults": {"workspace": "/w"}, "list": [{"id": "a"}, {"id": "b", "default": True}]}
        )
    )
    assert [agent.workspace for agent in common.agents] == ["/w/a", "/w"]


async def test_closing_one_agent_leaves_the_others_their_connections() -> None:
    async with FakeProvider() as provider:
        models = Models(Catalog([provider_spec(provider)]), Cooldowns(SystemClock()))
        toolbox = Toolbox(ToolRegistry(), lambda _agent, _channel: Layers())
        one, two = (
            ModelRuntime(AgentModel("fake/m"), models, tools=toolbox.open) for _ in range(2)
        )
        assert text_of(await answer(one, turn_of()))
        assert text_of(await answer(two, turn_of()))
        assert models._clients is not None
        clients: dict[str, Any] = {**models._clients._clients}
        await one.close()
        assert clients
        assert not any(client.is_closed() for client in clients.values())
        assert text_of(await answer(two, turn_of()))
        held = [*clients.values()]
        await two.close()
        assert held
        assert all(client.is_closed() for client in held)


def test_no_account_means_the_channels_default_one() -> None:
    channels = {"telegram": {"defaultAccount": "second", "accounts": {"first": {}, "second": {}}}}
    bindings = [
        {"agentId": "main", "match": {"channel": "telegram"}},
        {"agentId": "main", "match": {"channel": "discord"}},
    ]
    roster = builder().roster(config({}, channels=channels, bindings=bindings))
    assert [one.account for one in roster.bindings] == ["second", "default"]
