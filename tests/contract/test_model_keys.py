"""The keys of model providers, set and removed by a client: stored, referred to, never shown."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.configured import TEXT, configured

KEY = "v3ry-secret-key"
NAME = "MODELS_OPENAI_API_KEY"


def keyed(value: str) -> str:
    return TEXT.replace(
        "agents:", f"models: {{ providers: {{ openai: {{ apiKey: {value} }} }} }},\n  agents:"
    )


async def test_a_key_is_stored_and_the_configuration_refers_to_it(tmp_path: Path) -> None:
    async with configured(tmp_path, TEXT) as house:
        await house("models.authSetApiKey", provider="openai", apiKey=f" {KEY} ", agentId="main")
        live = house.gateway.ground.live
        assert live.loaded.require().models.providers["openai"].api_key == KEY
        assert live.loaded.source["models"]["providers"]["openai"] == {
            "apiKey": {"source": "store", "id": NAME}
        }
        await house("models.authSetApiKey", provider="openai", apiKey=f"{KEY}-2")
        assert live.loaded.require().models.providers["openai"].api_key == f"{KEY}-2"
        changes = (await house("audit.changes.list", action="model"))["changes"]
        assert [(one["action"], one["target"]) for one in changes] == [
            ("model.key_set", "openai"),
            ("model.key_set", "openai"),
        ]
        for method in ("config.get", "models.authStatus", "secrets.store.list"):
            assert KEY not in json.dumps(await house(method))
        files = [one for one in (tmp_path / "state").rglob("*") if one.is_file()]
        assert not any(KEY.encode() in one.read_bytes() for one in files)
        await house("models.authLogout", provider="openai")
        assert live.loaded.require().models.providers["openai"].api_key is None
        assert (await house("secrets.store.list"))["entries"] == []
        again = await house("models.authLogout", provider="openai")
        assert again == {"provider": "openai", "removedProfiles": []}


async def test_a_secret_that_something_else_uses_is_kept(tmp_path: Path) -> None:
    reference = f'{{ source: "store", id: "{NAME}" }}'
    text = keyed(reference).replace("openai:", f"xai: {{ apiKey: {reference} }}, openai:")
    async with configured(tmp_path, text) as house:
        await house("models.authSetApiKey", provider="openai", apiKey=KEY)
        providers = house.gateway.ground.live.loaded.require().models.providers
        assert (providers["openai"].api_key, providers["xai"].api_key) == (KEY, KEY)
        await house("models.authLogout", provider="openai")
        assert house.gateway.ground.live.loaded.require().models.providers["xai"].api_key == KEY


async def test_a_key_in_the_file_gives_way_to_a_stored_one(tmp_path: Path) -> None:
    async with configured(tmp_path, keyed('"in-the-file"')) as house:
        await house("models.authSetApiKey", provider="openai", apiKey=KEY)
        assert "in-the-file" not in house.gateway.ground.live.loaded.paths.config_file.read_text()
        assert house.gateway.ground.live.loaded.require().models.providers["openai"].api_key == KEY


async def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    async with configured(tmp_path, TEXT) as house:
        for provider, key in (("nobody", KEY), ("openai", "a\nb"), ("openai", "x" * 20_000)):
            error = await house.refused("models.authSetApiKey", provider=provider, apiKey=key)
            assert error.code == "INVALID_REQUEST"
            assert key not in error.message
        profile = {"provider": "openai", "profileIds": ["openai:work"]}
        assert "unknown profile" in (await house.refused("models.authLogout", **profile)).message
        assert (await house("secrets.store.list"))["entries"] == []


async def test_a_key_of_the_environment_is_not_ours_to_remove(tmp_path: Path) -> None:
    async with configured(tmp_path, TEXT, {"XAI_API_KEY": KEY}) as house:
        error = await house.refused("models.authLogout", provider="xai")
        assert "XAI_API_KEY" in error.message
        assert KEY not in error.message
