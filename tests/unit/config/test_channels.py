"""Accounts of channels as they are written."""

from __future__ import annotations

from typing import Any

import pytest

from portico.config.channels import default_account_of
from portico.config.fields import field_at
from portico.config.keypath import parse_path
from portico.config.model import PorticoConfig
from portico.config.redaction import REDACTED
from portico.config.schema import reload_kind
from portico.config.service import LoadedConfig, default_config, snapshot
from portico.config.unknown import is_read
from tests.unit.config.conftest import Load

SECRET = "a secret of our own"


def warnings(loaded: LoadedConfig) -> dict[str, str]:
    return {issue.path: issue.message for issue in loaded.warnings}


def test_a_channel_without_accounts_is_the_account_default(load_text: Load) -> None:
    loaded = load_text(f'{{channels: {{webhook: {{secret: "{SECRET}", allowFrom: [7]}}}}}}')
    (entry,) = loaded.channel_accounts
    assert (entry.channel, entry.account, entry.enabled) == ("webhook", "default", True)
    assert entry.config is not None
    assert entry.config.allow_from == ("7",)
    assert entry.config.dm_policy == "pairing"
    assert loaded.warnings == ()


def test_accounts_share_what_the_channel_says(load_text: Load) -> None:
    loaded = load_text(f"""{{channels: {{
      defaults: {{ dmPolicy: "disabled" }},
      webhook: {{ secret: "{SECRET}", url: "http://a", accounts: {{
        one: {{}}, two: {{ url: "http://b", dmPolicy: "allowlist" }}, three: {{ enabled: false }},
      }} }},
    }} }}""")
    found: dict[str, Any] = {entry.account: entry for entry in loaded.channel_accounts}
    assert [found[name].config.url for name in ("one", "two")] == ["http://a", "http://b"]
    assert [found[name].config.dm_policy for name in ("one", "two")] == ["disabled", "allowlist"]
    assert [found[name].enabled for name in ("one", "three")] == [True, False]
    assert default_account_of(loaded.require().channels, "webhook") == "one"


def test_what_is_wrong_with_one_account_is_its_own_problem(load_text: Load) -> None:
    loaded = load_text(f"""{{channels: {{ webhook: {{ accounts: {{
        good: {{ secret: "{SECRET}" }}, bad: {{ url: "ftp://x" }}, worse: 7,
        unset: {{ secret: "${{NOBODY_SET_THIS}}" }}, short: {{ secret: "short" }},
    }} }} }} }}""")
    assert loaded.valid
    loaded.require_startable()
    found = {entry.account: entry for entry in loaded.channel_accounts}
    assert found["good"].config is not None
    assert all(found[name].config is None for name in ("bad", "worse", "unset", "short"))
    said = warnings(loaded)
    assert said["channels.webhook.accounts.bad.url"].startswith("string should match pattern")
    assert said["channels.webhook.secret"] == "is required"
    assert said["channels.webhook.accounts.worse"] == "must be an object"
    assert "NOBODY_SET_THIS" in said["channels.webhook.accounts.unset.secret"]
    assert "at least 16" in said["channels.webhook.accounts.short.secret"]
    assert all(issue.line for issue in loaded.warnings)


@pytest.mark.parametrize("written", ["7", "[]", "{accounts: []}", '{accounts: "x"}'])
def test_any_shape_is_survived(load_text: Load, written: str) -> None:
    loaded = load_text(f"{{channels: {{webhook: {written}}}}}")
    assert loaded.valid
    assert all(entry.config is None for entry in loaded.channel_accounts)


def test_unknown_channels_and_keys_are_warned_about(load_text: Load) -> None:
    loaded = load_text(f"""{{channels: {{
      webhok: {{}},
      webhook: {{ secret: "{SECRET}", ulr: "http://a", accounts: {{ a: {{ xx: 1 }} }} }},
    }} }}""")
    steps = {issue.path: issue.next_step for issue in loaded.warnings}
    assert steps["channels.webhok"] == "did you mean webhook?"
    assert steps["channels.webhook.ulr"] == "did you mean channels.webhook.url?"
    assert "channels.webhook.accounts.a.xx" in steps


def test_secrets_of_channels_are_masked(load_text: Load) -> None:
    loaded = load_text(f"""{{channels: {{ webhook: {{ accounts: {{ a: {{
      secret: "{SECRET}", headers: {{ "x-key": "{SECRET}" }} }} }} }} }} }}""")
    shown = repr(snapshot(loaded))
    assert SECRET not in shown
    assert REDACTED in shown
    field = field_at(parse_path("channels.webhook.accounts.a.secret"))
    assert field is not None
    assert reload_kind("channels.webhook.accounts.a.secret") == "hot"


def test_references_are_resolved_where_they_are_read(load_text: Load) -> None:
    loaded = load_text('{channels: {webhook: {secret: {source: "env", id: "S"}}}}', S=SECRET)
    (entry,) = loaded.channel_accounts
    assert entry.config is not None
    assert entry.config.secret == SECRET  # type: ignore[attr-defined]  # the channel's own setting
    assert is_read(parse_path("channels.webhook.secret"), PorticoConfig)
    assert not is_read(parse_path("channels.nothing.secret"), PorticoConfig)


def test_without_channels_nothing_is_looked_for() -> None:
    assert default_config().channels.sections() == {}
