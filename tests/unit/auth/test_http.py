from __future__ import annotations

from pathlib import Path

import pytest

from portico.auth.devices import Devices
from portico.auth.peer import Peer
from portico.auth.rate_limit import RateLimitSettings
from portico.auth.service import Authenticator, AuthSettings
from portico.protocol.errors import TooManyAttempts, Unauthorized
from portico.protocol.scopes import SHARED_SECRET_HTTP_SCOPES
from portico.store import open_store
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio
REMOTE = Peer(ip="203.0.113.9", direct_local=False)
LOCAL = Peer(ip="127.0.0.1", direct_local=True)


def _door(settings: AuthSettings, slept: list[float] | None = None) -> Authenticator:
    async def sleep(seconds: float) -> None:
        if slept is not None:
            slept.append(seconds)

    clock = FakeClock()
    store = open_store(f"sqlite:///{Path('/nowhere/unused.sqlite')}")
    devices = Devices(store, clock, lambda _name, _payload: None, secret=settings.secret)
    return Authenticator(settings, devices, clock, sleep=sleep)


async def test_bearer_secret_gives_the_operators_scopes():
    door = _door(AuthSettings(token="s3cret"))
    principal = await door.http("Bearer s3cret", REMOTE)
    assert set(principal.granted) == SHARED_SECRET_HTTP_SCOPES
    assert principal.method == "token"
    assert (await door.http("bearer  s3cret", REMOTE)).subject == "http"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic s3cret", "Bearer nope"])
async def test_anything_else_is_unauthorized(header):
    with pytest.raises(Unauthorized) as refused:
        await _door(AuthSettings(token="s3cret")).http(header, REMOTE)
    assert refused.value.http_status == 401
    assert refused.value.message == "Unauthorized"


async def test_too_many_failures_are_429_and_missing_credentials_do_not_count():
    door = _door(AuthSettings(token="s3cret", rate_limit=RateLimitSettings(max_attempts=2)))
    for header in (None, None, None, "Bearer a", "Bearer b"):
        with pytest.raises(Unauthorized):
            await door.http(header, REMOTE)
    with pytest.raises(TooManyAttempts) as refused:
        await door.http("Bearer s3cret", REMOTE)
    assert refused.value.http_status == 429
    assert refused.value.retry_after_ms == 300_000


async def test_failures_of_this_machine_are_held_back():
    slept: list[float] = []
    door = _door(AuthSettings(token="s3cret"), slept)
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await door.http("Bearer x", LOCAL)
    assert slept == [0.25, 0.5, 1.0]


async def test_mode_none_honours_the_scope_cap():
    door = _door(AuthSettings(mode="none"))
    capped = Peer(ip="127.0.0.1", direct_local=True, scope_cap=frozenset({"operator.read"}))
    assert (await door.http(None, capped)).granted == ("operator.read",)
    assert set((await door.http(None, LOCAL)).granted) == SHARED_SECRET_HTTP_SCOPES


async def test_no_secret_configured_lets_nobody_in():
    with pytest.raises(Unauthorized):
        await _door(AuthSettings(token=None)).http("Bearer ", REMOTE)
    with pytest.raises(Unauthorized):
        await _door(AuthSettings(token=None)).http("Bearer x", REMOTE)


async def test_new_rules_hold_at_once():
    door = _door(AuthSettings(token="old"))
    door.configure(AuthSettings(mode="password", password="new"))
    assert (await door.http("Bearer new", REMOTE)).method == "password"
