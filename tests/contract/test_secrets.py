"""Secrets: stored, referred to, looked up again, and shown by nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portico.config.secret_store import SecretStore, SecretStoreError
from tests.support.configured import TEXT, configured

LAB = """models: { providers: { lab: {
    baseUrl: "http://127.0.0.1:1/v1", models: [{ id: "m" }], apiKey: REF } } },
  agents:"""


def referring(ref: str) -> str:
    return TEXT.replace("agents:", LAB.replace("REF", ref))


async def test_a_stored_secret_is_used_once_it_is_there(tmp_path: Path) -> None:
    text = referring('{ source: "store", id: "LAB_KEY" }')
    async with configured(tmp_path, text) as house:
        status = await house("status")
        assert [one["ownerId"] for one in status["degradedSecretOwners"]] == ["lab"]
        done = await house("secrets.store.set", name="LAB_KEY", value="v3ry-secret", kind="secret")
        assert done == {"ok": True, "reloaded": True, "warningCount": 0}
        provider = house.gateway.ground.live.loaded.require().models.providers["lab"]
        assert provider.api_key == "v3ry-secret"
        listed = await house("secrets.store.list")
        assert [one["name"] for one in listed["entries"]] == ["LAB_KEY"]
        found = await house("secrets.resolve", commandName="x", targetIds=["models.providers.*.*"])
        assert [one["value"] for one in found["assignments"]] == ["v3ry-secret"]
        for method in ("config.get", "secrets.store.list", "audit.changes.list", "status"):
            assert "v3ry-secret" not in json.dumps(await house(method))
        files = [one for one in (tmp_path / "state").rglob("*") if one.is_file()]
        assert not any(b"v3ry-secret" in one.read_bytes() for one in files)
        await house("secrets.store.delete", name="LAB_KEY")
        assert len((await house("status"))["degradedSecretOwners"]) == 1
        missing = await house.refused("secrets.store.delete", name="LAB_KEY")
        assert missing.message == "unknown secret: LAB_KEY"


async def test_a_program_is_asked(tmp_path: Path) -> None:
    program = tmp_path / "vault"
    program.write_text('#!/bin/sh\nread asked\necho \'{"values": {"lab/key": "from-vault"}}\'\n')
    program.chmod(0o700)
    vault = f'secrets: {{ providers: {{ vault: {{ source: "exec", command: "{program}" }} }} }},'
    ref = '{ source: "exec", provider: "vault", id: "lab/key" }'
    text = referring(ref).replace("{\n  gateway", f"{{\n  {vault}\n  gateway", 1)
    async with configured(tmp_path, text) as house:
        providers = house.gateway.ground.live.loaded.require().models.providers
        assert providers["lab"].api_key == "from-vault"
        program.write_text('#!/bin/sh\necho \'{"values": {"lab/key": "rotated"}}\'\n')
        assert await house("secrets.reload") == {"ok": True, "warningCount": 0}
        assert (
            house.gateway.ground.live.loaded.require().models.providers["lab"].api_key == "rotated"
        )
        program.chmod(0o777)
        assert (await house("secrets.reload"))["warningCount"] == 1


def test_a_value_is_bound_to_its_name(tmp_path: Path) -> None:
    store = SecretStore(tmp_path, env={})
    store.put("A", "one", kind="secret", now_ms=1)
    store.put("B", "two", kind="secret", now_ms=2)
    assert store.find("A") == "one"
    assert store.file.stat().st_mode & 0o077 == 0
    assert store.key_file.stat().st_mode & 0o077 == 0
    held = json.loads(store.file.read_text())
    held["entries"]["A"], held["entries"]["B"] = held["entries"]["B"], held["entries"]["A"]
    store.file.write_text(json.dumps(held))
    with pytest.raises(SecretStoreError, match="cannot be opened"):
        store.find("A")


def test_keys_of_the_environment_are_a_ring(tmp_path: Path) -> None:
    first, second = "A" * 43 + "=", "B" * 42 + "A="
    SecretStore(tmp_path, env={"PORTICO_SECRETS_KEYS": first}).put(
        "A", "one", kind="secret", now_ms=1
    )
    rotated = SecretStore(tmp_path, env={"PORTICO_SECRETS_KEYS": f"{second},{first}"})
    assert rotated.find("A") == "one"
    with pytest.raises(SecretStoreError, match="not in the ring"):
        SecretStore(tmp_path, env={"PORTICO_SECRETS_KEYS": second}).find("A")


async def test_changes_over_rpc_are_recorded(tmp_path: Path) -> None:
    async with configured(tmp_path) as house:
        await house("agents.create", name="Nina")
        found = await house("audit.changes.list", action="agent")
        assert [(one["action"], one["actor"]) for one in found["changes"]] == [
            ("agent.created", "ann")
        ]
