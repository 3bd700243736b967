"""Tokens of the canvas: how long they live, and for whom."""

from __future__ import annotations

from portico.canvas.capabilities import TOKEN, TTL_MS, Capabilities
from portico.ids import ConnId
from tests.support.clock import FakeClock

ONE, TWO = ConnId("one"), ConnId("two")


def test_a_token_lives_on_while_it_is_used() -> None:
    clock = FakeClock()
    capabilities = Capabilities(clock=clock)
    minted = capabilities.mint(ONE)
    assert TOKEN.fullmatch(minted.token)
    assert minted.expires_at_ms == clock.now_ms() + TTL_MS
    for _ in range(3):
        clock.advance(TTL_MS / 1000 - 1)
        assert capabilities.use(minted.token) is not None
    clock.advance(TTL_MS / 1000)
    assert capabilities.use(minted.token) is None


def test_a_token_ends_with_its_connection() -> None:
    capabilities = Capabilities(clock=FakeClock())
    mine, theirs = capabilities.mint(ONE), capabilities.mint(TWO)
    held = capabilities.use(mine.token)
    assert held is not None
    capabilities.release(ONE)
    assert capabilities.use(mine.token) is None
    assert not capabilities.extend(held)
    assert capabilities.use(theirs.token) is not None
    capabilities.release(TWO)
    assert len(capabilities) == 0


def test_a_new_token_ends_the_one_before() -> None:
    capabilities = Capabilities(clock=FakeClock())
    first, second = capabilities.mint(ONE), capabilities.mint(ONE)
    assert capabilities.use(first.token) is None
    assert capabilities.use(second.token) is not None
    assert len(capabilities) == 1


def test_what_is_no_token_is_worth_nothing() -> None:
    capabilities = Capabilities(clock=FakeClock())
    token = capabilities.mint(ONE).token
    for wrong in ("", token[:-1], f"{token}x", token.swapcase(), "é" * 24, "a" * 24):
        assert capabilities.use(wrong) is None
    assert token not in repr(capabilities.mint(TWO))
    assert token not in repr(vars(capabilities))
