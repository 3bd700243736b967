from __future__ import annotations

import pytest

from portico.config.redaction import REDACTED, is_secret_path, mask_urls, redact, redact_text


def test_secrets_are_masked_by_schema_name_and_place() -> None:
    assert redact(
        {
            "gateway": {"auth": {"token": "t", "password": 5, "mode": "token"}, "port": 1},
            "channels": {"telegram": {"botToken": "b", "name": "n"}, "x": {"apiKeys": ["a", "b"]}},
            "env": {"vars": {"GH_PAT": "p"}},
            "mcp": {"headers": {"X-Anything": "h"}},
            "agents": {"defaults": {"maxTokens": 5, "list": [1, True, None]}},
        }
    ) == {
        "gateway": {"auth": {"token": REDACTED, "password": REDACTED, "mode": "token"}, "port": 1},
        "channels": {
            "telegram": {"botToken": REDACTED, "name": "n"},
            "x": {"apiKeys": [REDACTED, REDACTED]},
        },
        "env": {"vars": {"GH_PAT": REDACTED}},
        "mcp": {"headers": {"X-Anything": REDACTED}},
        "agents": {"defaults": {"maxTokens": 5, "list": [1, True, None]}},
    }


def test_references_stay_visible_until_they_are_resolved() -> None:
    tree = {"token": "${TOKEN}", "password": {"source": "env", "id": "P"}, "secret": ""}
    assert redact(tree) == tree
    assert redact({"plain": "x"}, {("plain",)}) == {"plain": REDACTED}


def test_passwords_inside_urls_are_masked() -> None:
    masked = redact({"store": {"url": "postgresql://me:hunter2@db/portico?sslmode=require"}})
    assert masked["store"]["url"] == f"postgresql://me:{REDACTED}@db/portico?sslmode=require"
    assert mask_urls("ws://h/ws?a=1&token=abc#x") == f"ws://h/ws?a=1&token={REDACTED}#x"
    assert mask_urls("http://localhost:8080/a@b") == "http://localhost:8080/a@b"


def test_the_text_keeps_all_but_the_secrets() -> None:
    text = '{\n  // mine\n  gateway: { auth: { token: "abcd1234" /* ! */, mode: "token" } },\n}\n'
    assert redact_text(text) == text.replace("abcd1234", REDACTED)
    reference = '{gateway: {auth: {token: {source: "env", id: "T"}, password: "${P}"}}}'
    assert redact_text(reference) == reference


@pytest.mark.parametrize(
    "text",
    [
        '{\n  // old token: abcd1234\n  gateway: { auth: { token: "abcd1234" } } }',
        "{ gateway: ",
        "",
    ],
)
def test_a_text_that_cannot_be_vouched_for_is_withheld(text: str) -> None:
    assert redact_text(text) is None


def test_the_schema_knows_its_secrets() -> None:
    assert is_secret_path(("gateway", "auth", "token"))
    assert not is_secret_path(("gateway", "auth", "mode"))
    assert not is_secret_path(("nowhere",))
