"""What a run finds: figures, each with its baseline and its aim."""

from __future__ import annotations

from typing import Literal

import msgspec

Unit = Literal["s", "ms", "µs", "MB", "KB", "/s", ""]
_HEAD = ("figure", "measured", "bare server", "ratio", "aim", "met", "also")
_DIGITS: dict[str, int] = {"s": 2, "ms": 2, "µs": 1, "MB": 1, "KB": 1, "/s": 0, "": 1}


class Aim(msgspec.Struct, frozen=True):
    """The most a figure, or its ratio to the baseline, should be."""

    most: float
    of: Literal["value", "ratio"] = "value"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        baseline: what the bare server needs for its own part of it, in the same unit.
        also: other figures of the same measurement, without an aim.
    """

    name: str
    unit: Unit
    value: float
    baseline: float | None = None
    aim: Aim | None = None
    also: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the baseline it is."""
        return self.value / self.baseline if self.baseline else None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; `None` when there is none."""
        if self.aim is None:
            return None
        measured = self.ratio if self.aim.of == "ratio" else self.value
        return measured is not None and measured <= self.aim.most


def shown(value: float | None, unit: Unit) -> str:
    """Return a value as people read it."""
    if value is None:
        return ""
    number = f"{value:,.{_DIGITS[unit]}f}"
    return f"{number} {unit}" if unit and unit != "/s" else f"{number}{unit}"


def table(figures: list[Figure]) -> str:
    """Return the figures as a Markdown table."""
    rows: list[tuple[str, ...]] = [_HEAD]
    rows += [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(figure: Figure) -> tuple[str, ...]:
    ratio = figure.ratio
    aim = ""
    if figure.aim is not None:
        most = figure.aim.most
        aim = f"≤ {most:g} times" if figure.aim.of == "ratio" else f"< {most:g} {figure.unit}"
    return (
        figure.name,
        shown(figure.value, figure.unit),
        shown(figure.baseline, figure.unit),
        "" if ratio is None else f"{ratio:.2f}",
        aim,
        {None: "", True: "yes", False: "**no**"}[figure.met],
        figure.also,
    )
