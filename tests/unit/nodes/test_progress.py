"""What a command says while it runs: each piece once, in order, whatever is lost on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portico.nodes.progress import MAX_HELD, Ordered, Piece


def test_pieces_that_overtake_each_other() -> None:
    said = Ordered()
    assert said.take(Piece(1, "b")) == []
    assert said.take(Piece(1, "again")) is None
    assert said.take(Piece(0, "a")) == [Piece(0, "a"), Piece(1, "b")]
    assert said.take(Piece(0, "a")) is None
    assert said.take(Piece(3, "d")) == []
    assert said.rest() == [Piece(3, "d")]
    assert said.take(Piece(2, "c")) is None


def test_a_hole_is_not_waited_for_for_ever() -> None:
    said = Ordered()
    for seq in range(1, MAX_HELD + 1):
        assert said.take(Piece(seq, "")) == []
    shown = said.take(Piece(MAX_HELD + 1, ""))
    assert shown is not None
    assert [piece.seq for piece in shown] == list(range(1, MAX_HELD + 2))
    assert said.take(Piece(0, "late")) is None


@given(st.lists(st.integers(0, 60), max_size=120))
def test_any_order(numbers: list[int]) -> None:
    said = Ordered()
    shown = [piece for seq in numbers for piece in said.take(Piece(seq, str(seq))) or ()]
    shown += said.rest()
    assert [piece.seq for piece in shown] == sorted({piece.seq for piece in shown})
    assert all(piece.chunk == str(piece.seq) for piece in shown)
    if len(set(numbers)) <= MAX_HELD:
        assert {piece.seq for piece in shown} == set(numbers)
