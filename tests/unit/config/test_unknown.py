from __future__ import annotations

import pytest

from portico.config.issues import Severity
from portico.config.keypath import parse_path
from portico.config.model import PorticoConfig
from portico.config.unknown import is_read, unread_keys


def issues_of(data: dict[str, object]) -> dict[str, tuple[str, str]]:
    return {
        issue.path: (issue.code, issue.next_step) for _, issue in unread_keys(data, PorticoConfig)
    }


def test_a_misspelt_key_gets_a_suggestion() -> None:
    found = issues_of({"gatewey": {}, "gateway": {"prot": 1, "trusted-proxies": []}})
    assert found["gatewey"] == ("key.unknown", "did you mean gateway?")
    assert found["gateway.prot"] == ("key.unknown", "did you mean gateway.port?")
    assert found["gateway.trusted-proxies"][1] == "did you mean gateway.trustedProxies?"


def test_a_key_like_nothing_lists_what_is_known() -> None:
    assert "known here: " in issues_of({"store": {"qqqqqq": 1}})["store.qqqqqq"][1]


def test_keys_for_later_are_noted() -> None:
    (found,) = unread_keys({"telemetry": {"jobs": {"anything": 1}}}, PorticoConfig)
    assert found[1].severity is Severity.NOTE
    assert found[1].code == "key.unused"
    assert issues_of({"gateway": {"portals": {}}})["gateway.portals"][0] == "key.unused"
    assert issues_of({"bus": {"url": "nats://a"}})["bus"][0] == "key.unused"


def test_lists_and_maps_are_looked_into() -> None:
    found = issues_of(
        {
            "agents": {"list": [{"id": "a", "namee": "x"}], "entries": {"b": {"identityy": {}}}},
        }
    )
    assert set(found) == {"agents.list[0].namee", "agents.entries.b.identityy"}


def test_both_spellings_and_free_forms_are_known() -> None:
    assert (
        issues_of(
            {
                "$schema": "x",
                "gateway": {"custom_bind_host": "1.2.3.4"},
                "agents": {"defaults": {"runtime": {"type": "echo", "delayMs": 5}, "model": "a/b"}},
            }
        )
        == {}
    )


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("gateway.auth.token", True),
        ("agents.list[0].runtime.delayMs", True),
        ("models.providers.openai.apiKey", True),
        ("channels.nostr.privateKey", False),
        ("gateway.portals.ingress", False),
        ("agents.list[0].tools.x", False),
    ],
)
def test_portico_knows_what_it_reads(path: str, read: bool) -> None:
    assert is_read(parse_path(path), PorticoConfig) is read
