from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.agents.acp.permissions import (
    MAX_VALUE_CHARS,
    Option,
    at_once,
    changes,
    chosen,
    command_text,
    decisions,
)
from portico.approvals.life import DECISIONS, Decision

KINDS = ("allow_once", "allow_always", "reject_once", "reject_always")
EVERY = [Option(f"the-{kind}", kind) for kind in KINDS]
options = st.lists(
    st.builds(Option, st.text(max_size=3), st.sampled_from([*KINDS, "ask_again", ""])), max_size=6
)


@pytest.mark.parametrize(
    ("decision", "kind"),
    [
        ("allow-once", "allow_once"),
        ("allow-always", "allow_always"),
        ("deny", "reject_once"),
        (None, "reject_once"),
    ],
)
def test_each_decision_has_its_option(decision: Decision | None, kind: str) -> None:
    assert chosen(EVERY, decision) == Option(f"the-{kind}", kind)


@given(options, st.sampled_from([*DECISIONS, None]))
def test_only_a_yes_is_a_yes(offered: list[Option], decision: Decision | None) -> None:
    option = chosen(offered, decision)
    if option is not None:
        wanted = {"allow-once": "allow_once", "allow-always": "allow_always"}.get(decision or "")
        assert option.kind == wanted or (wanted is None and option.kind.startswith("reject"))


@given(options)
def test_what_may_be_decided_can_be_answered(offered: list[Option]) -> None:
    allowed = decisions(offered)
    assert "deny" in allowed
    assert set(allowed) <= set(get_args(Decision))
    for decision in allowed:
        assert decision == "deny" or chosen(offered, decision) is not None


@given(options)
def test_who_asks_nobody_says_the_narrowest_yes_or_no(offered: list[Option]) -> None:
    yes, no = at_once(offered, allow=True), at_once(offered, allow=False)
    assert no is None or no.kind.startswith("reject")
    assert yes is None or yes.kind.startswith("allow")
    if any(option.kind == "allow_once" for option in offered):
        assert yes is not None
        assert yes.kind == "allow_once"


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ({"command": "rm -r build", "x": 1}, "rm -r build"),
        ({"command": ["rm", "a b"]}, '["rm","a b"]'),
        ({"cmd": "ls"}, "ls"),
        ({"command": ""}, 'Do it\n{\n  "command": ""\n}'),
        ({"path": "/a"}, 'Do it\n{\n  "path": "/a"\n}'),
        (None, "Do it"),
        ({}, "Do it"),
    ],
)
def test_a_person_reads_the_command_itself(given_: Any, shown: str) -> None:
    assert command_text("Do it", "execute", given_) == shown


def test_a_command_is_never_cut_and_other_values_say_that_they_are() -> None:
    long = "x" * (MAX_VALUE_CHARS + 7)
    assert command_text("", None, {"command": long}) == long
    assert "… (7 characters more)" in command_text("Write", "edit", {"content": [long]})
    assert command_text("", "edit", None) == "edit"
    assert command_text("", None, None) == "use a tool"


def test_what_would_change_in_files_is_shown_where_nothing_else_is() -> None:
    diff = {"type": "diff", "path": "/a", "oldText": "x", "newText": "y" * (MAX_VALUE_CHARS + 1)}
    shown = command_text("Writing", "edit", changes([diff, {"type": "content"}, "odd"]))
    assert shown.startswith("Writing\n")
    assert '"path": "/a"' in shown
    assert "1 characters more" in shown
    assert changes(None) == changes([{"type": "content"}]) == []
