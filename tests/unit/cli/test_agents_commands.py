"""`portico agents` and `portico models`: on the file where no gateway runs, else at the gateway."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pyjson5
import pytest

from portico.cli.bindings import matches_of
from portico.cli.exit import Failure
from tests.fakes.gateway import TOKEN, FakeGateway, running_gateway


@pytest.fixture
def file(home: Path) -> Path:
    return home / ".portico" / "portico.json"


def test_agents_come_and_go_before_a_gateway_ever_ran(portico, file: Path) -> None:
    assert "main (default)" in portico("agents", "list").out
    assert not file.exists()  # looking changes nothing
    made = portico("agents", "add", "Ops Team", "--emoji", "🔧", "--bind", "telegram:*", "--json")
    assert made.json["agentId"] == "ops-team"
    assert made.json["bindings"] == [{"channel": "telegram", "accountId": "*"}]
    written = pyjson5.decode(file.read_text())
    assert len(written["gateway"]["auth"]["token"]) == 48
    assert [one["id"] for one in written["agents"]["list"]] == ["main", "ops-team"]
    assert portico("agents", "set", "ops-team", "--name", "Crew", "--default").code == 0
    listed = portico("agents", "list", "--bindings", "--json").json
    assert (listed["defaultId"], listed["agents"][1]["name"]) == ("ops-team", "Crew")
    assert listed["bindings"][0]["description"] == "telegram:*"
    assert "telegram:*" in portico("agents", "list", "--bindings").out
    gone = portico("agents", "delete", "main", "--yes")
    assert gone.out.splitlines() == ["Deleted: main", "No files."]
    left = portico("agents", "delete", "ops-team", "--yes", "--json")
    assert left.code == 5
    assert "only configured agent" in left.error["message"]


def test_deleting_asks_first(portico) -> None:
    portico("agents", "add", "Ops")
    asked = portico("agents", "delete", "ops")
    assert (asked.code, "Nothing was changed" in asked.err) == (5, True)
    assert "Moved to the trash" in portico("agents", "delete", "ops", "-y").out


def test_a_directory_can_be_kept(portico, home: Path) -> None:
    portico("agents", "add", "Ops", "--workspace", str(home / "mine"))
    assert portico("agents", "delete", "ops", "-y").out == "Deleted: ops\n"
    assert (home / "mine" / "SOUL.md").exists()


def test_documents(portico, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    portico("agents", "add", "Ops")
    shown = portico("agents", "files", "--agent", "ops")
    assert "SOUL.md" in shown.out
    assert "MEMORY.md\tmissing" in shown.out
    missing = portico("agents", "files", "MEMORY.md", "--agent", "ops")
    assert (missing.code, "is not there" in missing.err) == (5, True)
    (home / "soul.md").write_text("Calm.\n")
    written = portico(
        *("agents", "files", "SOUL.md", "--agent", "ops", "--from", str(home / "soul.md"))
    )
    assert "Bytes    6" in written.out
    assert portico("agents", "files", "SOUL.md", "--agent", "ops").out == "Calm.\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("- Name: Ada\n- Emoji: 🦋\n"))
    portico("agents", "files", "IDENTITY.md", "--agent", "ops", "--from", "-")
    assert portico("agents", "set-identity", "--agent", "ops", "--from-identity").code == 0
    listed = portico("agents", "list", "--json").json["agents"][1]
    assert listed["identity"] == {"name": "Ada", "emoji": "🦋"}
    refused = portico("agents", "files", "notes.txt", "--json")
    assert refused.code == 5
    assert 'unsupported file "notes.txt"' in refused.error["message"]


def test_an_identity_that_says_nothing(portico) -> None:
    shown = portico("agents", "set-identity", "--from-identity")
    assert (shown.code, "says nothing" in shown.err) == (5, True)
    assert portico("agents", "set-identity").code == 2
    assert portico("agents", "set", "main").code == 2


def test_bindings(portico) -> None:
    assert "There are none" in portico("agents", "bindings").out
    bound = portico("agents", "bind", "--bind", "discord", "--guild", "7", "--role", "mod")
    assert bound.out == "main: 1 of 1 added\n"
    shown = portico("agents", "bindings", "--agent", "main").out
    assert "discord:default guildId 7 roles mod" in shown
    again = portico(
        "agents", "bind", "--bind", "discord", "--guild", "7", "--role", "mod", "--json"
    )
    assert again.json["added"] == []
    portico("agents", "add", "Ops")
    taken = portico(
        *("agents", "bind", "--agent", "ops", "--bind", "discord", "--guild", "7"),
        *("--role", "mod", "--json"),
    )
    assert taken.error["details"]["details"]["agentId"] == "main"
    assert portico("agents", "unbind", "--bind", "discord").out == "main: 0 removed\n"
    assert portico("agents", "unbind", "--all").out == "main: 1 removed\n"
    assert portico("agents", "unbind").code == 2
    assert portico("agents", "unbind", "--all", "--bind", "x").code == 2


@pytest.mark.parametrize("written", ["", ":", "x:", ":y"])
def test_a_channel_that_is_none(written: str) -> None:
    with pytest.raises(Failure):
        matches_of([written])


@pytest.mark.parametrize("peer", ["", "42", "robot:1", "direct:"])
def test_a_conversation_that_is_none(peer: str) -> None:
    with pytest.raises(Failure):
        matches_of(["x"], peer=peer)


def test_models(portico, file: Path) -> None:
    file.parent.mkdir()
    file.write_text(
        json.dumps(
            {
                "agents": {"defaults": {"model": "lab/m"}},
                "models": {
                    "providers": {
                        "lab": {"baseUrl": "http://x/v1", "models": [{"id": "m", "name": "M"}]},
                        "mistral": {"models": [{"id": "large"}]},
                    }
                },
            }
        )
    )
    shown = portico("models", "list", "--all").out
    assert "lab/m\t\t\tready\tdefault" in shown
    listed = portico("models", "list", "--provider", "lab", "--json").json["models"]
    assert [one["id"] for one in listed] == ["m"]


def test_a_broken_file_is_not_touched(portico, file: Path) -> None:
    file.parent.mkdir()
    file.write_text("{ agents: [")
    shown = portico("agents", "add", "Ops", "--json")
    assert shown.code == 6
    assert file.read_text() == "{ agents: ["


ANSWERS = {
    "agents.list": {
        "defaultId": "main",
        "agents": [{"id": "main", "model": {"primary": "a/b"}, "agentRuntime": {"id": "model"}}],
    },
    "agents.update": {"ok": True, "agentId": "main"},
    "models.list": {
        "models": [
            {"id": "m", "provider": "a", "available": False, "unavailableReason": "missing-auth"},
            {"id": "n", "provider": "a", "available": False, "unavailableUntil": 1},
            {"id": "o", "provider": "b", "available": False},
        ]
    },
}


@pytest.fixture
async def gateway(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeGateway]:
    async with running_gateway(answers=dict(ANSWERS), methods={}) as fake:
        monkeypatch.setenv("PORTICO_GATEWAY_URL", fake.url)
        monkeypatch.setenv("PORTICO_GATEWAY_TOKEN", TOKEN)
        yield fake


async def test_a_gateway_that_is_named_is_asked(
    gateway: FakeGateway, portico_async, file: Path
) -> None:
    assert "a/b" in (await portico_async("agents", "list")).out
    changed = await portico_async("agents", "set", "main", "--model", "", "--runtime", "echo")
    assert changed.out == "Changed: main\n"
    assert gateway.called("agents.update") == [
        {"agentId": "main", "agentRuntime": "echo", "model": None}
    ]
    shown = (await portico_async("models", "list")).out
    assert [line.split("\t")[3] for line in shown.splitlines()[1:]] == [
        *("no key", "rests for 0 s", "no such provider")
    ]
    assert not file.exists()
