from __future__ import annotations

from pathlib import Path

from portico.config.paths import openclaw_config_path, resolve_paths


def test_everything_lives_below_the_home_directory_by_default(tmp_path: Path) -> None:
    paths = resolve_paths(env={"HOME": str(tmp_path)})
    assert paths.state_dir == tmp_path / ".portico"
    assert paths.config_file == tmp_path / ".portico" / "portico.json"
    assert paths.last_good.name == "portico.json.last-good"
    for derived in (paths.database, paths.log_file, paths.tls_dir, paths.lock_file):
        assert derived.is_relative_to(paths.state_dir)
    assert paths.workspace == paths.state_dir / "workspace"


def test_the_environment_moves_both_roots(tmp_path: Path) -> None:
    env = {
        "HOME": "/nowhere",
        "PORTICO_STATE_DIR": str(tmp_path / "s"),
        "PORTICO_CONFIG": "~/c.json",
    }
    paths = resolve_paths(env=env)
    assert paths.state_dir == tmp_path / "s"
    assert paths.config_file == Path("/nowhere/c.json")


def test_arguments_beat_the_environment(tmp_path: Path) -> None:
    env = {"PORTICO_STATE_DIR": "/a", "PORTICO_CONFIG": "/b"}
    paths = resolve_paths(env=env, config=tmp_path / "x.json", state_dir=tmp_path)
    assert (paths.state_dir, paths.config_file) == (tmp_path, tmp_path / "x.json")


def test_the_config_lies_in_a_moved_state_directory(tmp_path: Path) -> None:
    assert resolve_paths(env={}, state_dir=tmp_path).config_file == tmp_path / "portico.json"


def test_relative_paths_become_absolute() -> None:
    assert resolve_paths(env={"HOME": "/h"}, config="here.json").config_file.is_absolute()
    assert resolve_paths(env={"HOME": "/h"}, state_dir="~").state_dir == Path("/h")


def test_openclaw_is_looked_for_where_it_looks_itself() -> None:
    assert openclaw_config_path({"HOME": "/h"}) == Path("/h/.openclaw/openclaw.json")
    moved = openclaw_config_path({"HOME": "/h", "OPENCLAW_STATE_DIR": "/s"})
    assert moved == Path("/s/openclaw.json")
    assert openclaw_config_path({"HOME": "/h", "OPENCLAW_CONFIG_PATH": "~/o.json"}) == Path(
        "/h/o.json"
    )
