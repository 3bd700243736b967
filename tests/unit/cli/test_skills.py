"""`portico skills`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyjson5
import pytest

from tests.fakes.gateway import TOKEN, FakeGateway, running_gateway
from tests.support.skills import write_skill
from tests.unit.agents.skills.installing.test_archive import zipped

NOTHING: dict[str, list[str]] = {"bins": [], "anyBins": [], "env": [], "config": [], "os": []}
HAT = b"---\nname: hat\ndescription: A hat.\n---\nWear it.\n"


def skill(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"About {name}.",
        "source": "openclaw-managed",
        "filePath": f"/skills/{name}/SKILL.md",
        "skillKey": name,
        "disabled": False,
        "blockedByAllowlist": False,
        "blockedByAgentFilter": False,
        "eligible": True,
        "modelVisible": True,
        "requirements": NOTHING,
        "missing": NOTHING,
        "install": [],
        **more,
    }


LACKING = skill(
    "cap",
    eligible=False,
    modelVisible=False,
    requirements={**NOTHING, "bins": ["cap"]},
    missing={**NOTHING, "bins": ["cap"]},
    install=[{"id": "uv", "label": "Get cap", "command": "uv tool install cap"}],
)
STATUS = {
    "workspaceDir": "/w",
    "skills": [
        skill("hat"),
        LACKING,
        skill("off", disabled=True, eligible=False, modelVisible=False),
    ],
    "issues": [{"severity": "error", "filePath": "/skills/x/SKILL.md", "message": "no name"}],
}


@pytest.fixture
async def gateway(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    answers = {"skills.status": STATUS, "skills.update": {"ok": True, "skillKey": "hat"}}
    async with running_gateway(answers=answers) as fake:
        monkeypatch.setenv("PORTICO_GATEWAY_URL", fake.url)
        monkeypatch.setenv("PORTICO_GATEWAY_TOKEN", TOKEN)
        yield fake


async def test_list_shows_how_each_stands(gateway, portico_async) -> None:
    shown = await portico_async("skills", "list", "--agent", "main")
    rows = [line.split("\t") for line in shown.out.splitlines()]
    assert [row[:3] for row in rows[1:]] == [
        ["hat", "ready", "installed"],
        ["cap", "lacks something", "installed"],
        ["off", "disabled", "installed"],
    ]
    assert "no name" in shown.err
    assert gateway.called("skills.status") == [{"agentId": "main"}]
    only = (await portico_async("skills", "list", "--eligible", "--json")).json
    assert [one["name"] for one in only["skills"]] == ["hat"]


async def test_info_and_check_say_what_is_missing(gateway, portico_async) -> None:
    shown = await portico_async("skills", "info", "cap")
    assert "Missing   bins: cap" in shown.out
    assert "    uv tool install cap" in shown.out
    missing = await portico_async("skills", "info", "none")
    assert (missing.code, missing.err.partition("\n")[0]) == (5, "Error: There is no skill none.")
    checked = await portico_async("skills", "check")
    assert checked.out.splitlines() == [
        "1 of 3 skills can be used.",
        "cap: missing bins: cap",
        "    uv tool install cap",
    ]
    found = (await portico_async("skills", "check", "--json")).json
    assert (found["total"], found["visible"], found["disabled"]) == (3, ["hat"], ["off"])


async def test_enable_asks_the_running_gateway(gateway, portico_async) -> None:
    assert (await portico_async("skills", "enable", "hat")).out == "Enabled hat.\n"
    assert (await portico_async("skills", "disable", "hat", "--json")).json == {
        "skillKey": "hat",
        "enabled": False,
        "running": True,
    }
    assert gateway.called("skills.update") == [
        {"skillKey": "hat", "enabled": True},
        {"skillKey": "hat", "enabled": False},
    ]


def test_without_a_gateway_the_configuration_is_edited(portico, home: Path) -> None:
    (home / ".portico").mkdir()
    file = home / ".portico" / "portico.json"
    file.write_text("{ gateway: { port: 1 } } // mine\n")
    shown = portico("skills", "disable", "hat")
    assert "when it starts" in shown.err
    assert pyjson5.decode(file.read_text())["skills"] == {"entries": {"hat": {"enabled": False}}}
    assert "// mine" in file.read_text()
    there = portico("skills", "enable", "hat", "--url", "ws://127.0.0.1:1", "--token", "x")
    assert there.code == 3


def test_installing_a_folder_and_removing_it(portico, home: Path) -> None:
    source = write_skill(home / "elsewhere", "hat")
    done = portico("skills", "install", str(source), "--json")
    place = home / ".portico" / "skills" / "hat"
    assert done.json == {"name": "hat", "path": str(place), "replaced": False, "disabled": False}
    again = portico("skills", "install", str(source), "--json")
    assert (again.code, again.error["code"]) == (5, "skill.not_installed")
    assert portico("skills", "install", str(source), "--force").out.startswith("Replaced hat")
    assert portico("skills", "install", str(source), "--as", "cap", "--json").json["path"] == str(
        place.with_name("cap")
    )
    assert portico("skills", "remove", "hat").out == "Removed hat.\n"
    assert not place.exists()
    assert portico("skills", "remove", "hat").code == 5


def test_installing_an_archive_of_the_machine(portico, home: Path) -> None:
    archive = home / "hat.zip"
    archive.write_bytes(zipped(("hat/SKILL.md", HAT)))
    assert portico("skills", "install", str(archive)).code == 0
    archive.write_bytes(b"PK nonsense")
    broken = portico("skills", "install", str(archive), "--force")
    assert (broken.code, "damaged" in broken.err) == (5, True)
    assert (home / ".portico" / "skills" / "hat" / "SKILL.md").read_bytes() == HAT


def test_an_address_needs_https_or_a_digest(portico) -> None:
    shown = portico("skills", "install", "http://127.0.0.1:1/hat.zip")
    assert (shown.code, "--sha256" in shown.err) == (2, True)
    shown = portico("skills", "install", "https://127.0.0.1:1/hat.zip", "--json")
    assert "not downloaded" in json.dumps(shown.error)
