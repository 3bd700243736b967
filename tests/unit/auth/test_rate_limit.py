from __future__ import annotations

from portico.auth.rate_limit import MAX_ENTRIES, AuthScope, FailureLimiter, RateLimitSettings
from tests.fakes.clock import FakeClock

SCOPE: AuthScope = "shared-secret"


def test_ten_failures_in_a_minute_lock_out_for_five():
    clock = FakeClock()
    limiter = FailureLimiter(clock)
    for _ in range(9):
        assert limiter.failed(SCOPE, "a", exempt=False) == 0
    assert limiter.locked_for_ms(SCOPE, "a", exempt=False) == 0
    limiter.failed(SCOPE, "a", exempt=False)
    assert limiter.locked_for_ms(SCOPE, "a", exempt=False) == 300_000
    assert limiter.locked_for_ms(SCOPE, "b", exempt=False) == 0
    assert limiter.locked_for_ms("device-token", "a", exempt=False) == 0
    clock.advance(300_000)
    assert limiter.locked_for_ms(SCOPE, "a", exempt=False) == 0


def test_old_failures_do_not_count():
    clock = FakeClock()
    limiter = FailureLimiter(clock)
    for _ in range(30):
        limiter.failed(SCOPE, "a", exempt=False)
        clock.advance(7_000)
    assert limiter.locked_for_ms(SCOPE, "a", exempt=False) == 0


def test_this_machine_is_slowed_down_instead():
    limiter = FailureLimiter(FakeClock())
    delays = [limiter.failed(SCOPE, "127.0.0.1", exempt=True) for _ in range(12)]
    assert delays[:6] == [250, 500, 1000, 2000, 4000, 5000]
    assert set(delays[5:]) == {5000}
    assert limiter.locked_for_ms(SCOPE, "127.0.0.1", exempt=True) == 0


def test_exemption_can_be_switched_off():
    limiter = FailureLimiter(FakeClock(), RateLimitSettings(max_attempts=1, exempt_loopback=False))
    assert limiter.failed(SCOPE, "127.0.0.1", exempt=True) == 0
    assert limiter.locked_for_ms(SCOPE, "127.0.0.1", exempt=True) > 0


def test_success_forgives():
    limiter = FailureLimiter(FakeClock())
    for _ in range(9):
        limiter.failed(SCOPE, "a", exempt=False)
    limiter.succeeded(SCOPE, "a")
    limiter.failed(SCOPE, "a", exempt=False)
    assert limiter.locked_for_ms(SCOPE, "a", exempt=False) == 0


def test_memory_is_bounded():
    limiter = FailureLimiter(FakeClock())
    for number in range(MAX_ENTRIES + 50):
        limiter.failed(SCOPE, str(number), exempt=False)
    assert len(limiter) == MAX_ENTRIES
