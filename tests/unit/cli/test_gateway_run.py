from __future__ import annotations

from pathlib import Path

import pytest

from portico.cli.commands import gateway_run
from portico.cli.gateway import run_gateway


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_run, "become", run_gateway)


@pytest.fixture
def file(home: Path) -> Path:
    (home / ".portico").mkdir()
    return home / ".portico" / "portico.json"


def test_broken_config_keeps_the_gateway_from_starting(portico, file) -> None:
    file.write_text("{ gateway: { port: 'many' } }")
    shown = portico("run", "--json")
    assert shown.code == 6
    assert shown.error["details"]["issues"][0]["path"] == "gateway.port"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{ gateway: { auth: { token: "changeme" } } }', "secret.placeholder"),
        ('{ gateway: { bind: "lan", auth: { mode: "none" } } }', "bind.unauthenticated"),
    ],
)
def test_unsafe_config_keeps_the_gateway_from_starting(portico, file, text, code) -> None:
    file.write_text(text)
    shown = portico("run", "--json")
    assert shown.code == 6
    assert shown.error["details"]["issues"][0]["code"] == code


def test_flags_count_before_the_config_is_judged(portico, file) -> None:
    file.write_text('{ gateway: { auth: { mode: "none" } } }')
    shown = portico("run", "--bind", "lan", "--json")
    assert shown.code == 6
    assert shown.error["details"]["issues"][0]["code"] == "bind.unauthenticated"
