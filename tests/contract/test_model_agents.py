"""Agents that think, in a whole gateway: configured by file, asked over the message API."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from portico.agents.model.catalog import ModelSpec
from portico.agents.rpc_models import models_of
from portico.agents.service import Roster
from portico.agents.tools.contract import Tool, ToolCall
from portico.app import Gateway
from portico.config import resolve_paths
from portico.config.service import load_text
from tests.fakes.provider import FakeProvider, Raw, Refuse, Reply, Reset, Say, Stall, sse
from tests.support.databases import sqlite_url
from tests.support.house import open_house
from tests.support.http import house, settings
from tests.support.thinking import model_runtime, provider_spec

MAIN = "agent:main:main"


def configured(provider: FakeProvider, *, timeout_s: float = 30, **model: Any) -> dict[str, Any]:
    lab = {
        "baseUrl": provider.url,
        "apiKey": "sk-lab",
        "timeoutSeconds": timeout_s,
        "models": [{"id": "m", "name": "Lab M", "cost": {"input": 1, "output": 2}, **model}],
    }
    return settings(
        agents={"defaults": {"model": "best", "models": {"lab/m": {"alias": "best"}}}},
        models={"providers": {"lab": lab}},
    )


def summarising(request: dict[str, Any]) -> Reply:
    if "You keep the memory" in json.dumps(request["messages"][0]):
        return Say("The cat is called Mozart.")
    return Say("Mozart" if "Mozart" in json.dumps(request["messages"]) else "I do not know")


async def test_a_model_in_the_file_makes_a_model_agent(tmp_path: Path) -> None:
    async with FakeProvider() as provider, house(tmp_path, configured(provider)) as gateway:
        answer = (await gateway.say("hi")).json()
        assert answer["reply"] == "Hello from the model."
        answer = (await gateway.say("again")).json()
        told, *asked = [(m["role"], m["content"]) for m in provider.requests[-1]["messages"]]
        assert told[0] == "system"
        assert "# AGENTS.md" in told[1]
        assert asked == [
            ("user", "hi"),
            ("assistant", "Hello from the model."),
            ("user", "again"),
        ]
        assert provider.headers[0]["authorization"] == "Bearer sk-lab"


async def test_after_every_trouble_the_session_goes_on(tmp_path: Path) -> None:
    troubles: tuple[Reply, ...] = (
        Reset("Good"),
        Stall("Good"),
        Refuse(401),
        Refuse(429, retry_after="900"),
        Raw((sse("Good"), b"data: {no\n\n")),
        Raw((sse("Good"),), cut=True),
    )
    async with (
        FakeProvider() as provider,
        house(tmp_path, configured(provider, timeout_s=1)) as gateway,
    ):
        for number, trouble in enumerate(troubles):
            provider.plan(trouble)
            failed = await gateway.say(f"question {number}")
            assert failed.status_code >= 500 or failed.status_code == 429, failed.text
            assert "sk-lab" not in failed.text
            answer = (await gateway.say("and now?")).json()
            assert answer["reply"] == "Hello from the model."
        told = json.dumps(provider.requests[-1]["messages"])
        assert all(f"question {number}" in told for number in range(len(troubles)))


async def test_fifty_turns_in_a_small_context_and_an_early_fact(tmp_path: Path) -> None:
    small = {"contextWindow": 2_000}
    async with (
        FakeProvider(summarising) as provider,
        house(tmp_path, configured(provider, **small)) as gateway,
    ):
        assert (await gateway.say("My cat is called Mozart.")).json()["reply"]
        for number in range(50):
            await gateway.say(f"Filler {number}: " + "and so on " * 40)
        answer = (await gateway.say("What is my cat called?")).json()
        assert answer["reply"] == "Mozart"
        longest = max(len(json.dumps(r["messages"])) for r in provider.requests)
        assert longest < 2_000 * 4
        assert any("You keep" in json.dumps(r["messages"][0]) for r in provider.requests)


def using_a_tool(request: dict[str, Any]) -> Reply:
    """A model that opens the safe, then looks in the yard each time; it knows what it was told."""
    told = json.dumps(request["messages"])
    if "You keep the memory" in told:
        return Say("The code was 4711." if "4711" in told else "Nothing worth keeping.")
    last = request["messages"][-1]
    if last["role"] == "tool":
        return Say(f"I have looked: {len(last['content'])} letters.")
    if "What was the code" in json.dumps(last):
        return Say("4711" if "4711" in told else "I do not know")
    return Say(calls=(("look", '{"where": "safe"}' if "safe" in last["content"] else "{}"),))


async def test_fifty_turns_with_tools_in_a_small_context(tmp_path: Path) -> None:
    async def look(_call: ToolCall, given: Mapping[str, Any]) -> str:
        return "The code is 4711." if given.get("where") == "safe" else "Grass and a tree. " * 20

    tool = Tool(name="look", description="Looks.", run=look, changes=False)
    async with FakeProvider(using_a_tool) as provider, open_house(tmp_path) as rooms:
        spec = provider_spec(provider, "fake", ModelSpec("m", context_window=2_000))
        runtime = model_runtime(spec, tools=(tool,))
        rooms.agents.replace(Roster((_agent(rooms, runtime),), "main"))
        await rooms.say(MAIN, "Look into the safe.", "r0")
        for number in range(50):
            answer = await rooms.say(MAIN, f"And now, {number}?", f"r{number + 1}")
            assert "360 letters" in json.dumps(answer), answer
        assert "4711" in json.dumps(await rooms.say(MAIN, "What was the code?", "r99"))
        asked = [request["messages"] for request in provider.requests]
        assert max(sum(len(m["content"] or "") for m in messages) for messages in asked) < 2_000 * 4
        assert sum("You keep the memory" in json.dumps(m[0]) for m in asked) > 1
        assert "Look into the safe." not in json.dumps(asked[-1])
        for messages in asked:
            calls = [call["id"] for m in messages for call in m.get("tool_calls") or ()]
            results = [m["tool_call_id"] for m in messages if m["role"] == "tool"]
            assert calls == results  # no provider takes a call without its result
        await runtime.close()


async def test_compaction_on_demand(tmp_path: Path) -> None:
    async with FakeProvider(summarising) as provider, open_house(tmp_path) as rooms:
        runtime = model_runtime(provider_spec(provider))
        rooms.agents.replace(Roster((_agent(rooms, runtime),), "main"))
        await rooms.say(MAIN, "My cat is called Mozart.", "r0")
        for number in range(8):
            await rooms.say(MAIN, f"Filler {number}: " + "so on " * 100, f"r{number + 1}")
        done = await rooms.call("sessions.compact", {"key": MAIN})
        assert (done["ok"], done["compacted"]) == (True, True)
        assert 0 < done["kept"] < 18
        shown = await rooms.call("chat.history", {"sessionKey": MAIN})
        assert shown["messages"][-1]["__openclaw"]["kind"] == "compaction"
        assert len(shown["messages"]) == 19  # nothing was deleted
        await what_it_cost_is_counted(rooms)
        await rooms.say(MAIN, "What is my cat called?", "r99")
        sent = json.dumps(provider.requests[-1]["messages"])
        assert "The cat is called Mozart." in sent
        assert "Filler 0" not in sent
        provider.plan(Refuse(401))
        failed = await rooms.call("sessions.compact", {"key": MAIN})
        assert failed["compacted"] is False
        assert "could not summarise" in failed["reason"]
        await runtime.close()


async def what_it_cost_is_counted(rooms: Any) -> None:
    """Nine answers and a summary, each of 11 and 7 tokens."""
    report = await rooms.call("sessions.usage", {"key": MAIN})
    assert (report["totals"]["input"], report["totals"]["output"]) == (110, 70)
    (session,) = report["sessions"]
    assert session["usage"]["input"] == 110
    (shown,) = (await rooms.call("sessions.list"))["sessions"]
    assert (shown["inputTokens"], shown["outputTokens"]) == (110, 70)
    assert shown["status"] == "done"  # as its last run ended


def _agent(rooms: Any, runtime: Any) -> Any:
    return replace(rooms.agents.get("main"), runtime=runtime)


async def test_an_echo_agent_is_not_compacted(tmp_path: Path) -> None:
    async with open_house(tmp_path) as rooms:
        await rooms.say(MAIN, "hi", "r0")
        done = await rooms.call("sessions.compact", {"key": MAIN})
        assert done["compacted"] is False
        assert "echo" in done["reason"]


def gateway_of(tmp_path: Path, config: dict[str, Any], env: dict[str, str]) -> Gateway:
    paths = resolve_paths(env={}, state_dir=tmp_path)
    sqlite_url(paths.state_dir)
    return Gateway(load_text(paths, json.dumps(config), env=env), env=env)


def test_which_runtime_an_agent_gets(tmp_path: Path) -> None:
    config = settings(
        agents={
            "list": [
                {"id": "a"},
                {"id": "b", "model": "openai/gpt-x"},
                {"id": "c", "model": "openai/gpt-x", "runtime": "echo"},
                {"id": "d", "runtime": {"type": "http", "url": "http://127.0.0.1:9/t"}},
                {"id": "e", "runtime": "model"},
            ]
        }
    )
    agents = gateway_of(tmp_path, config, {}).conversation.agents
    names = [agent.runtime.name for agent in agents.list()]
    assert names == ["echo", "model", "echo", "http", "model"]


def test_the_catalogue_knows_keys_and_providers(tmp_path: Path) -> None:
    config = settings(
        models={
            "providers": {
                "ollama": {"baseUrl": "http://127.0.0.1:11434", "api": "ollama", "models": []},
                "old": {"baseUrl": "http://x/v1", "api": "bedrock-converse-stream", "models": []},
            }
        }
    )
    catalog = gateway_of(tmp_path, config, {"OPENAI_API_KEY": "k"}).conversation.agents.catalog
    assert catalog.resolve("openai/x").provider.api_key == "k"
    assert catalog.resolve("openai/x").provider.usable
    assert not catalog.resolve("mistral/x").provider.usable
    ollama = catalog.resolve("ollama/llama").provider
    assert (ollama.base_url, ollama.api) == ("http://127.0.0.1:11434/v1", "ollama")
    assert ollama.usable


def test_models_list_tells_what_is_configured(tmp_path: Path) -> None:
    lab = {"baseUrl": "http://x/v1", "models": [{"id": "m", "contextWindow": 9000}, {"id": "n"}]}
    config = settings(
        agents={"defaults": {"model": "best", "models": {"lab/m": {"alias": "best"}}}},
        models={"providers": {"lab": lab}},
    )
    gateway = gateway_of(tmp_path, config, {})
    found = models_of(gateway.conversation.agents, gateway.conversation.agents.get(None))
    assert [(m.provider, m.id, m.alias, m.context_window, m.tags) for m in found] == [
        ("lab", "m", "best", 9000, ("default",)),
        ("lab", "n", None, None, ()),
    ]


PROGRAM = """
import os, signal, sys
from portico.observe.lean import import_lean
import_lean()
import portico.server
from portico.cli.gateway import Run, run_gateway
serve = portico.server.serve
def served(loaded, *, on_ready, **rest):
    stop = lambda _server: os.kill(os.getpid(), signal.SIGTERM)
    return serve(loaded, on_ready=stop, **rest)
portico.server.serve = served
assert run_gateway(Run(state_dir=sys.argv[1])) == 0
heavy = (
    "pydantic_ai", "openai", "anthropic", "acp", "mcp", "portico.agents.model.engine",
    "portico.wiring.tools", "cyclopts", "rich.console", "twisted.logger", "watchfiles",
)
print("heavy", [name for name in heavy if name in sys.modules])
"""


def test_a_gateway_of_echo_agents_does_not_import_it(tmp_path: Path) -> None:
    (tmp_path / "portico.json").write_text('{gateway: {port: 0, auth: {mode: "none"}}}')
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "heavy []" in done.stdout
