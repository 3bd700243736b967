"""Searching notes: with qmd where it is, with our own ranking where it is not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.agents.brain.qmd import UPDATED_FOR_S, Qmd
from portico.agents.brain.tools import BrainTools
from portico.agents.tools.contract import ToolCall, tools_of
from portico.agents.tools.toolbox import Done, ToolLimits, run
from portico.channels.model import Peer, ReplyRoute
from tests.support.clock import FakeClock

FROM_3: dict[str, Any] = {"from": 3}
CALL = ToolCall(agent_id="main", session_key="agent:main:main", call_id="c")
HITS = [
    {
        "docid": "#f6b63f",
        "score": 0.8,
        "file": "qmd://notes/trips/rome.md",
        "line": 3,
        "title": "Rome",
        "snippet": "@@ -2,3 @@ (1 before, 0 after)\n\nThe hotel is called Aurora.\n",
    }
]


class Brain:
    """A folder of notes, and a qmd that does what a test says."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.notes = folder / "notes"
        (self.notes / "trips").mkdir(parents=True)
        (self.notes / "trips" / "rome.md").write_text("# Rome\n\nThe hotel is called Aurora.\n")
        (self.notes / "work.md").write_text("# Work\n\nThe deploy needs the blue key.\n")
        (self.notes / ".secret.md").write_text("hotel Aurora, hidden\n")
        (folder / "outside.md").write_text("hotel Aurora, outside\n")
        (self.notes / "link.md").symlink_to(folder / "outside.md")
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.log = folder / "qmd.log"
        self.clock = FakeClock()
        self.config: Mapping[str, Any] | None = {"folder": str(self.notes), **config}
        self.qmd = Qmd(env={"PATH": str(self.bin), "SECRET": "s3cret"}, clock=self.clock)

    def install(self, says: str, *, code: int = 0) -> None:
        """Put a qmd on the path that notes how it is called."""
        (self.bin / "says").write_text(says)
        lines = [
            "#!/bin/sh",
            f'printf "%s\\n" "$*" "${{SECRET:-no secret}}" >> {self.log}',
            f"[ $1 = update ] || /bin/cat {self.bin}/says",
            f"exit {code}",
        ]
        (self.bin / "qmd").write_text("\n".join(lines) + "\n")
        (self.bin / "qmd").chmod(0o755)

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    async def call(self, name: str, by: ToolCall = CALL, **args: Any) -> Done:
        tools = BrainTools(config=lambda: self.config, qmd=self.qmd)
        (tool,) = (one for one in tools_of(tools) if one.name == name)
        return await run(tool, by, args, ToolLimits())

    async def search(self, query: str) -> dict[str, Any]:
        done = await self.call("notes_search", query=query)
        assert done.error is None, done.value
        found: dict[str, Any] = msgspec.to_builtins(done.value)
        return found


async def test_without_qmd_the_folder_is_searched_by_us(tmp_path: Path) -> None:
    brain = Brain(tmp_path, collection="notes")
    found = await brain.search("hotel aurora")
    assert found["engine"] == "built-in"
    (hit,) = found["results"]
    assert (hit["path"], hit["line"]) == ("trips/rome.md", 1)
    assert "The hotel is called Aurora." in hit["snippet"]
    assert (await brain.search("nothing such"))["results"] == []


async def test_with_qmd_it_is_asked(tmp_path: Path) -> None:
    brain = Brain(tmp_path, collection="notes")
    brain.install(json.dumps(HITS))
    found = await brain.search("-n hotel")
    assert found == {
        "engine": "qmd",
        "results": [
            {
                "path": "trips/rome.md",
                "line": 3,
                "snippet": "The hotel is called Aurora.",
                "title": "Rome",
                "docid": "#f6b63f",
                "score": 0.8,
            }
        ],
    }
    await brain.search("again")
    assert brain.asked() == [
        *("update", "no secret"),
        *("search --json -n 6 -c notes -- -n hotel", "no secret"),
        *("search --json -n 6 -c notes -- again", "no secret"),
    ]
    brain.clock.advance(UPDATED_FOR_S)
    await brain.search("later")
    assert brain.asked().count("update") == 2


@pytest.mark.parametrize(
    ("says", "code"), [("[]", 3), ("not json", 0), ('[{"no": "file"}]', 0), ('{"a": 1}', 0)]
)
async def test_a_qmd_that_fails_is_stood_in_for(tmp_path: Path, says: str, code: int) -> None:
    brain = Brain(tmp_path, collection="notes")
    brain.install(says, code=code)
    assert (await brain.search("hotel"))["engine"] == "built-in"
    brain.config = {**(brain.config or {}), "engine": "qmd"}
    done = await brain.call("notes_search", query="hotel")
    assert "qmd did not answer" in done.value


@pytest.mark.parametrize("config", [{}, {"collection": "notes", "engine": "built-in"}])
async def test_qmd_is_not_asked_when_it_should_not_be(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    brain = Brain(tmp_path, **config)
    brain.install(json.dumps(HITS))
    assert (await brain.search("hotel"))["engine"] == "built-in"
    assert brain.asked() == []


async def test_reading_notes(tmp_path: Path) -> None:
    brain = Brain(tmp_path, collection="notes")
    done = await brain.call("notes_read", path="trips/rome.md", lines=1, **FROM_3)
    assert done.value == {
        "path": "trips/rome.md",
        "text": "The hotel is called Aurora.",
        "from": 3,
        "totalLines": 3,
    }
    brain.install("1: # Rome\n")
    assert (await brain.call("notes_read", path="#f6b63f")).value["text"] == "1: # Rome"
    assert brain.asked()[0] == "get -- #f6b63f"
    for path in ("../outside.md", "link.md", ".secret.md", "/etc/passwd", "trips", "#--help", "x"):
        refused = await brain.call("notes_read", path=path)
        assert refused.error == "REFUSED", path
        assert "outside" not in refused.value.replace(path, "")


async def test_notes_that_cannot_be_searched(tmp_path: Path) -> None:
    brain = Brain(tmp_path)
    for config, why in (
        (None, "switched qmd-brain off"),
        ({}, "No folder of notes is configured"),
        ({"folder": str(tmp_path / "gone")}, "is not there"),
        ({"folder": "x", "foldre": "y"}, "unknown field `foldre`"),
        ({"folder": "x", "collection": "-rf"}, "matching regex"),
    ):
        brain.config = config
        done = await brain.call("notes_search", query="x")
        assert done.error == "REFUSED"
        assert why in done.value


async def test_the_notes_are_closed_among_strangers(tmp_path: Path) -> None:
    brain = Brain(tmp_path)
    group = ReplyRoute(channel="telegram", account="default", peer=Peer("group", "g"))
    among = replace(CALL, is_untrusted=True, origin=group)
    for name, args in (("notes_search", {"query": "x"}), ("notes_read", {"path": "work.md"})):
        assert (await brain.call(name, among, **args)).error == "REFUSED"


REAL = shutil.which("qmd")


@pytest.mark.skipif(REAL is None, reason="qmd is not installed (npm install -g @tobilu/qmd)")
async def test_the_real_qmd(tmp_path: Path) -> None:
    import subprocess

    brain = Brain(tmp_path, collection="notes")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    add = ["qmd", "collection", "add", str(brain.notes), "--name", "notes"]
    subprocess.run(add, env=env, check=True, timeout=50, capture_output=True)
    brain.qmd = Qmd(env=env, clock=brain.clock)
    found = await brain.search("hotel aurora")
    assert found["engine"] == "qmd"
    assert found["results"][0]["path"] == "trips/rome.md"
    read = await brain.call("notes_read", path=found["results"][0]["docid"])
    assert "The hotel is called Aurora." in read.value["text"]
