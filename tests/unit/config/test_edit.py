from __future__ import annotations

import stat

import pytest

from portico.config import (
    ConfigError,
    ConfigPaths,
    load,
    parse_value,
    replace_text,
    set_value,
    unset_value,
)

from .conftest import Write

TEXT = "{\n  // mine\n  gateway: { port: 1 }, // door\n}\n"


def test_set_keeps_comments_and_privacy_and_the_last_good(
    write: Write, env: dict[str, str]
) -> None:
    paths = write(TEXT)
    result = set_value(paths, "gateway.port", 2, env=env)
    assert result.changed
    assert paths.config_file.read_text() == TEXT.replace("port: 1", "port: 2") == result.text
    assert stat.S_IMODE(paths.config_file.stat().st_mode) == 0o600
    assert paths.last_good.read_text() == TEXT
    assert result.loaded.require().gateway.port == 2
    assert result.reload == "restart"
    assert load(paths, env=env).hash == result.hash


def test_the_same_value_changes_nothing(write: Write, env: dict[str, str]) -> None:
    paths = write(TEXT)
    assert not set_value(paths, "gateway.port", 1, env=env).changed
    assert not paths.last_good.exists()


def test_unset_brings_the_default_back(write: Write, env: dict[str, str]) -> None:
    paths = write(TEXT)
    result = unset_value(paths, "gateway.port", env=env)
    assert result.changed
    assert result.loaded.require().gateway.port == 18789
    assert "// mine" in result.text
    assert not unset_value(paths, "gateway.port", env=env).changed
    assert not unset_value(paths, "agents.list[3]", env=env).changed


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("gateway.port", "x", "type"),
        ("gateway.port.x", 1, "edit.path"),
        ("agents.list[2].id", "a", "edit.path"),
        ("agents.list", [{}], "type"),
        ("a..b", 1, "edit.path"),
        ("gateway.auth.token", "${NOT_THERE}", "env.missing"),
    ],
)
def test_a_bad_edit_is_refused_and_the_file_untouched(
    write: Write, env: dict[str, str], path: str, value: object, code: str
) -> None:
    paths = write(TEXT)
    with pytest.raises(ConfigError) as caught:
        set_value(paths, path, value, env=env)
    assert caught.value.issues[0].code == code
    assert paths.config_file.read_text() == TEXT


def test_the_first_edit_makes_the_file(paths: ConfigPaths, env: dict[str, str]) -> None:
    result = set_value(paths, "agents.list[0].id", "a", env=env)
    assert result.loaded.require().agents.default_id() == "a"
    assert paths.config_file.exists()


def test_an_edit_can_mend_a_broken_value(write: Write, env: dict[str, str]) -> None:
    paths = write("{gateway: {port: 'x'}}")
    assert set_value(paths, "gateway.port", 5, env=env).loaded.valid
    assert not paths.last_good.exists()


def test_a_text_with_a_syntax_error_is_not_edited(write: Write, env: dict[str, str]) -> None:
    paths = write("{gateway: {")
    with pytest.raises(ConfigError, match="by hand"):
        set_value(paths, "gateway.port", 5, env=env)
    with pytest.raises(ConfigError, match="by hand"):
        unset_value(paths, "gateway.port", env=env)


def test_replacing_the_text_checks_it_and_its_base(write: Write, env: dict[str, str]) -> None:
    paths = write(TEXT)
    base = load(paths, env=env).hash
    result = replace_text(paths, "{gateway: {port: 3}}", env=env, base_hash=base)
    assert result.changed
    with pytest.raises(ConfigError) as caught:
        replace_text(paths, "{}", env=env, base_hash=base)
    assert caught.value.issues[0].code == "base_hash.stale"
    with pytest.raises(ConfigError):
        replace_text(paths, "{gateway: 5}", env=env)
    assert paths.config_file.read_text() == "{gateway: {port: 3}}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("true", True),
        ("{a: 1}", {"a": 1}),
        ("loopback", "loopback"),
        ('"5"', "5"),
        ("", ""),
    ],
)
def test_what_is_typed_is_json5_or_words(text: str, value: object) -> None:
    assert parse_value(text) == value
