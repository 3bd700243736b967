from __future__ import annotations

from portico.config.environment import with_environment


def test_a_flag_beats_the_environment_and_that_the_file() -> None:
    file = {"gateway": {"port": 1}}
    env = {"PORTICO_GATEWAY_PORT": "2", "OPENCLAW_GATEWAY_PORT": "3"}
    assert with_environment(file, env, {})["gateway"]["port"] == "2"
    assert with_environment(file, env, {"gateway.port": 0})["gateway"]["port"] == 0
    assert with_environment(file, {}, {"gateway.port": None})["gateway"]["port"] == 1
    assert file == {"gateway": {"port": 1}}


def test_credentials_of_the_file_beat_the_environment() -> None:
    env = {"OPENCLAW_GATEWAY_TOKEN": "e", "PORTICO_GATEWAY_PASSWORD": "p"}
    kept = with_environment({"gateway": {"auth": {"token": "f"}}}, env, {})
    assert kept["gateway"]["auth"] == {"token": "f"}
    filled = with_environment({"gateway": {"auth": {"mode": "password", "token": "f"}}}, env, {})
    assert filled["gateway"]["auth"]["password"] == "p"
    both = with_environment({}, env, {})
    assert both["gateway"]["auth"] == {"token": "e", "password": "p"}


def test_a_misshapen_file_is_left_for_validation() -> None:
    assert with_environment({"gateway": 5}, {"PORTICO_GATEWAY_PORT": "2"}, {}) == {"gateway": 5}
