"""Skills over the control plane of a whole gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.app import Gateway
from portico.protocol.errors import GatewayError, InvalidRequest
from portico.protocol.scopes import Role, Scope
from portico.rpc.call import Call
from tests.fakes.provider import FakeProvider, Say
from tests.support.house import ALL_SCOPES, principal
from tests.support.http import house, settings
from tests.support.skills import write_skill


async def rpc(gateway: Gateway, name: str, params: Mapping[str, Any] | None = None) -> Any:
    call = Call(principal(*ALL_SCOPES))
    result = await gateway.front.dispatcher.request(name, msgspec.json.encode(params or {}), call)
    return msgspec.json.decode(msgspec.json.encode(result))


def config(folder: Path, **more: Any) -> dict[str, Any]:
    return settings(agents={"defaults": {"workspace": str(folder / "workspace")}}, **more)


async def test_status_says_what_there_is_and_what_it_lacks(tmp_path: Path) -> None:
    own = tmp_path / "workspace" / "skills"
    needs = (
        "metadata: {openclaw: {emoji: H, primaryEnv: HAT, os: [linux, darwin], "
        "requires: {bins: [no-such-hat], env: [HAT], config: [gateway.auth.token, hat.on]}, "
        "install: [{kind: uv, package: hat, bins: [no-such-hat]}]}}\n"
    )
    folder = write_skill(own, "hat", front=needs)
    (tmp_path / "skills" / "broken").mkdir(parents=True)
    (tmp_path / "skills" / "broken" / "SKILL.md").write_text("nothing")
    given = config(tmp_path, skills={"entries": {"hat": {"apiKey": "s3cret"}}})
    async with house(tmp_path, given) as inside:
        status = await rpc(inside.gateway, "skills.status", {"agentId": "main"})
    assert "s3cret" not in json.dumps(status)
    assert status["workspaceDir"] == str(tmp_path / "workspace")
    assert status["managedSkillsDir"] == str(tmp_path / "skills")
    (hat,) = (skill for skill in status["skills"] if skill["name"] == "hat")
    assert hat == {
        "name": "hat",
        "description": "Does a thing.",
        "source": "openclaw-workspace",
        "bundled": False,
        "filePath": str(folder / "SKILL.md"),
        "baseDir": str(folder),
        "skillKey": "hat",
        "primaryEnv": "HAT",
        "emoji": "H",
        "always": False,
        "disabled": False,
        "blockedByAllowlist": False,
        "blockedByAgentFilter": False,
        "eligible": False,
        "platformIncompatible": False,
        "modelVisible": False,
        "userInvocable": True,
        "commandVisible": False,
        "requirements": {
            "bins": ["no-such-hat"],
            "anyBins": [],
            "env": ["HAT"],
            "config": ["gateway.auth.token", "hat.on"],
            "os": ["linux", "darwin"],
        },
        "missing": {
            "bins": ["no-such-hat"], "anyBins": [], "env": [], "config": ["hat.on"], "os": [],
        },
        "configChecks": [
            {"path": "gateway.auth.token", "satisfied": True},
            {"path": "hat.on", "satisfied": False},
        ],
        "install": [
            {
                "id": "uv-0",
                "kind": "uv",
                "label": "Install hat (uv)",
                "bins": ["no-such-hat"],
                "command": "uv tool install hat",
                "allowed": False,
            }
        ],
    }  # fmt: skip
    (issue,) = status["issues"]
    assert issue["filePath"].endswith("broken/SKILL.md")
    assert (issue["severity"], "front matter" in issue["message"]) == ("error", True)


async def test_each_agent_has_its_own(tmp_path: Path) -> None:
    write_skill(tmp_path / "a" / "skills", "mine")
    write_skill(tmp_path / "skills", "shared")
    agents = {
        "defaults": {"skills": ["shared"]},
        "list": [
            {"id": "a", "workspace": str(tmp_path / "a"), "skills": ["mine", "shared"]},
            {"id": "b"},
        ],
    }
    async with house(tmp_path, settings(agents=agents)) as inside:
        found = {}
        for session in ("agent:a:main", "agent:b:main"):
            status = await rpc(inside.gateway, "skills.status", {"sessionKey": session})
            shown = [skill["name"] for skill in status["skills"] if skill["modelVisible"]]
            found[status["agentId"]] = (shown, status["agentSkillFilter"])
    assert found == {
        "a": (["mine", "shared"], ["mine", "shared"]),
        "b": (["shared"], ["shared"]),
    }


async def test_nodes_ask_for_the_programs_skills_name(tmp_path: Path) -> None:
    front = (
        "metadata: {openclaw: {requires: {bins: [hat], anyBins: [a, b]}, "
        "install: [{kind: uv, package: cap, bins: [cap]}]}}\n"
    )
    write_skill(tmp_path / "skills", "one", front=front)
    async with house(tmp_path) as inside:
        method = inside.gateway.front.registry.find("skills.bins")
        assert method is not None
        assert method.role is Role.NODE
        asked = await method.handler(Call(principal()), method.decoder.decode(b"{}"))
    assert {"hat", "a", "b", "cap"} <= set(asked.bins)
    assert list(asked.bins) == sorted(asked.bins)


async def test_a_skills_card_is_its_file(tmp_path: Path) -> None:
    folder = write_skill(tmp_path / "skills", "one", text="Ünicode.")
    async with house(tmp_path) as inside:
        card = await rpc(inside.gateway, "skills.skillCard", {"skillKey": "one"})
        with pytest.raises(InvalidRequest, match="unknown skill"):
            await rpc(inside.gateway, "skills.skillCard", {"skillKey": "two"})
    content = (folder / "SKILL.md").read_text()
    assert card == {
        "schema": "openclaw.skills.skill-card.v1",
        "skillKey": "one",
        "path": str(folder / "SKILL.md"),
        "sizeBytes": len(content.encode()),
        "content": content,
    }


async def test_an_agent_is_told_of_a_skill_and_reads_it(tmp_path: Path) -> None:
    write_skill(tmp_path / "skills", "greeting", "How to greet.", text="Say Ahoy.")
    lab = {"baseUrl": "", "apiKey": "k", "models": [{"id": "m"}]}
    async with FakeProvider() as provider:
        lab["baseUrl"] = provider.url
        given = settings(
            agents={"defaults": {"model": "lab/m"}}, models={"providers": {"lab": lab}}
        )
        async with house(tmp_path, given) as inside:
            provider.plan(Say(calls=(("skill_read", '{"name": "greeting"}'),)), Say("Ahoy."))
            answer = await inside.say("Greet me")
    assert answer.json()["reply"] == "Ahoy."
    first, second = provider.requests
    assert "- greeting: How to greet." in json.dumps(first["messages"][0])
    assert first["messages"][0] == second["messages"][0]
    assert second["messages"][-1]["content"] == "Say Ahoy."


async def test_unknown_agents_are_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as inside:
        with pytest.raises(GatewayError, match="unknown agent"):
            await rpc(inside.gateway, "skills.status", {"agentId": "nobody"})
        method = inside.gateway.front.registry.find("skills.status")
        assert method is not None
        assert method.scope is Scope.READ
