"""What a skill needs, and who may use it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portico.agents.skills.model import Document, Gating, Needs, Origin, Skill
from portico.agents.skills.readiness import Entry, SkillSettings, Standing, judge, variables
from tests.support.skills import host

SKILL = Skill(Document("hat", "d"), Path("/skills/hat"), "openclaw-bundled")


def needing(**gating: Any) -> Skill:
    return replace(SKILL, document=Document("hat", "d", Gating(**gating)))


def standing(skill: Skill = SKILL, on: Any = None, **settings: Any) -> Standing:
    return judge(skill, "main", SkillSettings(**settings), on or host())


def test_a_skill_without_needs_is_used() -> None:
    found = standing()
    assert found.is_ready
    assert found.is_usable
    assert found.is_listed


def test_each_need_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "hat").write_text("")
    (tmp_path / "hat").chmod(0o755)
    (tmp_path / "plain").write_text("")
    needs = Needs(("hat", "plain"), ("nix", "nox"), ("KEY", "SET"), ("a.b", "c"))
    found = standing(needing(requires=needs), host("c", PATH=str(tmp_path), SET="1"))
    assert found.missing == Needs(("plain",), ("nix", "nox"), ("KEY",), ("a.b",))
    assert found.settings == {"a.b": False, "c": True}
    assert not found.is_eligible
    (tmp_path / "nox").write_text("")
    (tmp_path / "nox").chmod(0o755)
    assert standing(needing(requires=needs), host(PATH=str(tmp_path))).missing.any_bins == ()


def test_always_passes_over_all_but_the_system() -> None:
    always = {"always": True, "requires": Needs(bins=("hat",))}
    found = standing(needing(**always))
    assert found.missing.bins == ("hat",)
    assert found.is_usable
    assert not standing(needing(**always, os=("darwin",))).is_usable


def test_another_operating_system() -> None:
    found = standing(needing(os=("darwin",)), host(platform="linux"))
    assert found.is_foreign
    assert not found.is_eligible
    assert standing(needing(os=("darwin",)), host(platform="darwin")).is_eligible


@pytest.mark.parametrize(
    "entry", [Entry(api_key="k"), Entry(env={"HAT_KEY": "k"}), Entry(env={"HAT_KEY": ""})]
)
def test_a_key_for_the_skill_is_as_good_as_one_in_the_environment(entry: Entry) -> None:
    skill = needing(primary_env="HAT_KEY", requires=Needs(env=("HAT_KEY",)))
    has_key = bool(entry.api_key or entry.env["HAT_KEY"])
    assert standing(skill, entries={"hat": entry}).is_eligible is has_key
    assert variables(skill, entry) == ({"HAT_KEY": "k"} if has_key else {})


def test_an_entry_is_found_by_the_skills_key() -> None:
    skill = needing(skill_key="top")
    assert standing(skill, entries={"top": Entry(enabled=False)}).is_disabled
    assert not standing(skill, entries={"hat": Entry(enabled=False)}).is_disabled


def test_the_list_of_bundled_skills_is_for_bundled_skills() -> None:
    assert standing(allow_bundled=frozenset({"cap"})).is_blocked
    assert not standing(allow_bundled=frozenset({"hat"})).is_blocked
    own = replace(SKILL, source="openclaw-workspace")
    assert not standing(own, allow_bundled=frozenset({"cap"})).is_blocked


def test_an_agent_with_a_list_has_only_those() -> None:
    found = standing(only_for={"main": frozenset({"cap"})})
    assert (found.is_eligible, found.is_usable) == (True, False)
    assert standing(only_for={"main": frozenset()}).is_filtered
    assert not standing(only_for={"other": frozenset()}).is_filtered


@pytest.mark.parametrize(
    ("kind", "enabled", "used"),
    [
        ("path", None, True),
        ("url", None, False),
        ("upload", None, False),
        ("url", True, True),
        ("path", False, False),
    ],
)
def test_a_skill_from_elsewhere_waits_until_it_is_switched_on(
    kind: Any, enabled: bool | None, used: bool
) -> None:
    skill = replace(SKILL, source="openclaw-managed", origin=Origin(kind, "there", 0))
    assert standing(skill, entries={"hat": Entry(enabled=enabled)}).is_usable is used


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(Entry(api_key="s3cret", env={"A": "s3cret"}))
