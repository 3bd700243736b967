"""What an agent is told of its skills, and what it may read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from portico.agents.skills.readiness import Entry
from portico.agents.skills.service import FRESH_S
from portico.agents.skills.tools import SkillTools
from portico.agents.tools.contract import ToolCall, ToolError, tools_of
from portico.agents.tools.policy import Rules
from portico.agents.tools.toolbox import Layers, ToolLimits, TurnTools
from tests.support.skills import Shop, write_skill
from tests.support.thinking import turn_of


def turn_tools(shop: Shop, *denied: str) -> TurnTools:
    tools = {tool.name: tool for tool in tools_of(SkillTools(shop.skills))}
    call = ToolCall(agent_id="main", session_key="agent:main:main", call_id="")
    return TurnTools(call, tools, Layers((Rules("test", deny=denied),)), ToolLimits())


async def told(shop: Shop, *denied: str) -> str:
    return await shop.skills.instructions(turn_of(), turn_tools(shop, *denied))


async def test_the_nearest_of_the_same_name_counts(tmp_path: Path) -> None:
    shop = Shop(tmp_path, extra_dirs=(str(tmp_path / "extra"),))
    places = [
        (tmp_path / "extra", "openclaw-extra"),
        (shop.bundled, "openclaw-bundled"),
        (shop.managed, "openclaw-managed"),
        (shop.workspace / ".agents" / "skills", "agents-skills-project"),
        (shop.workspace / "skills", "openclaw-workspace"),
    ]
    for root, source in places:
        write_skill(root, "one")
        inventory = await shop.skills.inventory("main", fresh=True)
        assert [s.skill.source for s in inventory.standings] == [source]
    inventory = await shop.skills.inventory("no-workspace")
    assert [s.skill.source for s in inventory.standings] == ["openclaw-managed"]


async def test_a_model_is_told_names_and_descriptions_in_order(tmp_path: Path) -> None:
    shop = Shop(tmp_path, entries={"off": Entry(enabled=False)})
    write_skill(shop.bundled, "beta", "Does b.")
    write_skill(shop.managed, "alpha", "Does a.")
    write_skill(shop.managed, "off")
    write_skill(shop.managed, "quiet", front="disable-model-invocation: true\n")
    first = await told(shop)
    assert first.endswith("\n- alpha: Does a.\n- beta: Does b.")
    assert "off" not in first.partition("- alpha")[2]
    assert await told(shop) == first


async def test_nothing_is_told_without_skills_or_when_they_may_not_be_read(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    assert await told(shop) == ""
    write_skill(shop.bundled, "one")
    assert await told(shop, "group:skills") == ""


@pytest.mark.parametrize(
    ("chars", "expected"),
    [
        (18_000, "- s00: " + "x" * 400),
        (4_000, "- s00: " + "x" * 299 + "…"),
        (2_000, "- s00: " + "x" * 119 + "…"),
        (400, "- s00\n"),
    ],
)
async def test_the_list_is_shortened_to_fit(tmp_path: Path, chars: int, expected: str) -> None:
    shop = Shop(tmp_path, max_list_chars=chars)
    for number in range(10):
        write_skill(shop.bundled, f"s{number:02}", "x" * 400)
    text = await told(shop)
    assert len(text) <= chars
    assert expected in text
    assert "- s09" in text


async def test_what_does_not_fit_even_so_is_left_out(tmp_path: Path) -> None:
    shop = Shop(tmp_path, max_list_chars=300, max_listed=30)
    for number in range(40):
        write_skill(shop.bundled, f"a-long-name-{number:02}")
    text = await told(shop)
    assert len(text) <= 300
    assert text.splitlines()[-1].startswith("- a-long-name-")
    few = Shop(tmp_path, max_listed=2)
    assert "- a-long-name-01" in await told(few)
    assert "- a-long-name-02" not in await told(few)


async def test_changes_are_noticed_after_a_while_and_told(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    write_skill(shop.bundled, "one")
    assert await shop.names(fresh=False) == ["one"]
    write_skill(shop.bundled, "two")
    assert await shop.names(fresh=False) == ["one"]
    shop.clock.advance(FRESH_S)
    assert await shop.names(fresh=False) == ["one", "two"]
    assert shop.told == ["watch"]


async def test_without_watching_skills_stay_as_they_were(tmp_path: Path) -> None:
    shop = Shop(tmp_path, watch=False)
    write_skill(shop.bundled, "one")
    assert await shop.names(fresh=False) == ["one"]
    write_skill(shop.bundled, "two")
    shop.clock.advance(1_000)
    assert await shop.names(fresh=False) == ["one"]
    shop.skills.obey(replace(shop.skills.settings, max_listed=9))
    assert await shop.names(fresh=False) == ["one", "two"]
    assert shop.told == ["config-change"]


async def test_reading_a_skill_and_its_files(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    folder = write_skill(
        shop.bundled,
        "one",
        text="Run {baseDir}/scripts/go.sh.",
        files={"scripts/go.sh": "echo", "references/a.md": "More."},
    )
    text = await shop.skills.read("main", "one")
    assert f"Run {folder.resolve()}/scripts/go.sh." in text
    assert "description:" not in text
    assert text.endswith("Other files of this skill: references/a.md, scripts/go.sh")
    assert await shop.skills.read("main", "one", "references/a.md") == "More."
    assert "description:" not in await shop.skills.read("main", "one", "SKILL.md")


@pytest.mark.parametrize(
    "file",
    [
        "../secret",
        "/etc/passwd",
        "a/../../secret",
        "link",
        "missing",
        "scripts",
        ".hidden",
        "x\0y",
        "n" * 300,
    ],
)
async def test_nothing_outside_a_skills_folder_is_read(tmp_path: Path, file: str) -> None:
    shop = Shop(tmp_path)
    folder = write_skill(shop.bundled, "one", files={"scripts/a": "a", ".hidden": "h"})
    (shop.bundled / "secret").write_text("secret")
    (folder / "link").symlink_to(shop.bundled / "secret")
    with pytest.raises(ToolError, match="has no file"):
        await shop.skills.read("main", "one", file)


async def test_a_skill_says_what_is_configured_for_it_but_no_secrets(tmp_path: Path) -> None:
    config = {"feeds": ["https://example.org/a"], "team": {"name": "ops", "apiKey": "s3cret"}}
    shop = Shop(tmp_path, entries={"one": Entry(config=config)})
    write_skill(shop.bundled, "one", text="{config.feeds} {config.team} {config.none} {config.x.y}")
    text = await shop.skills.read("main", "one")
    assert text.startswith('["https://example.org/a"] {"name": "ops", "apiKey": "__')
    assert text.endswith("(nothing is configured) {config.x.y}")
    assert "s3cret" not in text


async def test_what_is_no_text_or_too_large_is_not_read(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    folder = write_skill(shop.bundled, "one")
    (folder / "blob").write_bytes(b"\xff\xfe\x00")
    (folder / "big").write_text("x" * 256_001)
    with pytest.raises(ToolError, match="not a text file"):
        await shop.skills.read("main", "one", "blob")
    with pytest.raises(ToolError, match="larger than"):
        await shop.skills.read("main", "one", "big")


async def test_a_skill_an_agent_may_not_have_is_not_there_for_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path, only_for={"main": frozenset()})
    write_skill(shop.bundled, "one")
    for agent, ok in (("main", False), ("other", True)):
        if ok:
            assert await shop.skills.read(agent, "one")
            continue
        with pytest.raises(ToolError, match="no skill one"):
            await shop.skills.read(agent, "one")


async def test_the_variables_of_usable_skills(tmp_path: Path) -> None:
    entries = {
        "one": Entry(api_key="k", env={"B": "b"}),
        "two": Entry(env={"B": "later", "C": "c"}),
        "three": Entry(enabled=False, env={"D": "d"}),
    }
    shop = Shop(tmp_path, entries=entries)
    write_skill(shop.bundled, "one", front='metadata: {openclaw: {primaryEnv: "A"}}\n')
    write_skill(shop.bundled, "two")
    write_skill(shop.bundled, "three")
    assert await shop.skills.variables("main") == {"A": "k", "B": "b", "C": "c"}
