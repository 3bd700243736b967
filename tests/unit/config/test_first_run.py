from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from portico.config import ConfigPaths, ensure_first_run, ensure_token, load, resolve_paths


def test_the_first_run_writes_a_private_config_that_starts(
    paths: ConfigPaths, env: dict[str, str]
) -> None:
    first = ensure_first_run(paths)
    assert first.created
    assert first.token is not None
    assert re.fullmatch(r"[0-9a-f]{48}", first.token)
    assert stat.S_IMODE(paths.config_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.state_dir.stat().st_mode) == 0o700
    loaded = load(paths, env=env)
    assert loaded.warnings == loaded.startup_issues == ()
    assert loaded.require_startable().gateway.auth.token == first.token
    assert "//" in paths.config_file.read_text()


def test_tokens_differ(tmp_path: Path) -> None:
    tokens = {
        ensure_first_run(resolve_paths(env={}, state_dir=tmp_path / name)).token for name in "abc"
    }
    assert len(tokens) == 3


def test_an_existing_file_is_never_touched(paths: ConfigPaths) -> None:
    paths.state_dir.mkdir()
    paths.config_file.write_text("{ broken")
    first = ensure_first_run(paths)
    assert (first.created, first.token) == (False, None)
    assert paths.config_file.read_text() == "{ broken"


def test_a_dangling_link_counts_as_a_file(paths: ConfigPaths, tmp_path: Path) -> None:
    paths.state_dir.mkdir()
    paths.config_file.symlink_to(tmp_path / "later.json")
    assert not ensure_first_run(paths).created


def test_the_config_may_lie_elsewhere(tmp_path: Path) -> None:
    paths = resolve_paths(env={}, state_dir=tmp_path / "s", config=tmp_path / "c" / "my.json")
    assert ensure_first_run(paths, new_token=lambda: "abc").token == "abc"
    assert '"abc"' in (tmp_path / "c" / "my.json").read_text()


@pytest.mark.parametrize(
    ("written", "is_made"),
    [
        ("{ channels: { telegram: { botToken: '1:x' } } } // mine", True),
        ("{ gateway: { auth: { token: '0123456789abcdef' } } }", False),
        ("{ gateway: { auth: { mode: 'none' } } }", False),
        ("{ gateway: { auth: { password: 'a long password' } } }", False),
        ("{ not json", False),
    ],
)
def test_a_configuration_without_a_way_in_gets_a_token(
    tmp_path: Path, written: str, *, is_made: bool
) -> None:
    paths = resolve_paths(env={}, state_dir=tmp_path)
    paths.config_file.write_text(written)
    made = ensure_token(load(paths, env={}), env={}, new_token=lambda: "f" * 48)
    assert made is is_made
    text = paths.config_file.read_text()
    assert ("f" * 48 in text) is is_made
    if is_made:
        assert text.endswith("// mine")
        assert load(paths, env={}).require().gateway.auth.token == "f" * 48
    else:
        assert text == written


def test_a_file_that_cannot_be_written_stays(tmp_path: Path, monkeypatch) -> None:
    paths = resolve_paths(env={}, state_dir=tmp_path)
    paths.config_file.write_text("{}")

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError

    monkeypatch.setattr("portico.config.edit.set_value", refuse)
    assert not ensure_token(load(paths, env={}), env={})
