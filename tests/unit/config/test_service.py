from __future__ import annotations

import json
from pathlib import Path

import pytest

from portico.config import (
    REDACTED,
    ConfigError,
    ConfigPaths,
    default_config,
    load,
    load_or_last_good,
    remember_good,
    snapshot,
)

from .conftest import Load, Write


def test_a_missing_file_means_the_defaults(paths: ConfigPaths, env: dict[str, str]) -> None:
    loaded = load(paths, env=env)
    assert (loaded.exists, loaded.valid, loaded.raw, loaded.hash) == (False, True, None, None)
    assert loaded.require() == default_config()


def test_every_problem_is_listed_with_its_line(load_text: Load, paths: ConfigPaths) -> None:
    loaded = load_text("""{
  gateway: {
    port: "many",
    auth: { mode: "tokn", token: "${NOT_SET}" },
    bnid: "lan",
  },
  session: { dmScope: 5 },
}""")
    assert not loaded.valid
    assert loaded.config is None
    assert {(issue.path, issue.line) for issue in loaded.issues} == {
        ("gateway.port", 3),
        ("gateway.auth.mode", 4),
        ("gateway.auth.token", 4),
        ("session.dmScope", 7),
    }
    assert all(issue.file == str(paths.config_file) for issue in loaded.issues)
    assert all(issue.next_step for issue in loaded.issues)
    assert [(issue.path, issue.line) for issue in loaded.warnings] == [("gateway.bnid", 5)]
    with pytest.raises(ConfigError) as caught:
        loaded.require()
    assert len(caught.value.issues) == 4


def test_a_bad_secret_is_not_repeated(load_text: Load) -> None:
    loaded = load_text('{gateway: {auth: {token: ["hunter2"], password: {a: "hunter3"}}}}')
    assert len(loaded.issues) == 2
    assert not any("hunter" in issue.render() for issue in loaded.issues)


def test_a_syntax_error_is_one_issue(load_text: Load) -> None:
    loaded = load_text("{\n gateway: {port: 1\n")
    assert [issue.code for issue in loaded.issues] == ["json5.syntax"]


def test_environment_secrets_and_flags_take_part(write: Write, env: dict[str, str]) -> None:
    paths = write('{gateway: {port: "${P}", auth: {token: {source: "env", id: "T"}}}}')
    loaded = load(paths, env={**env, "P": "7", "T": "tok"}, overrides={"gateway.bind": "lan"})
    gateway = loaded.require().gateway
    assert (gateway.port, gateway.bind, gateway.auth.token) == (7, "lan", "tok")
    assert loaded.secret_paths == {("gateway", "auth", "token")}


def test_unknown_and_unused_keys_never_stop(load_text: Load) -> None:
    loaded = load_text('{gatewey: {}, telemetry: {jobs: {token: "${UNSET}"}}}')
    assert loaded.valid
    assert {(issue.code, str(issue.severity)) for issue in loaded.warnings} == {
        ("key.unknown", "warning"),
        ("key.unused", "note"),
    }


def test_refusals_are_apart_from_errors(load_text: Load) -> None:
    loaded = load_text('{gateway: {bind: "lan", auth: {mode: "none"}}}')
    assert loaded.valid
    loaded.require()
    with pytest.raises(ConfigError, match="bind lan"):
        loaded.require_startable()
    assert loaded.startup_issues[0].line == 1


def test_a_config_of_openclaw_loads_as_it_is(load_text: Load) -> None:
    loaded = load_text("""{
      gateway: {
        port: 18789, bind: "lan", auth: { mode: "token", token: "0123456789abcdef0123" },
        http: { endpoints: { chatCompletions: { enabled: true }, tools: { enabled: true } } },
        controlUi: { enabled: true, basePath: "/ui" },
      },
      channels: { nostr: { enabled: true, privateKey: "1:x" } },
      agents: { defaults: { model: { primary: "anthropic/claude" } } },
      agent: { workspace: "/home/node/workspace" },
      models: { mode: "merge", providers: { anthropic: { apiKey: "k", models: [] } } },
      logging: { level: "info", file: "/var/log/openclaw.log" },
    }""")
    config = loaded.require_startable()
    assert config.agents.defaults.workspace == "/home/node/workspace"
    assert {issue.path: issue.code for issue in loaded.warnings} == {
        "agent.workspace": "key.legacy",
        "channels.nostr": "channel.unknown",
        "gateway.http.endpoints.tools": "key.unused",
        "models.mode": "key.unused",
    }


def test_included_files_are_resolved(load_text: Load, paths: ConfigPaths) -> None:
    paths.state_dir.mkdir()
    (paths.state_dir / "auth.json5").write_text("{\n token: 5 }")
    loaded = load_text('{gateway: {auth: {$include: "auth.json5"}}}')
    (issue,) = loaded.issues
    assert issue.file == str(paths.state_dir / "auth.json5")
    assert issue.line == 2


def test_a_broken_file_falls_back_to_the_last_good(
    write: Write, load_text: Load, env: dict[str, str]
) -> None:
    remember_good(load_text("{gateway: {port: 5}}"))
    paths = write("{gateway: {port: ")
    loaded = load_or_last_good(paths, env=env)
    assert loaded.from_last_good
    assert not loaded.valid
    assert loaded.require().gateway.port == 5
    assert loaded.issues[0].file == str(paths.config_file)


def test_without_a_last_good_the_problems_remain(write: Write, env: dict[str, str]) -> None:
    paths = write("{gateway: {port: ")
    assert load_or_last_good(paths, env=env).config is None
    paths.last_good.write_text("{also broken")
    assert load_or_last_good(paths, env=env).config is None
    write("{}")
    assert not load_or_last_good(paths, env=env).from_last_good


def test_an_invalid_text_is_never_remembered(load_text: Load, paths: ConfigPaths) -> None:
    remember_good(load_text("{gateway: 5}"))
    assert not paths.last_good.exists()


def test_an_unreadable_file_is_an_issue(paths: ConfigPaths, env: dict[str, str]) -> None:
    paths.config_file.mkdir(parents=True)
    loaded = load(paths, env=env)
    assert [issue.code for issue in loaded.issues] == ["file.read"]
    assert loaded.config is None


def test_the_snapshot_has_every_field_and_no_secret(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "p").write_text("planted-three")
    loaded = load_text(
        """{
  gateway: { auth: { mode: "token", token: "planted-one", password: {source: "file", id: "~/p"} } },
  models: { providers: { x: { apiKey: "${KEY}" } } },
  store: { url: "postgresql://u:planted-four@db/x" },
  agent: { workspace: "w" }, gatewey: 1, ui: { seamColor: "of ${KEY}" },
}""",
        KEY="planted-two",
    )
    assert loaded.require().gateway.auth.password == "planted-three"
    shown = snapshot(loaded, applied_hash="abc")
    assert set(shown) == {
        "path", "exists", "valid", "raw", "parsed", "resolved", "sourceConfig", "runtimeConfig",
        "config", "hash", "issues", "warnings", "legacyIssues", "configRevisionHash",
        "appliedConfigHash",
    }  # fmt: skip
    assert "planted" not in json.dumps(shown)
    assert shown["valid"] is True
    assert shown["hash"] == loaded.hash
    assert shown["appliedConfigHash"] == "abc"
    assert shown["config"]["gateway"]["auth"]["token"] == REDACTED
    assert shown["config"]["gateway"]["port"] == 18789
    assert shown["parsed"]["models"]["providers"]["x"]["apiKey"] == "${KEY}"
    assert shown["sourceConfig"]["ui"]["seamColor"] == "of ${KEY}"
    assert shown["resolved"]["ui"]["seamColor"] == REDACTED  # what it holds is the environment's
    assert {issue["path"] for issue in shown["warnings"]} == {"gatewey", "ui"}
    assert [issue["path"] for issue in shown["legacyIssues"]] == ["agent.workspace"]
    assert "${KEY}" in shown["raw"]


def test_the_snapshot_of_a_broken_file_shows_no_text(load_text: Load) -> None:
    shown = snapshot(load_text('{gateway: {auth: {token: "planted"'))
    assert shown["raw"] is None
    assert shown["valid"] is False
    assert "planted" not in json.dumps(shown)


def test_the_revision_hash_follows_what_is_included(write: Write, env: dict[str, str]) -> None:
    paths = write("{gateway: {port: '${P}'}}")
    one, two = (load(paths, env={**env, "P": port}) for port in ("1", "2"))
    assert one.hash == two.hash
    assert one.revision_hash != two.revision_hash
