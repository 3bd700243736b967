"""Whatever a gateway sends: a node host answers it, refuses it, and lets no value become more."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portico.node_host.configured import fill
from portico.node_host.keeper import left_of
from portico.node_host.model import CommandError, InvokeRequest
from portico.node_host.plan import Plan
from portico.node_host.run_request import parse_run

HOME = Path("/")
texts = st.text(max_size=20)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
words = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4)
plans = st.fixed_dictionaries({"argv": words}, optional={"cwd": values, "policySnapshot": values})
runs = st.fixed_dictionaries(
    {"command": words | values},
    optional={
        "cwd": st.sampled_from(["/", "/tmp", "x", ""]) | values,
        "env": st.dictionaries(st.sampled_from(["LANG", "PATH", "LD_PRELOAD"]), texts) | values,
        "timeoutMs": values,
        "runId": values,
        "approved": values,
        "approvalDecision": st.sampled_from(["allow-once", "allow-always", "deny"]) | values,
        "approvalSource": st.sampled_from(["ask-fallback", "auto-review"]) | values,
        "systemRunPlan": plans | values,
    },
)


@given(runs)
def test_a_run_is_taken_whole_or_refused(params: dict[str, Any]) -> None:
    with contextlib.suppress(CommandError):
        run = parse_run(params, home=HOME, env_allow=frozenset({"LANG"}))
        assert list(run.argv) == params["command"]
        assert set(run.env) <= {"LANG"}
        assert run.cwd.is_absolute()
        assert run.approved is None or isinstance(run.plan, Plan)
        assert run.timeout_s is None or run.timeout_s > 0


@given(st.dictionaries(st.sampled_from(["a", "b", "output"]), values))
def test_a_value_stays_one_word_and_is_no_option(params: dict[str, Any]) -> None:
    shape = ("tool", "--", "{a}", "--to={b:x}", "{output:png}")
    with contextlib.suppress(CommandError):
        argv, file = fill(shape, params, Path("/made"))
        assert len(argv) == len(shape)
        assert argv[:2] == ["tool", "--"]
        assert not argv[2].startswith("-")
        assert argv[3].startswith("--to=")
        assert argv[4] == str(file) == "/made/output.png"
        assert not any("\0" in word for word in argv)


@given(st.text(max_size=200) | st.none())
def test_parameters_are_an_object_or_refused(text: str | None) -> None:
    with contextlib.suppress(CommandError):
        assert isinstance(InvokeRequest(id="i", command="c", params_json=text).params(), dict)


@given(st.lists(st.tuples(st.sampled_from("+-"), st.integers(2, 9)), max_size=30))
def test_the_keeper_knows_what_has_not_ended(reports: list[tuple[str, int]]) -> None:
    last = {number: sign for sign, number in reports}
    left, _ = left_of([f"{sign}{number}\n" for sign, number in reports])
    assert left == {number for number, sign in last.items() if sign == "+"}
