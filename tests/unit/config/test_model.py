from __future__ import annotations

import pytest
from pydantic import ValidationError

from portico.config import ConfigError, default_config
from portico.config.fields import all_fields, extra_of
from portico.config.model import PorticoConfig


def test_the_defaults_are_the_protocols() -> None:
    config = PorticoConfig()
    limits = config.gateway.limits
    assert config.gateway.port == 18789
    assert config.gateway.bind == "loopback"
    assert limits.max_payload_bytes == 26_214_400
    assert limits.max_preauth_payload_bytes == 65_536
    assert limits.max_buffered_bytes == 52_428_800
    assert limits.chat_history_max_bytes == 6_291_456
    assert (limits.tick_interval_ms, limits.health_interval_ms) == (30_000, 60_000)
    assert config.gateway.http.max_body_bytes == 12_582_912
    assert config.messages.queue.mode == "followup"
    assert config.agents.defaults.runtime is None


def test_the_file_speaks_camel_case_and_python_snake_case() -> None:
    data = {"gateway": {"customBindHost": "10.0.0.1", "trusted_proxies": ["10.0.0.2"]}}
    gateway = PorticoConfig.model_validate(data).gateway
    assert gateway.custom_bind_host == "10.0.0.1"
    assert gateway.trusted_proxies == ("10.0.0.2",)


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        PorticoConfig().gateway.port = 1


def test_text_from_the_environment_becomes_a_number_or_switch() -> None:
    config = default_config(gateway={"port": "0", "tls": {"enabled": "true"}})
    assert (config.gateway.port, config.gateway.tls.enabled) == (0, True)


def test_without_agents_there_is_main() -> None:
    agents = PorticoConfig().agents
    assert [entry.id for entry in agents.roster()] == ["main"]
    assert agents.default_id() == "main"
    assert agents.runtime_for("main").type == "echo"
    assert agents.resolve("none") is None


def test_list_and_entries_make_one_roster() -> None:
    agents = default_config(
        agents={
            "defaults": {"model": {"primary": "a/b"}, "timeoutSeconds": 5},
            "list": [{"id": "Sales Team", "model": "x/y"}],
            "entries": {
                "ops": {
                    "default": True,
                    "timeoutSeconds": 7,
                    "runtime": {"type": "python", "import": "pkg.mod:run", "speed": 2},
                }
            },
        }
    ).agents
    assert [entry.id for entry in agents.roster()] == ["sales-team", "ops"]
    assert agents.default_id() == "ops"
    assert agents.model_for("sales-team").primary == "x/y"
    assert agents.model_for("ops").primary == "a/b"
    assert agents.runtime_for("ops").import_path == "pkg.mod:run"
    assert agents.runtime_for("ops").options == {"speed": 2}
    assert (agents.timeout_s_for("ops"), agents.timeout_s_for("sales-team")) == (7, 5)


@pytest.mark.parametrize(
    ("sections", "path"),
    [
        ({"agents": {"list": [{"id": "a"}, {"id": "A"}]}}, "agents"),
        ({"agents": {"list": [{"id": "!!"}]}}, "agents.list[0].id"),
        ({"agents": {"list": [{}]}}, "agents.list[0].id"),
        ({"agents": {"defaults": {"runtime": "python"}}}, "agents.defaults.runtime"),
        ({"agents": {"defaults": {"runtime": 5}}}, "agents.defaults.runtime"),
        ({"gateway": {"customBindHost": "nowhere"}}, "gateway.customBindHost"),
        ({"gateway": {"port": 70000}}, "gateway.port"),
        ({"store": {"url": "mysql://x"}}, "store.url"),
    ],
)
def test_a_bad_value_is_named_by_its_path(sections: dict[str, object], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        default_config(**sections)
    assert [issue.path for issue in caught.value.issues] == [path]


def test_older_queue_modes_are_steering() -> None:
    queue = default_config(
        messages={"queue": {"mode": "steer-backlog", "byChannel": {"a": "queue", "b": "collect"}}}
    ).messages.queue
    assert (queue.mode, queue.by_channel) == ("steer", {"a": "steer", "b": "collect"})


def test_every_field_is_described_and_says_how_it_changes() -> None:
    for path, info, section in all_fields():
        assert info.description, path
        if section is None:
            assert extra_of(info).get("reload") in {"hot", "restart", "none"}, path


def test_a_switched_off_header_is_unset() -> None:
    config = default_config(
        gateway={"http": {"securityHeaders": {"strictTransportSecurity": False}}}
    )
    assert config.gateway.http.security_headers.strict_transport_security is None
