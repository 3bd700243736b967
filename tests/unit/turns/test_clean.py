"""What runtimes yield is made writable, and left alone when it is."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from portico.agents.runtime import (
    AgentEvent,
    Failed,
    Final,
    ModelUsed,
    Progress,
    TextDelta,
    ThinkingDelta,
    ToolFinished,
    ToolStarted,
    Usage,
)
from portico.turns.clean import MAX_SHOWN, clean

ANY_TEXT = st.text(st.characters())
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.builds(object),
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT | st.integers(), inner),
    max_leaves=8,
)
EVENTS: Any = st.one_of(
    st.builds(TextDelta, ANY_TEXT),
    st.builds(ThinkingDelta, ANY_TEXT),
    st.builds(Progress, ANY_TEXT, ANY_TEXT),
    st.builds(Final, st.none() | ANY_TEXT),
    st.builds(Failed, ANY_TEXT),
    st.builds(ToolStarted, st.just("t"), st.just("n"), st.dictionaries(ANY_TEXT, ANY_VALUE)),
    st.builds(ToolFinished, st.just("t"), st.just("n"), ANY_VALUE),
    st.just(ModelUsed(Usage())),
)


@given(EVENTS)
def test_everything_can_be_written(event: AgentEvent) -> None:
    cleaned = clean(event)
    assert type(cleaned) is type(event)
    msgspec.json.encode(cleaned)
    assert clean(cleaned) == cleaned


def test_what_is_fine_stays_the_same_object() -> None:
    fine: list[AgentEvent] = [
        TextDelta("grüß dich \U0001f600"),
        Final("ä"),
        Failed("é"),
        ToolStarted("t", "n", {"x": [1, "ü"]}),
        ToolFinished("t", "n", None),
    ]
    for event in fine:
        assert clean(event) is event


def test_a_value_that_is_no_json_is_shown() -> None:
    shown = clean(ToolFinished("t", "n", {1, 2}.__class__))
    assert isinstance(shown, ToolFinished)
    assert shown.result == "<class 'set'>"
    huge = clean(ToolFinished("t", "n", ["x" * 20_000, object()]))
    assert isinstance(huge, ToolFinished)
    assert len(huge.result) == MAX_SHOWN
