"""The configuration while the gateway runs: changed over RPC, by an editor, and taken back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from portico.audit.model import Wanted
from portico.config.keypath import KeyPath
from portico.protocol.errors import Forbidden
from portico.rpc.call import Call
from tests.support.configured import TEXT, TOKEN, Configured, configured
from tests.support.house import principal
from tests.support.waiting import eventually

MASK = "__PORTICO_REDACTED__"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Configured]:
    async with configured(tmp_path) as running:
        yield running


async def actions(house: Configured, *expected: str) -> None:
    """What is recorded, the newest first; a record may come a moment after its change."""
    async with asyncio.timeout(30):
        while True:
            found = await house.gateway.ground.audit.list(Wanted(action="config"))
            if [one.action for one in found] == [*expected]:
                return
            await asyncio.sleep(0.02)


async def test_a_patch_changes_the_file_and_what_runs(house: Configured) -> None:
    done = await house.patch({"agents": {"list": [{"id": "ops", "name": "Night shift"}]}})
    assert done["changedPaths"] == ["agents.list"]
    assert done["hash"] == house.hash
    assert "// Ann's settings" in house.text
    assert "// the first" in house.text
    assert [one["name"] for one in house.tree["agents"]["list"] if "name" in one] == ["Night shift"]
    assert house.gateway.conversation.agents.get("ops").name == "Night shift"
    assert TOKEN not in json.dumps(done)
    await actions(house, "config.patched")
    change = (await house.gateway.ground.audit.list(Wanted(action="config")))[0]
    assert (change.actor, change.details["changedPaths"]) == ("ann", ["agents.list"])


async def test_a_patch_without_effect_says_so(house: Configured) -> None:
    before = house.text
    done = await house.patch({"agents": {"list": [{"id": "ops", "name": "Ops"}]}})
    assert (done["noop"], done["changedPaths"]) == (True, [])
    assert house.text == before


async def test_null_removes(house: Configured) -> None:
    await house.patch({"agents": {"defaults": None}})
    assert "defaults" not in house.tree["agents"]


@pytest.mark.parametrize("method", ["config.set", "config.patch", "config.apply"])
async def test_the_hash_guards_every_write(house: Configured, method: str) -> None:
    missing = await house.refused(method, raw="{}")
    assert missing.message == "config base hash required; re-run config.get and retry"
    stale = await house.refused(method, raw="{}", baseHash="0" * 64)
    assert stale.message == "config changed since last load; re-run config.get and retry"
    assert house.text == TEXT


async def test_an_invalid_config_is_refused_and_kept_beside_the_file(house: Configured) -> None:
    for method in ("config.set", "config.apply"):
        error = await house.refused(method, raw="{ gateway: { port: -1 } }", baseHash=house.hash)
        assert error.message.startswith("invalid config: gateway.port: ")
        assert error.details is not None
        assert error.details["issues"][0]["path"] == "gateway.port"
    kept = sorted(house.path.parent.glob("portico.json.rejected.*"))
    assert kept
    assert kept[0].read_text() == "{ gateway: { port: -1 } }"
    assert kept[0].stat().st_mode & 0o077 == 0
    assert house.text == TEXT


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        ("[1]", "config.patch raw must be an object"),
        ("{", "is not JSON5"),
        ('{agents: {list: [{id: "x"}, {id: "x"}]}}', "an id occurs twice"),
        ("{agents: {list: []}}", "would remove entries from array path(s): agents.list"),
        ("{agents: {list: null}}", "would remove entries from array path(s): agents.list"),
        (f'{{gateway: {{auth: {{password: "{MASK}"}}}}}}', "no secret to keep"),
    ],
)
async def test_what_a_patch_may_not_do(house: Configured, patch: str, says: str) -> None:
    error = await house.refused("config.patch", raw=patch, baseHash=house.hash)
    assert says in error.message
    assert house.text == TEXT


async def test_entries_go_when_the_path_is_named(house: Configured) -> None:
    await house.patch({"agents": {"list": [{"id": "main"}]}}, replacePaths=["agents.list"])
    assert house.tree["agents"]["list"] == [{"id": "main"}]
    assert house.gateway.conversation.agents.find("ops") is None


async def test_what_get_shows_can_be_sent_back(house: Configured) -> None:
    shown = await house("config.get")
    assert MASK in shown["raw"]
    raw = shown["raw"].replace('"Ops"', '"Evening"')
    done = await house("config.apply", raw=raw, baseHash=shown["hash"])
    assert done["ok"]
    assert house.tree["gateway"]["auth"]["token"] == TOKEN
    assert house.gateway.conversation.agents.get("ops").name == "Evening"
    assert "// nobody's business" in house.text


async def test_a_form_keeps_the_comments_of_the_file(house: Configured) -> None:
    shown = await house("config.get")
    form = shown["sourceConfig"]
    form["agents"]["list"].append({"id": "third"})
    await house("config.apply", raw=json.dumps(form), baseHash=shown["hash"])
    assert "// nobody's business" in house.text
    assert house.tree["gateway"]["auth"]["token"] == TOKEN
    assert house.gateway.conversation.agents.find("third") is not None


async def test_set_writes_and_the_gateway_follows(house: Configured) -> None:
    raw = TEXT.replace('"Ops"', '"Later"')
    done = await house("config.set", raw=raw, baseHash=house.hash)
    assert done["hash"] == house.hash
    await eventually(lambda: house.gateway.conversation.agents.get("ops").name == "Later")


async def test_what_an_editor_writes_is_followed(house: Configured) -> None:
    new = house.path.with_name("new")
    new.write_text(TEXT.replace('"Ops"', '"By hand"'))
    new.replace(house.path)
    await eventually(lambda: house.gateway.conversation.agents.get("ops").name == "By hand")
    house.path.write_text(TEXT.replace('"Ops"', '"In place"'))
    await eventually(lambda: house.gateway.conversation.agents.get("ops").name == "In place")
    await actions(house, "config.reloaded", "config.reloaded")


async def test_a_file_broken_by_hand_changes_nothing_that_runs(house: Configured) -> None:
    house.path.write_text("{ agents: [")
    await eventually(lambda: house.gateway.ground.settings.status().get("refused") is not None)
    assert house.gateway.conversation.agents.find("ops") is not None
    shown = await house("config.get")
    assert shown["valid"] is False
    assert (await house("status"))["config"]["refused"]["issues"]
    house.path.write_text(TEXT.replace('"Ops"', '"Mended"'))
    await eventually(lambda: house.gateway.conversation.agents.get("ops").name == "Mended")
    assert "refused" not in house.gateway.ground.settings.status()
    await actions(house, "config.reloaded", "config.refused")


async def test_a_file_that_is_gone_changes_nothing_that_runs(house: Configured) -> None:
    house.path.unlink()
    await eventually(lambda: house.gateway.ground.settings.status().get("refused") is not None)
    assert house.gateway.conversation.agents.find("ops") is not None


async def test_an_included_file_is_followed(tmp_path: Path) -> None:
    extra = tmp_path / "state" / "agents.json5"
    extra.parent.mkdir()
    extra.write_text('{ list: [{ id: "main" }, { id: "one" }] }')
    text = '{ $include: "base.json5", agents: { $include: "agents.json5" } }'
    (tmp_path / "state" / "base.json5").write_text(TEXT.replace("agents:", "agents_:"))
    async with configured(tmp_path, text) as house:
        assert house.gateway.conversation.agents.find("one") is not None
        extra.write_text('{ list: [{ id: "main" }, { id: "two" }] }')
        await eventually(lambda: house.gateway.conversation.agents.find("two") is not None)


async def test_a_link_to_another_file_is_followed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    for name in ("One", "Two"):
        (tmp_path / name).write_text(TEXT.replace('"Ops"', f'"{name}"'))
    (state / "portico.json").symlink_to(tmp_path / "One")
    async with configured(tmp_path) as house:
        assert house.gateway.conversation.agents.get("ops").name == "One"
        (state / "link").symlink_to(tmp_path / "Two")
        (state / "link").replace(state / "portico.json")
        await eventually(lambda: house.gateway.conversation.agents.get("ops").name == "Two")
        await house.patch({"agents": {"list": [{"id": "ops", "name": "Three"}]}})
        assert house.path.is_symlink()
        assert '"Three"' in (tmp_path / "Two").read_text()


async def test_hybrid_restarts_for_what_cannot_follow(house: Configured) -> None:
    done = await house.patch({"gateway": {"port": 4321}})
    assert done["restart"]["ok"]
    await eventually(lambda: bool(house.restarts))
    assert house.restarts == ["config: gateway.port"]
    assert (await house("status"))["config"]["needsRestart"] == ["gateway.port"]


async def test_a_change_taken_back_needs_no_restart(tmp_path: Path) -> None:
    async with configured(tmp_path, TEXT.replace("CooldownMs: 0", "CooldownMs: 60000")) as house:
        done = await house.patch({"gateway": {"port": 4321}})
        assert 0 < done["restart"]["delayMs"] <= 60_000
        again = await house.patch({"gateway": {"port": 4322}})
        assert again["restart"]["coalesced"] is True
        await house.patch({"gateway": {"port": None}})
        assert house.gateway.ground.live.waiting == []
        assert house.restarts == []


async def test_an_empty_section_is_no_change(house: Configured) -> None:
    done = await house.patch({"session": {}})
    assert "restart" not in done
    assert house.gateway.ground.live.waiting == []
    await house.patch({"store": {"url": "sqlite:////nowhere/else.sqlite"}})
    assert house.gateway.ground.live.waiting == ["store.url"]


async def test_hot_leaves_the_rest_for_the_next_start(house: Configured) -> None:
    done = await house.patch({"gateway": {"port": 4321, "reload": {"mode": "hot"}}})
    assert "restart" not in done
    assert house.restarts == []
    assert house.gateway.ground.live.waiting == ["gateway.port"]


async def test_restart_restarts_for_everything(tmp_path: Path) -> None:
    async with configured(tmp_path, TEXT.replace("{ debounce", '{ mode: "restart", debounce')) as h:
        done = await h.patch({"agents": {"list": [{"id": "ops", "name": "New"}]}})
        assert done["restart"]["reason"] == "config: agents"
        assert h.gateway.conversation.agents.get("ops").name == "Ops"
        await eventually(lambda: h.restarts == ["config: agents"])


async def test_off_only_writes(tmp_path: Path) -> None:
    async with configured(tmp_path, TEXT.replace("{ debounce", '{ mode: "off", debounce')) as house:
        done = await house.patch({"agents": {"list": [{"id": "ops", "name": "New"}]}})
        assert "restart" not in done
        house.path.write_text("{ broken")
        await eventually(lambda: house.gateway.ground.settings.status().get("refused") is not None)
        assert house.gateway.conversation.agents.get("ops").name == "Ops"
        assert house.restarts == []


class Sick:
    """A check that fails once it is told to."""

    def __init__(self, house: Configured) -> None:
        self.reason: str | None = None
        house.gateway.ground.readiness.add_check("sick", self.check)

    async def check(self) -> str | None:
        return self.reason


async def test_a_gateway_that_is_not_well_goes_back(house: Configured) -> None:
    heard: list[Any] = []
    house.gateway.ground.live.listen(lambda loaded: heard.append(loaded.hash))
    before = house.hash
    Sick(house).reason = "feverish"
    error = await house.refused(
        "config.patch", raw='{agents: {list: [{id: "ops", name: "Bad"}]}}', baseHash=before
    )
    assert "sick: feverish" in error.message
    assert error.code == "UNAVAILABLE"
    assert house.text == TEXT
    assert house.gateway.conversation.agents.get("ops").name == "Ops"
    assert heard[-1] == before
    assert len(heard) == 2
    status = (await house("status"))["config"]
    kept = Path(status["rolledBack"]["kept"])
    assert '"Bad"' in kept.read_text()
    assert status["revisionHash"] == status["appliedHash"]
    await eventually(lambda: bool(house.gateway.ground.settings.status().get("rolledBack")))
    assert house.gateway.ground.live.loaded.paths.last_good.read_text() == TEXT


async def test_what_an_editor_writes_is_taken_back_too(house: Configured) -> None:
    sick = Sick(house)
    sick.reason = "feverish"
    house.path.write_text(TEXT.replace('"Ops"', '"Bad"'))
    await eventually(lambda: house.gateway.ground.settings.status().get("rolledBack") is not None)
    await eventually(lambda: house.text == TEXT)
    sick.reason = None
    await house.patch({"agents": {"list": [{"id": "ops", "name": "Good"}]}})
    assert house.gateway.conversation.agents.get("ops").name == "Good"


async def test_a_restart_that_fails_takes_the_change_back(house: Configured) -> None:
    settings, before = house.gateway.ground.settings, house.hash
    await house.patch({"gateway": {"port": 4321}})
    assert house.gateway.ground.live.loaded.paths.last_good.read_text() == TEXT, (
        "nobody has run with it"
    )
    await house.patch({"agents": {"list": [{"id": "ops", "name": "With it"}]}})
    await settings.restart_begins()
    heard: list[Any] = []
    house.gateway.ground.live.listen(lambda loaded: heard.append(loaded.hash))
    why = await settings.restart_failed("the port is taken")
    assert why.startswith("the port is taken; the config file is the last good one again")
    assert (house.text, heard) == (TEXT, [before])
    assert house.gateway.conversation.agents.get("ops").name == "Ops"
    status = (await house("status"))["config"]
    assert "port is taken" in status["rolledBack"]["issues"][0]["message"]
    assert "4321" in Path(status["rolledBack"]["kept"]).read_text()
    assert (status["needsRestart"], status["revisionHash"]) == ([], status["appliedHash"])
    shown = await house("config.get")
    assert shown["valid"]
    assert any("port is taken" in one["message"] for one in shown["warnings"])
    await actions(house, "config.rolled_back", "config.patched", "config.patched")
    await house.patch({"agents": {"list": [{"id": "ops", "name": "Next"}]}})
    assert (await house("config.get"))["warnings"] == []


@pytest.mark.parametrize("mode", ["restart", "off", "hot"])
async def test_what_an_editor_wrote_goes_when_the_restart_fails(tmp_path: Path, mode: str) -> None:
    before = TEXT.replace("{ debounce", f'{{ mode: "{mode}", debounce')
    async with configured(tmp_path, before) as house:
        settings = house.gateway.ground.settings
        house.path.write_text(before.replace("auth:", "port: 4321, auth:"))
        await settings.restart_begins()
        await settings.restart_failed("the port is taken")
        assert house.text == before
        (kept,) = house.path.parent.glob("portico.json.rejected.*")
        assert "4321" in kept.read_text()
        house.path.write_text(kept.read_text())  # on purpose
        await settings.restart_begins()
        house.path.write_text(mended := before.replace("auth:", "port: 4322, auth:"))
        assert await settings.restart_failed("the port is taken") == "the port is taken"
        assert house.text == mended, "nobody has tried this one"


async def test_a_restart_that_fails_for_another_reason_changes_no_file(house: Configured) -> None:
    settings = house.gateway.ground.settings
    await settings.restart_begins()
    assert await settings.restart_failed("out of memory") == "out of memory"
    house.path.write_text("{ broken")
    await settings.restart_begins()
    assert await settings.restart_failed("it is broken") == "it is broken"
    assert house.text == "{ broken", "whoever edits it is not done"


async def test_backups_are_a_ring(house: Configured) -> None:
    for number in range(8):
        await house.patch({"agents": {"list": [{"id": "ops", "name": f"N{number}"}]}})
    kept = sorted(one.name for one in house.path.parent.glob("portico.json.bak*"))
    assert kept == ["portico.json.bak", *(f"portico.json.bak.{n}" for n in range(1, 5))]
    assert '"N6"' in house.path.with_name("portico.json.bak").read_text()
    assert '"N2"' in house.path.with_name("portico.json.bak.4").read_text()


async def test_a_plan_says_what_would_happen_and_changes_nothing(house: Configured) -> None:
    auth = '{token: "another-token-0123456789"}'
    patch = f'{{gateway: {{port: 1, auth: {auth}}}, agents: {{list: [{{id: "x"}}]}}}}'
    plan = await house("config.plan", patch=patch)
    assert plan["action"] == "restart"
    effects = {one["path"]: one["effect"] for one in plan["changes"]}
    assert effects["agents.list"] == "hot"
    assert effects["gateway.port"] == "restart"
    assert "another-token" not in json.dumps(plan)
    assert house.text == TEXT
    assert (await house("config.plan"))["action"] == "none"
    assert (await house("config.plan", raw="{gateway: {port: -1}}"))["action"] == "refused"


async def test_who_may_not_change_anything_has_nothing_planned(
    house: Configured, tmp_path: Path
) -> None:
    """A plan looks secrets up: it would run programs and read files for whoever may only read."""
    touched = tmp_path / "touched"
    provider = {"source": "exec", "command": "/usr/bin/touch", "args": [str(touched)]}
    text = json.dumps(
        {
            "secrets": {"providers": {"mine": provider}},
            "channels": {
                "telegram": {"botToken": {"source": "exec", "provider": "mine", "id": "x"}}
            },
        }
    )
    reader = Call(principal("operator.read"))
    for given in ("raw", "patch"):
        with pytest.raises(Forbidden):
            await house.gateway.front.dispatcher.request(
                "config.plan", json.dumps({given: text}).encode(), reader
            )
    assert not touched.exists()
    answer = await house.gateway.front.dispatcher.request("config.plan", b"{}", reader)
    assert answer["action"] == "none"


async def test_a_patch_is_no_whole_configuration(house: Configured) -> None:
    before = house.text
    house.path.unlink()
    refused = await house.refused("config.patch", raw="{logging: {level: 'debug'}}")
    assert refused.message == "the config file is gone; write a whole one with config.apply"
    assert not house.path.exists()
    await house("config.apply", raw=before)
    assert house.text == before


async def test_the_schema_describes_itself(house: Configured) -> None:
    found = await house("config.schema")
    gateway = found["schema"]["properties"]["gateway"]["properties"]
    # As forms can draw it: no references, one kind of value.
    assert "$ref" not in json.dumps(found)
    assert (gateway["port"]["type"], gateway["port"]["default"]) == ("integer", 18789)
    assert gateway["auth"]["properties"]["mode"]["enum"][:2] == ["none", "token"]
    assert [one["type"] for one in gateway["auth"]["properties"]["token"]["anyOf"]] == [
        *("string", "object")
    ]
    assert found["uiHints"]["gateway.auth.token"]["sensitive"] is True
    looked = await house("config.schema.lookup", path="gateway.reload")
    assert [one["key"] for one in looked["children"]][:2] == ["mode", "debounceMs"]
    assert looked["reloadKind"] == "hot"
    for path in ("agents.list[].id", "agents.entries.*.name", "channels", "models.providers.*"):
        assert (await house("config.schema.lookup", path=path))["path"]
    missing = await house.refused("config.schema.lookup", path="gateway.nothing")
    assert missing.message == "config schema path not found"


async def test_every_hot_setting_is_followed(house: Configured) -> None:
    from portico.config.fields import all_fields, extra_of

    left = [
        path
        for path, info, _ in all_fields()
        if extra_of(info).get("reload") == "hot"
        and not house.gateway.ground.live.is_followed(_steps(path))
    ]
    assert left == []


def _steps(path: str) -> KeyPath:
    return tuple(path.replace("[]", ".0").split("."))


async def test_what_follows_really_follows(house: Configured) -> None:
    gateway, config = house.gateway, lambda: house.gateway.ground.live.loaded.require()
    queue = {"mode": "steer", "byChannel": {"http": "collect"}}
    tools = {
        "deny": ["web_fetch"],
        "trusted": ["http"],
        "timeoutSeconds": 7,
        "exec": {"security": "full"},
        "sessions": {"visibility": "self"},
        "web": {"fetch": {"maxChars": 123}},
    }
    gateway.conversation.toolbox.registry.declared()
    await house.patch(
        {
            "tools": tools,
            "messages": {"queue": queue},
            "session": {"dmScope": "per-peer"},
            "cron": {"enabled": False, "maxJobs": 3},
            "logging": {"level": "warn"},
            "approvals": {"maxPending": 9},
            "mcp": {"servers": {"near": {"command": "/no/such/program"}}},
            "agents": {"defaults": {"maxConcurrent": 3}},
            "channels": {"defaults": {"retry": {"attempts": 2}}},
            "gateway": {
                "controlUi": {"enabled": False, "allowedOrigins": ["https://a.example"]},
                "trustedProxies": ["10.0.0.1"],
                "auth": {"rateLimit": {"maxAttempts": 3}},
                "http": {"endpoints": {"chatCompletions": {"enabled": True}}},
                "limits": {"maxConnections": 5},
            },
        }
    )
    assert gateway.ground.live.waiting == []
    assert config().tools.timeout_seconds == 7
    assert "web_fetch" not in [
        one.name for one in await gateway.conversation.toolbox.effective("main", None)
    ]
    assert "exec" in [
        one.name for one in await gateway.conversation.toolbox.effective("main", None)
    ]
    assert gateway.features.chat.settings.dm_scope == "per-peer"
    assert gateway.features.automation.cron.scheduler.is_enabled is False
    assert gateway.conversation.approvals.settings.max_pending == 9
    assert [one.name for one in gateway.conversation.mcp_servers.status()] == ["near"]
    assert gateway.front.plane.limits.max_connections == 5
    rules = gateway.kernel.authenticator.settings
    assert rules.allowed_origins == ("https://a.example",)
    assert rules.trusted_proxies == ("10.0.0.1",)
    assert rules.rate_limit.max_attempts == 3
    assert rules.token == TOKEN
    assert gateway.front.web.claimed("/v1/chat/completions")
    await house.patch({"mcp": None, "logging": None})
    assert gateway.conversation.mcp_servers.status() == ()


async def test_limits_follow_too(house: Configured) -> None:
    gateway = house.gateway
    pairing = {"requestTtlMs": 2_000, "maxPending": 3, "maxSetupCodes": 1, "setupCodeTtlMs": 5_000}
    await house.patch(
        {
            "gateway": {
                "nodes": {"pairing": pairing},
                "restart": {"readyMs": 5_000},
                "messages": {"allowUsers": ["ann"]},
            },
            "hooks": {"maxFailures": 2, "maxBodyBytes": 2_048},
            "store": {"retentionDays": 2},
            "update": {"allow": True, "timeoutMs": 1_000},
        }
    )
    assert gateway.ground.live.waiting == []
    made = await house("device.pair.setupCode", publicUrl="ws://127.0.0.1:1")
    assert made["expiresAtMs"] <= gateway.ground.clock.now_ms() + 5_000
    refused = await house.refused("device.pair.setupCode", publicUrl="ws://127.0.0.1:1")
    assert refused.message.startswith("1 setup codes wait for a device")
    assert gateway.kernel.devices._limits.ttl_ms == 2_000
    assert gateway.path.message_door.allow_senders == frozenset({"ann"})
    assert gateway.features.updates.settings.allow is True
