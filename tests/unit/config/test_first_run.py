from __future__ import annotations

import re
import stat
from pathlib import Path

from portico.config import ConfigPaths, ensure_first_run, load, resolve_paths


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
