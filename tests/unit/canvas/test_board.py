"""What is kept of the messages an agent draws with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.canvas.board import FILE, MAX_MESSAGES, Board, NotA2ui, parsed, surface_of

pytestmark = pytest.mark.anyio


def begin(surface: str) -> dict[str, Any]:
    return {"beginRendering": {"surfaceId": surface, "root": "r"}}


def create(surface: str, **more: Any) -> dict[str, Any]:
    return {"version": "v0.9", "createSurface": {"surfaceId": surface, "catalogId": "c", **more}}


def on_disk(folder: Path) -> list[Any]:
    lines = (folder / "canvas" / FILE).read_text().splitlines()
    return [msgspec.json.decode(line) for line in lines]


async def test_a_deleted_surface_leaves_nothing_behind(tmp_path: Path) -> None:
    board = Board(tmp_path / "new", "canvas/")
    assert await board.push([begin("a"), begin("b")]) == ["a", "b"]
    assert await board.push([{"deleteSurface": {"surfaceId": "a"}}]) == ["b"]
    assert on_disk(tmp_path / "new") == [begin("b")]
    await board.reset()
    assert on_disk(tmp_path / "new") == []
    assert await board.push([create("n"), create("n", x=1)]) == ["n"]
    assert on_disk(tmp_path / "new") == [create("n", x=1)]


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        {"beginRendering": {}},
        {"beginRendering": {"surfaceId": ""}},
        {"beginRendering": {"surfaceId": "x" * 129}},
        {"beginRendering": None},
        {**begin("a"), "surfaceUpdate": {"surfaceId": "a"}},
        {"createSurface": {"surfaceId": "a"}},
        {"version": "v0.8", **begin("a")},
        {"version": "v0.9", **begin("a")},
        {"other": {"surfaceId": "a"}},
    ],
)
def test_what_is_no_message(message: Any) -> None:
    with pytest.raises(NotA2ui, match="message 1"):
        surface_of(message)


async def test_a_push_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    board = Board(tmp_path, "canvas/")
    for messages, why in (
        ([begin("a"), {"no": 1}], "message 2"),
        ([begin("a")] * (MAX_MESSAGES + 1), "more than"),
        ([begin("a"), create("b")], "other version"),
        ([create("a", x="y" * 1_000_001)], "too much"),
    ):
        with pytest.raises(NotA2ui, match=why):
            await board.push(messages)
    assert not (tmp_path / "canvas" / FILE).exists()


def test_json_lines() -> None:
    text = '\n{"deleteSurface": {"surfaceId": "a"}}\n\n'
    assert parsed(text) == [{"deleteSurface": {"surfaceId": "a"}}]
    with pytest.raises(NotA2ui, match="line 2"):
        parsed('{"deleteSurface": {"surfaceId": "a"}}\n{')
