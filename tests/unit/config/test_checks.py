from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portico.config import ConfigPaths, Severity, default_config
from portico.config.checks import (
    auth_mode,
    file_issues,
    is_loopback_bind,
    is_placeholder,
    startup_issues,
)
from tests.support.certificates import write_pair

GOOD = "0123456789abcdef0123456789abcdef"
USER = {"userHeader": "x-forwarded-user"}
BEHIND = {"bind": "lan", "trustedProxies": ["10.0.0.1"]}


def codes(severity: Severity, **gateway: Any) -> list[str]:
    config = default_config(gateway=gateway)
    return [issue.code for issue in startup_issues(config) if issue.severity is severity]


@pytest.mark.parametrize(
    ("gateway", "code"),
    [
        ({"auth": {"token": GOOD, "password": GOOD}}, "auth.ambiguous"),
        ({"bind": "lan", "auth": {"mode": "none"}}, "bind.unauthenticated"),
        ({"bind": "lan"}, "bind.unauthenticated"),
        ({"bind": "auto", "auth": {"token": "  "}}, "bind.unauthenticated"),
        ({"bind": "tailnet", "auth": {"mode": "password"}}, "bind.unauthenticated"),
        ({"auth": {"token": "changeme"}}, "secret.placeholder"),
        ({"auth": {"password": "Password"}}, "secret.placeholder"),
        ({"auth": {"mode": "password"}}, "auth.missing"),
        ({"bind": "custom", "auth": {"token": GOOD}}, "bind.host"),
        ({"mode": "remote", "auth": {"token": GOOD}}, "mode.remote"),
        ({"auth": {"token": GOOD}, "trustedProxies": ["proxy.local"]}, "proxy.address"),
        ({"auth": {"token": GOOD}, "tls": {"enabled": True, "certPath": "c"}}, "tls.pair"),
        ({"auth": {"token": GOOD}, "tailscale": {"mode": "funnel"}}, "tailscale.funnel"),
        ({"auth": {"mode": "device"}, "tailscale": {"mode": "funnel"}}, "tailscale.funnel"),
        ({"auth": {"mode": "none"}, "tailscale": {"mode": "serve"}}, "bind.unauthenticated"),
        ({"auth": {"mode": "trusted-proxy"}, **BEHIND}, "proxy.header"),
        ({"auth": {"mode": "trusted-proxy", "trustedProxy": USER}}, "proxy.missing"),
        (
            {"auth": {"mode": "trusted-proxy", "trustedProxy": USER}, **BEHIND, "bind": "loopback"},
            "proxy.loopback",
        ),
        (
            {
                "auth": {"mode": "trusted-proxy", "trustedProxy": USER},
                "bind": "lan",
                "trustedProxies": ["0.0.0.0/0"],
            },
            "proxy.everybody",
        ),
        ({"auth": {"token": GOOD}, "tls": {"enabled": True, "autoGenerate": False}}, "tls.missing"),
    ],
)
def test_a_gateway_refuses_to_start(gateway: dict[str, Any], code: str) -> None:
    assert code in codes(Severity.ERROR, **gateway)


@pytest.mark.parametrize(
    "gateway",
    [
        {"auth": {"token": "testtoken"}},
        {"auth": {"mode": "none"}},
        {"bind": "lan", "auth": {"token": GOOD}},
        {"bind": "lan", "auth": {"mode": "token", "token": GOOD, "password": GOOD}},
        {"bind": "custom", "customBindHost": "127.0.0.2", "auth": {"mode": "none"}},
        {"auth": {"token": GOOD}, "trustedProxies": ["10.0.0.0/8", "::1"]},
        {"auth": {"mode": "trusted-proxy", "trustedProxy": USER}, **BEHIND},
        {"bind": "lan", "auth": {"mode": "device"}},
        {"auth": {"mode": "password", "password": GOOD}, "tailscale": {"mode": "funnel"}},
        {"auth": {"token": GOOD}, "tailscale": {"mode": "serve"}},
    ],
)
def test_a_sound_configuration_starts_without_a_word(gateway: dict[str, Any]) -> None:
    assert startup_issues(default_config(gateway=gateway)) == ()


@pytest.mark.parametrize(
    ("gateway", "code"),
    [
        ({}, "auth.missing"),
        ({"bind": "lan", "auth": {"token": "short1"}}, "secret.short"),
        ({"bind": "lan", "auth": {"token": GOOD}, "http": {"open": True}}, "http.open"),
    ],
)
def test_the_unwise_is_said_but_allowed(gateway: dict[str, Any], code: str) -> None:
    assert codes(Severity.ERROR, **gateway) == []
    assert codes(Severity.WARNING, **gateway) == [code]


def test_the_files_of_tls_are_tried(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path / "one")
    _, other = write_pair(tmp_path / "other")
    assert tls_issues(cert, key) == []
    assert tls_issues(cert, other) == [("gateway.tls", "tls.pair")]
    assert tls_issues(cert, cert) == [("gateway.tls", "tls.pair")]
    assert tls_issues(tmp_path / "none.pem", tmp_path) == [
        ("gateway.tls.certPath", "tls.file"),
        ("gateway.tls.keyPath", "tls.file"),
    ]


def tls_issues(cert: Path, key: Path) -> list[tuple[str, str]]:
    tls = {"enabled": True, "certPath": str(cert), "keyPath": str(key)}
    issues = startup_issues(default_config(gateway={"auth": {"token": GOOD}, "tls": tls}))
    assert all(issue.severity is Severity.ERROR and issue.next_step for issue in issues)
    return [(issue.path, issue.code) for issue in issues]


def test_every_issue_says_what_to_do_and_hides_the_secret() -> None:
    config = default_config(gateway={"bind": "lan", "auth": {"token": "changeme"}})
    for issue in startup_issues(config):
        assert issue.next_step
        assert "changeme" not in issue.render()


def test_the_mode_follows_from_the_secrets() -> None:
    def mode(**auth: str) -> str:
        return auth_mode(default_config(gateway={"auth": auth}))

    assert mode() == "token"
    assert mode(password="p") == "password"
    assert mode(token="t") == "token"
    assert mode(mode="none", token="t") == "none"


def test_placeholders_are_recognised_in_disguise() -> None:
    assert is_placeholder(" <YOUR TOKEN HERE> ")
    assert not is_placeholder("testtoken")
    assert not is_placeholder(GOOD)


def test_loopback_is_loopback_only() -> None:
    assert is_loopback_bind(default_config())
    assert not is_loopback_bind(default_config(gateway={"bind": "auto"}))
    outside = default_config(gateway={"bind": "custom", "customBindHost": "10.0.0.1"})
    assert not is_loopback_bind(outside)


def test_open_permissions_are_found(paths: ConfigPaths) -> None:
    assert file_issues(paths) == ()
    paths.state_dir.mkdir(mode=0o755)
    paths.config_file.write_text("{}")
    paths.config_file.chmod(0o644)
    assert [issue.next_step.split()[:2] for issue in file_issues(paths)] == [
        ["chmod", "600"],
        ["chmod", "700"],
    ]
    paths.config_file.chmod(0o600)
    paths.state_dir.chmod(0o700)
    assert file_issues(paths) == ()
