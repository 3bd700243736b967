from __future__ import annotations

import pytest

from portico.config.durations import parse_duration_ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("250ms", 250),
        ("90s", 90_000),
        ("1.5h", 5_400_000),
        (" 1h30m ", 5_400_000),
        ("1H 5 s", 3_605_000),
        ("2d", 172_800_000),
        ("1w", 604_800_000),
        ("0m", 0),
        ("17", 17),
    ],
)
def test_lengths_of_time(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


def test_a_number_without_a_unit() -> None:
    assert parse_duration_ms("30", unit="m") == 1_800_000


@pytest.mark.parametrize("text", ["", "soon", "1x", "-5m", "5m ago", "h", "1 2 three", "١m"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="length of time"):
        parse_duration_ms(text)
