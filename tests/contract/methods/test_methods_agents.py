"""Agents as data: made, changed and removed over RPC, in the file and in force at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyjson5
import pytest

from portico.app import Gateway
from portico.config import load, load_or_last_good, resolve_paths
from portico.protocol.errors import GatewayError, InvalidRequest
from portico.rpc.call import Call
from tests.fakes.provider import FakeProvider, Say
from tests.support.databases import sqlite_url
from tests.support.house import ALL_SCOPES, principal
from tests.support.waiting import eventually

TEXT = """\
// Ann's settings
{
  gateway: { auth: { mode: "token", token: "0123456789abcdef0123456789abcdef" } },
  agents: {
    defaults: { runtime: "echo" }, // answers with what it was told
  },
}
"""
LAB = {"lab": {"baseUrl": "http://127.0.0.1:1/v1", "models": [{"id": "m"}]}}


class Calls:
    """Calls a gateway as a door would."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def __call__(self, method: str, /, **params: Any) -> Any:
        call = Call(principal(*ALL_SCOPES))
        raw = msgspec.json.encode(params)
        result = await self.gateway.front.dispatcher.request(method, raw, call)
        return msgspec.json.decode(msgspec.json.encode(result))

    async def refused(self, method: str, /, **params: Any) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self(method, **params)
        return caught.value

    async def says(self, agent_id: str, text: str, key: str) -> str:
        answer = await self("agent", agentId=agent_id, message=text, idempotencyKey=key)
        return str(answer["result"]["payloads"][0]["text"])

    @property
    def text(self) -> str:
        return self.gateway.ground.live.loaded.paths.config_file.read_text()

    @property
    def file(self) -> dict[str, Any]:
        return dict(pyjson5.decode(self.text))


@asynccontextmanager
async def running(folder: Path, text: str = TEXT, **env: str) -> AsyncIterator[Calls]:
    paths = resolve_paths(env={"HOME": str(folder)}, state_dir=folder / "state")
    sqlite_url(paths.state_dir)
    if not paths.config_file.exists():
        paths.config_file.write_text(text)
    gateway = Gateway(load(paths, env=env), env=env)
    await gateway.start()
    try:
        yield Calls(gateway)
    finally:
        await gateway.shut_down()
        await gateway.stop()


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Calls]:
    async with running(tmp_path) as calls:
        yield calls


async def test_a_new_agent_answers_at_once_and_after_a_restart(tmp_path: Path) -> None:
    workspace = str(tmp_path / "state" / "workspace-research-2")
    async with running(tmp_path) as call:
        created = await call("agents.create", name="Research №2", emoji="🔬")
        assert created == {
            "ok": True,
            "agentId": "research-2",
            "name": "Research №2",
            "workspace": workspace,
        }
        assert await call.says("research-2", "hello", "r1") == "Echo: hello"
        assert (await call.says("main", "hello", "r2")) == "Echo: hello"
        assert call.text.startswith("// Ann's settings")
        assert "// answers with what it was told" in call.text
        assert (
            call.gateway.ground.live.applied_hash == call.gateway.ground.live.loaded.revision_hash
        )
        assert (Path(workspace) / "SOUL.md").is_file()
    async with running(tmp_path) as call:
        listed = await call("agents.list")
        assert [one["id"] for one in listed["agents"]] == ["main", "research-2"]
        assert listed["defaultId"] == "main"
        assert listed["agents"][1]["identity"] == {"name": "Research №2", "emoji": "🔬"}
        assert await call.says("research-2", "still here", "r3") == "Echo: still here"


async def test_what_cannot_be_created(call: Calls, tmp_path: Path) -> None:
    await call("agents.create", name="Ops")
    before = call.text
    for params, message in (
        ({"name": "ops"}, 'agent "ops" already exists'),
        ({"name": "Main"}, 'agent "main" already exists'),
        ({"name": "  "}, "name must not be empty"),
        ({"name": "a\nb"}, "one line"),
        ({"name": "x" * 201}, "not have more than 200"),
        ({"name": "y", "emoji": "e" * 33}, "emoji must not have more"),
        ({"name": "y", "workspace": "some/where"}, "absolute path"),
        ({"name": "y", "model": "no-such-model"}, "no alias and no configured model"),
        ({"name": "y", "model": "nobody/m"}, 'no provider "nobody"'),
        ({"name": "y", "id": "z"}, "unexpected property 'id'"),
        ({}, "must have required property 'name'"),
    ):
        error = await call.refused("agents.create", **params)
        assert isinstance(error, InvalidRequest), params
        assert message in error.message
    (tmp_path / "file").write_text("x")
    in_the_way = await call.refused("agents.create", name="y", workspace=f"{tmp_path}/file/w")
    assert in_the_way.code == "UNAVAILABLE"
    assert call.text == before
    assert len((await call("agents.list"))["agents"]) == 2


async def test_names_without_letters_get_numbered_ids(call: Calls) -> None:
    ids = [(await call("agents.create", name=name))["agentId"] for name in ("助手", "秘书", "!!!")]
    assert ids == ["agent", "agent-2", "agent-3"]


async def test_what_is_refused_leaves_no_directory(call: Calls, tmp_path: Path) -> None:
    config = tmp_path / "state" / "portico.json"
    config.write_text("{ agents: [[ broken")
    error = await call.refused("agents.create", name="Lost")
    assert error.details["code"] == "INVALID_CONFIG"
    assert "JSON5" in error.details["issues"][0]["message"]
    assert config.read_text() == "{ agents: [[ broken"
    assert not (tmp_path / "state" / "workspace-lost").exists()
    assert await call.says("main", "on", "r1") == "Echo: on"


async def test_a_change_counts_at_once_and_null_takes_away(call: Calls) -> None:
    await call("agents.create", name="Ops", emoji="🔧", avatar="https://x/y.png")
    await call("agents.update", agentId="OPS", name="Crew", emoji=None, avatar="", theme="calm")
    shown = await call("agent.identity.get", agentId="ops")
    assert shown == {
        "agentId": "ops",
        "name": "Crew",
        "nameSource": "config",
        "avatarStatus": "none",
    }
    (entry,) = [one for one in call.file["agents"]["list"] if one["id"] == "ops"]
    assert entry["identity"] == {"theme": "calm"}
    for params, message in (
        ({"agentId": "nobody", "name": "x"}, 'agent "nobody" not found'),
        ({"agentId": "ops", "agentRuntime": "python"}, "agentRuntime must be"),
        ({"agentId": "ops", "model": "nobody/m"}, "no provider"),
        ({"agentId": "ops", "name": None}, "must be string"),
    ):
        assert message in (await call.refused("agents.update", **params)).message


async def test_an_agent_is_given_a_model_and_loses_it(tmp_path: Path) -> None:
    text = json.dumps({"agents": {"defaults": {"runtime": "echo"}}, "models": {"providers": LAB}})
    async with running(tmp_path, text) as call:
        await call("agents.create", name="Thinker", model="lab/m")
        (_, thinker) = (await call("agents.list"))["agents"]
        assert thinker["agentRuntime"]["id"] == "model"
        assert thinker["model"] == {"primary": "lab/m"}
        assert thinker["thinkingOptions"][0] == "off"
        await call("agents.update", agentId="thinker", model=None)
        (_, thinker) = (await call("agents.list"))["agents"]
        assert thinker["agentRuntime"]["id"] == "echo"


async def test_a_turn_keeps_the_model_it_began_with(tmp_path: Path) -> None:
    async with FakeProvider() as provider:
        models = [{"id": "old"}, {"id": "new"}]
        lab = {"baseUrl": provider.url, "apiKey": "k", "models": models}
        text = json.dumps({"models": {"providers": {"lab": lab}}})
        async with running(tmp_path, text) as call:
            await call("agents.create", name="T", model="lab/old")
            go_on = asyncio.Event()
            provider.plan(Say("one two three four five six seven eight", until=go_on))
            said = call.says("t", "first", "r1")
            first = call.gateway.ground.tasks.start(said, name="first")
            await eventually(lambda: provider.requests)
            await call("agents.update", agentId="t", model="lab/new")
            assert await call.says("main", "meanwhile", "r2") == "Echo: meanwhile"
            assert not first.done()
            go_on.set()
            assert await first == "one two three four five six seven eight"
            await call.says("t", "second", "r3")
            assert [request["model"] for request in provider.requests] == ["old", "new"]


async def test_the_last_good_copy_is_what_runs(tmp_path: Path) -> None:
    async with running(tmp_path) as call:
        await call("agents.create", name="Ops")
        paths = call.gateway.ground.live.loaded.paths
        await eventually(lambda: paths.last_good.read_text() == call.text)
    paths.config_file.write_text("{ broken")
    loaded = load_or_last_good(paths, env={})
    assert loaded.from_last_good
    assert loaded.require().agents.resolve("ops") is not None


async def test_main_can_be_changed_before_it_is_written(call: Calls, tmp_path: Path) -> None:
    await call("agents.update", agentId="main", name="Ada", workspace=str(tmp_path / "other"))
    listed = await call("agents.list")
    assert [(one["id"], one["name"], one["workspace"]) for one in listed["agents"]] == [
        ("main", "Ada", str(tmp_path / "other"))
    ]
    assert (tmp_path / "other" / "AGENTS.md").is_file()


async def test_a_deleted_agent_is_gone_but_its_sessions_can_be_read(
    call: Calls, tmp_path: Path
) -> None:
    await call("agents.create", name="Ops")
    await call("agents.bindings.add", agentId="ops", matches=[{"channel": "telegram"}])
    assert await call.says("ops", "hello", "r1") == "Echo: hello"
    deleted = await call("agents.delete", agentId="ops")
    workspace = str(tmp_path / "state" / "workspace-ops")
    assert deleted == {
        "ok": True,
        "agentId": "ops",
        "removedBindings": 1,
        "removed": [{"path": workspace, "method": "trash"}],
    }
    assert not Path(workspace).exists()
    (kept,) = (tmp_path / "state" / "trash").iterdir()
    assert (kept / "SOUL.md").is_file()
    assert "telegram" not in call.text
    refused = await call.refused("agent", agentId="ops", message="x", idempotencyKey="r2")
    assert refused.details["code"] == "UNKNOWN_AGENT_ID"
    history = await call("chat.history", sessionKey="agent:ops:main")
    assert len(history["messages"]) == 2
    keys = [one["key"] for one in (await call("sessions.list"))["sessions"]]
    assert "agent:ops:main" in keys
    again = await call.refused("agents.delete", agentId="ops")
    assert again.message == 'agent "ops" not found'


async def test_who_cannot_be_deleted(call: Calls) -> None:
    only = await call.refused("agents.delete", agentId="main")
    assert "only configured agent" in only.message
    await call("agents.create", name="Ops")
    default = await call.refused("agents.delete", agentId="main")
    assert "default agent" in default.message
    await call("agents.update", agentId="ops", default=True)
    assert (await call("agents.list"))["defaultId"] == "ops"
    assert (await call("agents.delete", agentId="main"))["ok"]
    assert await call.says("ops", "me now", "r1") == "Echo: me now"


async def test_which_directories_go_to_the_trash(call: Calls, tmp_path: Path) -> None:
    mine = tmp_path / "project"
    mine.mkdir()
    await call("agents.create", name="A", workspace=str(mine))
    assert list(mine.iterdir()) == []  # what was there is left as it is
    assert "removed" not in await call("agents.delete", agentId="a")
    assert mine.is_dir()
    await call("agents.create", name="A", workspace=str(mine))
    assert (await call("agents.delete", agentId="a", deleteFiles=True))["removed"]
    assert not mine.exists()
    await call("agents.create", name="B")
    assert "removed" not in await call("agents.delete", agentId="b", deleteFiles=False)
    assert (tmp_path / "state" / "workspace-b").is_dir()
    await call("agents.create", name="C", workspace=str(tmp_path / "state"))
    kept = await call("agents.delete", agentId="c", deleteFiles=True)
    assert kept["failed"][0]["reason"] == "it holds the gateway's own files"
    await call("agents.create", name="D")
    (tmp_path / "state" / "workspace-d").rename(tmp_path / "elsewhere")
    missing = await call("agents.delete", agentId="d")
    assert missing["removed"][0]["method"] == "missing"


async def test_a_turn_that_runs_finishes_and_one_that_waits_fails(call: Calls) -> None:
    await call("agents.create", name="Slow")

    async def say(text: str, key: str) -> Any:
        return await call("agent", agentId="slow", message=text, idempotencyKey=key)

    tasks = call.gateway.ground.tasks
    first = tasks.start(say("/sim delay_ms=700 words=3", "r1"), name="first")
    await eventually(lambda: call.gateway.path.turns.running == 1)
    second = tasks.start(
        call.refused("agent", agentId="slow", message="me?", idempotencyKey="r2"), name="second"
    )
    await eventually(lambda: _queued(call))
    await call("agents.delete", agentId="slow")
    done = await first
    assert done["status"] == "ok"
    refused = await second
    assert refused.message == 'The agent "slow" was removed before it could answer.'


async def _queued(call: Calls) -> bool:
    lane = await call.gateway.path.turns.open_in_lane("agent:slow:main")
    return len(lane) == 2


async def test_many_changes_at_once_all_count(call: Calls) -> None:
    names = [f"Agent {n}" for n in range(8)]
    await asyncio.gather(*(call("agents.create", name=name) for name in names))
    listed = [one["id"] for one in (await call("agents.list"))["agents"]]
    assert sorted(listed) == sorted(["main", *(f"agent-{n}" for n in range(8))])
    assert [one["id"] for one in call.file["agents"]["list"]] == listed


async def test_of_two_who_create_the_same_one_does(call: Calls) -> None:
    outcomes = await asyncio.gather(
        *(call("agents.create", name="Twin") for _ in range(3)), return_exceptions=True
    )
    errors = [one for one in outcomes if isinstance(one, InvalidRequest)]
    assert len(errors) == 2
    assert all("already exists" in error.message for error in errors)
    assert (call.gateway.ground.loaded.paths.state_dir / "workspace-twin" / "SOUL.md").is_file()


async def test_bindings_decide_who_answers_from_now_on(call: Calls) -> None:
    await call("agents.create", name="Support")
    match = {"channel": "http", "accountId": "*", "peer": {"kind": "direct", "id": "vip"}}
    added = await call("agents.bindings.add", agentId="support", matches=[match, match])
    assert added == {"agentId": "support", "added": [match]}
    assert (await call("agents.bindings.add", agentId="support", matches=[match]))["added"] == []
    (shown,) = (await call("agents.bindings.list"))["bindings"]
    assert shown == {"agentId": "support", "match": match, "description": "http:* direct vip"}
    taken = await call.refused("agents.bindings.add", agentId="main", matches=[match])
    assert taken.details == {"code": "BINDING_CONFLICT", "agentId": "support"}
    unknown = await call.refused("agents.bindings.add", agentId="x", matches=[match])
    assert unknown.details["code"] == "UNKNOWN_AGENT_ID"
    removed = await call("agents.bindings.remove", agentId="main")
    assert removed == {"agentId": "main", "removed": 0}
    assert (await call("agents.bindings.remove", agentId="support", matches=[match]))[
        "removed"
    ] == 1
    assert (await call("agents.bindings.list"))["bindings"] == []


async def test_documents_over_rpc(call: Calls) -> None:
    await call("agents.create", name="Ops")
    listed = await call("agents.files.list", agentId="ops")
    missing = {one["name"]: one.get("expectedAbsent") for one in listed["files"] if one["missing"]}
    assert missing == {"BOOTSTRAP.md": True, "MEMORY.md": True}
    read = (await call("agents.files.get", agentId="ops", name="SOUL.md"))["file"]
    written = await call(
        "agents.files.set",
        agentId="ops",
        name="SOUL.md",
        content="Terse.",
        expectedHash=read["hash"],
    )
    assert written["file"]["content"] == "Terse."
    conflict = await call.refused(
        "agents.files.set", agentId="ops", name="SOUL.md", content="x", expectedHash=read["hash"]
    )
    assert conflict.message == 'agent file "SOUL.md" changed since it was read'
    assert conflict.details == {
        "type": "agent_file_conflict",
        "name": "SOUL.md",
        "currentHash": written["file"]["hash"],
    }
    gone = (await call("agents.files.get", agentId="ops", name="MEMORY.md"))["file"]
    assert (gone["missing"], gone["expectedAbsent"]) == (True, True)
    for params, message in (
        ({"agentId": "nobody", "name": "SOUL.md"}, "unknown agent id"),
        ({"agentId": "ops", "name": "../portico.json"}, 'unsupported file "../portico.json"'),
        ({"agentId": "ops", "name": "notes.md"}, 'unsupported file "notes.md"'),
    ):
        assert message in (await call.refused("agents.files.get", **params)).message
    large = await call.refused(
        "agents.files.set", agentId="ops", name="USER.md", content="x" * (2 << 20 | 1)
    )
    assert "too large" in large.message


async def test_the_default_agent_has_a_directory_from_the_start(call: Calls) -> None:
    call.gateway.open()
    listed = await call("agents.files.list", agentId="main")
    workspace = Path(listed["workspace"])
    assert workspace == call.gateway.ground.loaded.paths.state_dir / "workspace"
    await eventually(lambda: (workspace / "USER.md").exists())
    (workspace / "IDENTITY.md").write_text("- Name: Ada\n- Emoji: 🦋\n")
    shown = await call("agent.identity.get")
    assert (shown["name"], shown["nameSource"], shown["emoji"]) == ("Ada", "workspace", "🦋")


async def test_looking_into_a_workspace(call: Calls) -> None:
    created = await call("agents.create", name="Ops")
    workspace = Path(created["workspace"])
    (workspace / "notes").mkdir()
    (workspace / "notes" / "a.md").write_text("Grüße")
    (workspace / "photo.png").write_bytes(b"\x89PNG\xff")
    (workspace / ".env").write_text("SECRET=1")
    (workspace / "link.md").symlink_to("/etc/passwd")
    top = await call("agents.workspace.list", agentId="ops", limit=2, offset=1)
    assert (top["path"], top["totalEntries"], top["offset"]) == ("", 6, 1)
    assert [one["name"] for one in top["entries"]] == ["AGENTS.md", "IDENTITY.md"]
    assert "parentPath" not in top
    below = await call("agents.workspace.list", agentId="ops", path="notes/")
    assert (below["path"], below["parentPath"]) == ("notes", "")
    assert below["entries"][0]["path"] == "notes/a.md"
    text = (await call("agents.workspace.get", agentId="ops", path="notes/a.md"))["file"]
    assert (text["encoding"], text["content"], text["mimeType"]) == (
        *("utf8", "Grüße"),
        "text/markdown",
    )
    picture = (await call("agents.workspace.get", agentId="ops", path="photo.png"))["file"]
    assert (picture["encoding"], picture["mimeType"]) == ("base64", "image/png")
    for path in ("link.md", ".env", "../portico.json", "/etc/passwd", "no.md", "notes"):
        error = await call.refused("agents.workspace.get", agentId="ops", path=path)
        assert error.code == "INVALID_REQUEST"
    for path in ("..", "nowhere", "link.md", "photo.png"):
        error = await call.refused("agents.workspace.list", agentId="ops", path=path)
        assert error.code == "INVALID_REQUEST"


async def test_which_providers_have_a_key(tmp_path: Path) -> None:
    provider = {"baseUrl": "http://127.0.0.1:1/v1"}
    text = json.dumps(
        {
            "agents": {
                "list": [
                    {"id": "main", "model": {"primary": "lab/m", "fallbacks": ["openai/gpt-x"]}},
                    {"id": "t", "model": "xai/grok"},
                ]
            },
            "models": {
                "providers": {
                    "lab": provider,  # needs none, for all we know
                    "shop": {**provider, "apiKey": "canary"},
                    "mistral": {"models": [{"id": "large"}]},
                }
            },
        }
    )
    async with running(tmp_path, text, MISTRAL_API_KEY="canary", XAI_API_KEY="canary") as call:
        status = await call("models.authStatus", agentId="t", refresh=True)
        found = status["providers"]
        assert {one["provider"]: (one["status"], one.get("apiKey")) for one in found} == {
            "openai": ("missing", None),
            "mistral": ("static", {"source": "env", "envVar": "MISTRAL_API_KEY"}),
            "xai": ("static", {"source": "env", "envVar": "XAI_API_KEY"}),
            "shop": ("static", {"source": "config"}),
        }
        assert abs(status["ts"] - call.gateway.ground.clock.now_ms()) < 60_000
        assert all(one["profiles"] == [] for one in found)
        assert "canary" not in json.dumps(status)
        await call.refused("models.authStatus", agentId="nobody")


async def test_models_and_why_one_cannot_be_asked(tmp_path: Path) -> None:
    text = json.dumps(
        {
            "agents": {
                "defaults": {"runtime": "echo", "models": {"lab/n": {"alias": "small"}}},
                "list": [
                    {"id": "main"},
                    {"id": "t", "model": {"primary": "lab/m", "fallbacks": ["openai/gpt-x"]}},
                ],
            },
            "models": {
                "providers": {
                    **LAB,
                    "mistral": {"models": [{"id": "large", "contextWindow": 9000}]},
                }
            },
        }
    )
    async with running(tmp_path, text) as call:

        async def names(**params: Any) -> list[str]:
            models = (await call("models.list", **params))["models"]
            return [f"{one['provider']}/{one['id']}" for one in models]

        assert await names(agentId="t", view="configured") == [
            *("lab/m", "lab/n", "openai/gpt-x", "portico/echo")
        ]
        assert await names(agentId="t", view="provider-config") == ["lab/m", "mistral/large"]
        assert await names(view="all") == [
            *("portico/echo", "lab/m", "lab/n", "mistral/large", "openai/gpt-x")
        ]
        assert await names(provider="LAB") == ["lab/m", "lab/n"]
        by_name = {
            f"{one['provider']}/{one['id']}": one
            for one in (await call("models.list", view="all", includeDetails=True))["models"]
        }
        assert by_name["portico/echo"]["tags"] == ["default"]
        assert by_name["lab/n"]["alias"] == "small"
        assert by_name["lab/m"]["local"]
        gpt = by_name["openai/gpt-x"]
        assert (gpt["available"], gpt["unavailableReason"]) == (False, "missing-auth")
        models = call.gateway.conversation.agents.roster.models
        assert models is not None
        models.cooldowns.failed(models.catalog.resolve("lab/m"), 60)
        (resting,) = [
            one for one in (await call("models.list", provider="lab"))["models"] if one["id"] == "m"
        ]
        assert (resting["available"], resting["unavailableReason"]) == (False, "cooldown")
        assert resting["unavailableUntil"] > call.gateway.ground.clock.now_ms() + 50_000
