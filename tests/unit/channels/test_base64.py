"""Base64 as people send it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.channels import base64 as pieces
from portico.channels.base64 import decoded


@given(st.binary(max_size=300), st.sampled_from(["plain", "url", "lines"]), st.integers(1, 70))
def test_it_is_decoded_in_pieces(content: bytes, how: str, size: int) -> None:
    text = {
        "plain": lambda: base64.b64encode(content),
        "url": lambda: base64.urlsafe_b64encode(content).rstrip(b"="),
        "lines": lambda: base64.encodebytes(content),
    }[how]().decode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_CHARS", size)
        assert b"".join(decoded(text)) == content


@pytest.mark.parametrize("text", ["a", "ab=c", "a*bc", "é", "QUJD====QUJD"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not base64"):
        list(decoded(text))


def test_the_whole_is_never_held_at_once() -> None:
    text = base64.b64encode(b"x" * 5_000_000).decode()
    assert max(map(len, decoded(text))) <= pieces.PIECE_CHARS
