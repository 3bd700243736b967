"""What a run has used, calls that were cut off included."""

from __future__ import annotations

from portico.agents.runtime import ModelAnswering, ModelUsed, TextDelta, ThinkingDelta, Usage
from portico.store import Store
from portico.turns.meter import Meter
from tests.support.path import Path
from tests.support.waiting import eventually


def estimate(chars: int) -> Usage:
    return Usage(input=100, output=chars, cost_usd=1.0)


BEGINS = ModelAnswering(estimate, "lab", "m")


def meter_of(*events: object) -> Meter:
    meter = Meter()
    for event in events:
        meter.note(event)  # type: ignore[arg-type]  # from the test
    return meter


def test_a_call_that_reports_counts_as_it_reports() -> None:
    meter = meter_of(BEGINS, TextDelta("abc"), ModelUsed(Usage(input=7, output=2), "lab", "m"))
    assert (meter.used, meter.calls) == (Usage(input=7, output=2), 1)


def test_a_call_that_is_cut_off_counts_as_estimated() -> None:
    meter = meter_of(BEGINS, ThinkingDelta("hm"), TextDelta("abc"))
    assert (meter.used, meter.calls) == (Usage(input=100, output=5, cost_usd=1.0), 0)
    assert (meter.provider, meter.model) == ("lab", "m")


def test_one_that_broke_off_and_was_repeated_counts_too() -> None:
    meter = meter_of(BEGINS, BEGINS, TextDelta("ab"), ModelUsed(Usage(input=7, output=2)), BEGINS)
    assert meter.used == Usage(input=207, output=2, cost_usd=2.0)


def test_an_estimate_that_fails_is_none() -> None:
    def broken(_chars: int) -> Usage:
        raise KeyError("price")

    assert meter_of(ModelAnswering(broken)).used == Usage()


async def test_a_cancelled_turn_says_what_it_used(sqlite_store: Store) -> None:
    async with Path(sqlite_store) as path:
        await path.say("a")
        path.puppet.tell("a", ModelUsed(Usage(input=5, output=1)), BEGINS, TextDelta("half"))
        await eventually(lambda: "delta" in path.events.states("a"))
        await path.turns.cancel("a", "rpc")
        row = await path.ended("a")
        assert row.result is not None
        assert (row.state, row.result.usage.input, row.result.usage.output) == ("cancelled", 105, 5)
        feed = path.turns.feed("a")
        assert feed is not None
        assert BEGINS not in feed._steps
