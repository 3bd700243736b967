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


def test_a_config_for_clients_keeps_the_gateway_from_starting(portico, file) -> None:
    file.write_text('{ gateway: { mode: "remote", auth: { token: "0123456789abcdef0123" } } }')
    shown = portico("run", "--json")
    assert shown.code == 6
    assert shown.error["details"]["issues"][0]["code"] == "mode.remote"


def test_flags_count_before_the_config_is_judged(portico, file) -> None:
    file.write_text('{ gateway: { auth: { mode: "none" } } }')
    shown = portico("run", "--bind", "lan", "--json")
    assert shown.code == 6
    assert shown.error["details"]["issues"][0]["code"] == "bind.unauthenticated"
