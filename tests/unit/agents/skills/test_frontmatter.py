"""What a SKILL.md may say, and what is said of one that may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.agents.skills.frontmatter import BrokenSkill, body, parse
from portico.agents.skills.model import Document, Installer, Needs


def read(front: str, *, folder: str = "made-up") -> Document:
    return parse(f"---\n{front}\n---\nText.\n", folder_name=folder)


def test_everything_a_skill_may_say() -> None:
    said = read(
        """name: made-up
description: >
  Makes things
  up.
license: MIT
compatibility: needs a hat
homepage: https://example.org
allowed-tools: web_fetch message
user-invocable: false
disable-model-invocation: true
metadata:
  version: "1.0"
  openclaw:
    emoji: "🎩"
    always: true
    skillKey: hat
    primaryEnv: HAT_KEY
    os: [linux, darwin]
    requires: {bins: [hat], anyBins: [a, b], env: [HAT_KEY], config: [hat.on]}
    install:
      - {id: brew, kind: brew, formula: hat, bins: [hat], label: Get a hat}
"""
    )
    assert said.description == "Makes things up."
    assert (said.license, said.compatibility) == ("MIT", "needs a hat")
    assert said.allowed_tools == ("web_fetch", "message")
    assert (said.is_listed, said.is_command) == (False, False)
    gating = said.gating
    assert (gating.emoji, gating.always, gating.skill_key) == ("🎩", True, "hat")
    assert gating.requires == Needs(("hat",), ("a", "b"), ("HAT_KEY",), ("hat.on",))
    assert gating.install[0] == Installer(
        kind="brew", id="brew", formula="hat", bins=("hat",), label="Get a hat"
    )
    assert said.warnings == ()


@pytest.mark.parametrize(
    "metadata",
    [
        'metadata: {"openclaw": {"requires": {"bins": ["uv"]}}}',
        'metadata: \'{"openclaw": {"requires": {"bins": ["uv"]}}}\'',
        "metadata: {clawdbot: {requires: {bins: [uv]}}}",
    ],
)
def test_metadata_in_the_ways_it_is_written(metadata: str) -> None:
    assert read(f"description: d\n{metadata}").gating.requires.bins == ("uv",)


def test_a_name_that_is_missing_is_the_folders() -> None:
    assert read("description: d").name == "made-up"


def test_another_name_than_the_folders_is_taken_with_a_warning() -> None:
    said = read("name: other\ndescription: d")
    assert said.name == "other"
    assert "should be called 'other'" in said.warnings[0]


def test_a_colon_in_a_description_is_understood_and_remarked() -> None:
    said = read("description: Use this: it helps")
    assert said.description == "Use this: it helps"
    assert "line 2" in said.warnings[0]


def test_line_ends_and_a_byte_order_mark_of_other_systems() -> None:
    text = "\ufeff---\r\nname: made-up\r\ndescription: d\r\n---\r\nText.\r\n"
    assert parse(text, folder_name="made-up").description == "d"
    assert body(text) == "Text."


@pytest.mark.parametrize(
    ("front", "why"),
    [
        ("description: [", "is not YAML: line 3"),
        ("- a", "not a list of keys"),
        ("name: made-up", "no description"),
        ("description: ''", "no description"),
        (f"description: {'x' * 1025}", "longer than 1024"),
        ("name: Made_Up\ndescription: d", "lower-case letters"),
        ("name: a--b\ndescription: d", "lower-case letters"),
        (f"name: {'a' * 65}\ndescription: d", "lower-case letters"),
        ("name: yes\ndescription: d", "name is not text"),
        ("description: d\nuser-invocable: maybe", "neither true nor false"),
        ("description: d\nallowed-tools: 3", "not a list of names"),
        ("description: d\nmetadata: [a]", "not a list of keys"),
        ("description: d\nmetadata: '{'", "not JSON"),
        ("description: d\nmetadata: {openclaw: {requires: {bins: uv}}}", "$.requires.bins"),
        ("description: d\nmetadata: {openclaw: {os: linux}}", "$.os"),
        ("description: &a d\nlicense: *a", "aliases are not taken"),
        ("description: !!python/object/apply:os.system ['true']", "is not YAML"),
        ("description: d\nx: 2024-99-99", "is not YAML"),
    ],
)
def test_what_is_wrong_is_said(front: str, why: str) -> None:
    with pytest.raises(BrokenSkill) as broken:
        read(front)
    assert why in str(broken.value)


@pytest.mark.parametrize("text", ["", "# Title\n", "---\nname: a\n", "text\n---\na: b\n---\n"])
def test_without_front_matter_it_is_no_skill(text: str) -> None:
    with pytest.raises(BrokenSkill, match="front matter"):
        parse(text, folder_name="a")


def outcome(front: str) -> str:
    try:
        return read(front).description
    except BrokenSkill as broken:
        return str(broken)


@given(st.text(max_size=300))
def test_any_front_matter_is_a_document_or_a_sentence(front: str) -> None:
    assert outcome(front)


@given(st.text(alphabet="ab:{}[]&*!|>-'\"\n #%@0,?", max_size=80))
def test_anything_like_yaml_is_a_document_or_a_sentence(front: str) -> None:
    assert outcome(f"description: d\n{front}")
