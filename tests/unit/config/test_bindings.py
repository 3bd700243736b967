"""Bindings as they are written, checked and taken over."""

from __future__ import annotations

import pytest

from portico.config import import_openclaw

from .conftest import Load

AGENTS = "agents: { list: [{ id: 'main' }, { id: 'Ops Team' }] }"


def test_ids_may_be_numbers_and_names_are_compared_as_ids(load_text: Load) -> None:
    loaded = load_text(
        f"""{{ {AGENTS}, bindings: [
          {{ agentId: "ops team", comment: "theirs",
             match: {{ channel: "Telegram", accountId: 7, peer: {{ kind: "dm", id: -42 }} }} }},
          {{ agentId: "main", type: "route",
             match: {{ channel: "discord", guildId: 1, roles: [2, "x"] }} }},
        ] }}"""
    )
    first, second = loaded.require().bindings
    assert (first.agent_id, first.comment) == ("ops-team", "theirs")
    assert (first.match.channel, first.match.account_id) == ("telegram", "7")
    assert first.match.peer is not None
    assert (first.match.peer.kind, first.match.peer.id) == ("direct", "-42")
    assert (second.match.guild_id, second.match.roles) == ("1", ("2", "x"))
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("binding", "path", "message"),
    [
        ('{ agentId: "nobody", match: { channel: "x" } }', "bindings[1].agentId", "no agent"),
        ('{ agentId: "main" }', "bindings[1].match", "is required"),
        ('{ agentId: "main", match: {} }', "bindings[1].match.channel", "is required"),
        (
            '{ agentId: "main", match: { channel: "x", peer: { kind: "robot", id: "1" } } }',
            "bindings[1].match.peer.kind",
            "input should be",
        ),
        ('{ agentId: "main", type: "acp", match: { channel: "x" } }', "bindings[1].type", "match"),
    ],
)
def test_what_makes_no_sense_is_named_by_its_place(
    load_text: Load, binding: str, path: str, message: str
) -> None:
    good = '{ agentId: "main", match: { channel: "x" } }'
    loaded = load_text(f"{{ {AGENTS},\n bindings: [{good},\n {binding}] }}")
    (issue,) = loaded.issues
    assert (issue.path, issue.line) == (path, 3)
    assert message in issue.message
    assert not loaded.valid


def test_without_agents_there_is_main(load_text: Load) -> None:
    assert load_text('{ bindings: [{ agentId: "main", match: { channel: "x" } }] }').valid
    assert not load_text('{ bindings: [{ agentId: "ops", match: { channel: "x" } }] }').valid


def test_only_bindings_that_make_sense_are_imported() -> None:
    match = {"channel": "x"}
    imported = import_openclaw(
        {
            "agents": {"list": [{"id": "a"}, {"id": "$$"}]},
            "bindings": [
                {"agentId": "a", "type": "acp", "match": match},
                {"agentId": "b", "match": match},
                {"agentId": "a", "match": {"channel": "y"}, "session": {"dmScope": "main"}},
                {"agentId": "c", "match": match},
            ],
        }
    )
    assert imported.config["bindings"] == [{"agentId": "a", "match": {"channel": "y"}}]
    assert {"bindings[2].agentId", "bindings[2].match.channel"} <= set(imported.taken)
    reasons = {left.path: left.reason for left in imported.left}
    assert set(reasons) == {
        "agents.list[1]",
        "bindings[0]",
        *("bindings[1].agentId", "bindings[1].match.channel"),
        "bindings[2].session",
        *("bindings[3].agentId", "bindings[3].match.channel"),
    }
    assert 'there is no agent "c"' in reasons["bindings[3].match.channel"]
