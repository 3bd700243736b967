from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portico.config import (
    ConfigError,
    ConfigPaths,
    import_openclaw,
    load,
    read_openclaw,
    render_imported,
    replace_text,
)

SOURCE: dict[str, Any] = {
    "meta": {"lastTouchedVersion": "2026.9.6"},
    "gateway": {
        "port": 19001,
        "bind": "loopback",
        "auth": {"mode": "token", "token": "${OPENCLAW_GATEWAY_TOKEN}"},
        "tailscale": {"mode": "off"},
        "http": {"chatCompletions": True},
        "controlUi": {"root": "/opt/openclaw/ui", "basePath": "/ui"},
        "customBindHost": "not an address",
    },
    "agents": {
        "defaults": {"model": "anthropic/claude", "sandbox": {"mode": "all"}},
        "list": [
            {"id": "main", "default": True, "humanDelay": {}, "runtime": {"type": "acp"}},
            {"id": "!!!"},
            "odd",
        ],
        "entries": {"ops": {"name": "Ops"}},
    },
    "session": {"dmScope": "per-peer", "idleMinutes": 60},
    "messages": {"queue": {"mode": "steer"}},
    "channels": {"nostr": {"privateKey": "1:x"}},
    "logging": {"file": "/var/log/openclaw.log", "level": "debug"},
    "somethingNew": 1,
}


def test_what_is_understood_is_taken_and_the_rest_explained() -> None:
    imported = import_openclaw(SOURCE)
    assert imported.config == {
        "gateway": {
            "port": 19001,
            "bind": "loopback",
            "auth": {"mode": "token", "token": "${OPENCLAW_GATEWAY_TOKEN}"},
            "controlUi": {"basePath": "/ui"},
        },
        "agents": {
            "defaults": {"model": "anthropic/claude"},
            "list": [{"id": "main", "default": True}],
            "entries": {"ops": {"name": "Ops"}},
        },
        "session": {"dmScope": "per-peer"},
        "messages": {"queue": {"mode": "steer"}},
        "logging": {"level": "debug"},
    }
    left = {entry.path: entry.reason for entry in imported.left}
    assert set(left) == {
        "meta", "gateway.tailscale", "gateway.controlUi.root", "gateway.customBindHost",
        "agents.defaults.sandbox", "agents.list[0].humanDelay", "agents.list[0].runtime",
        "agents.list[1]", "agents.list[2]", "session.idleMinutes", "channels.nostr", "logging.file",
        "gateway.http.endpoints",
        "somethingNew",
    }  # fmt: skip
    assert "acp" in left["agents.list[0].runtime"]
    assert left["gateway.customBindHost"].startswith("not acceptable")
    assert "gateway.auth.token" in imported.taken
    assert not set(left) & set(imported.taken)


def test_the_source_is_not_changed() -> None:
    before = repr(SOURCE)
    import_openclaw(SOURCE)
    assert repr(SOURCE) == before


def test_secrets_that_work_differently_are_left() -> None:
    imported = import_openclaw(
        {
            "gateway": {
                "auth": {
                    "token": {"source": "env", "provider": "default", "id": "T"},
                    "password": {"source": "exec", "provider": "op", "id": "x"},
                }
            }
        }
    )
    assert imported.taken == ("gateway.auth.token",)
    assert [entry.path for entry in imported.left] == ["gateway.auth.password"]


def test_the_result_is_a_config_that_loads(
    tmp_path: Path, paths: ConfigPaths, env: dict[str, str]
) -> None:
    file = tmp_path / "openclaw.json"
    file.write_text("{gateway: {port: 5, auth: {token: 'abc'}}, skills: {}, // c\n}")
    imported = read_openclaw(file)
    text = render_imported(imported, origin="openclaw.json")
    replace_text(paths, text, env=env)
    loaded = load(paths, env=env)
    assert loaded.require().gateway.port == 5
    assert loaded.warnings == ()
    assert text.startswith("// Imported from openclaw.json: 2 settings taken, 1 left.")


def test_repeated_agents_are_left_together() -> None:
    imported = import_openclaw({"agents": {"list": [{"id": "a"}, {"id": "a"}]}, "session": {}})
    assert imported.config == {}
    assert {entry.path for entry in imported.left} == {"agents.list[0].id", "agents.list[1].id"}


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_openclaw(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{a: ")
    with pytest.raises(ConfigError, match="not valid JSON5"):
        read_openclaw(tmp_path / "bad.json")


def test_misshapen_sections_are_left() -> None:
    imported = import_openclaw({"gateway": 5, "agents": {"list": {}, "entries": []}})
    assert imported.config == {}
    assert {entry.path for entry in imported.left} == {"gateway", "agents.list", "agents.entries"}
