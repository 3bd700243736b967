from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from portico.discovery.tailscale import RouteFailed, RouteSettings, TailscaleRoute
from tests.fakes.tailscale import TailscaleProgram
from tests.support.waiting import eventually

TARGET = "http://127.0.0.1:45678"


@pytest.fixture
def program(tmp_path: Path) -> TailscaleProgram:
    return TailscaleProgram(tmp_path / "bin")


def settings(program: TailscaleProgram, **changed: object) -> RouteSettings:
    base = RouteSettings(
        mode="serve",
        https_port=443,
        target=TARGET,
        note=program.home / "state" / "tailscale-route",
        program=str(program.path),
        env={"PATH": os.defpath},
        timeout_s=30,
        retry_s=0.05,
    )
    return replace(base, **changed)  # type: ignore[arg-type]


async def test_a_route_is_made_once_and_taken_away(program: TailscaleProgram) -> None:
    route = TailscaleRoute(settings(program))
    await route.ensure()
    assert route.url == "https://gate.tail1234.ts.net"
    assert program.routes == {"443": {"how": "serve", "target": TARGET}}
    await route.ensure()
    made = [call for call in program.calls if "--bg" in call]
    assert made == [["serve", "--bg", "--yes", "--https=443", TARGET]]
    await route.stop()
    await route.stop()
    assert program.routes == {}
    assert route.url is None


async def test_funnel_has_its_own_command_and_port(program: TailscaleProgram) -> None:
    route = TailscaleRoute(settings(program, mode="funnel", https_port=8443))
    await route.ensure()
    assert route.url == "https://gate.tail1234.ts.net:8443"
    assert program.routes["8443"]["how"] == "funnel"


async def test_a_route_that_is_to_stay_stays_and_is_known_again(program: TailscaleProgram) -> None:
    first = TailscaleRoute(settings(program, reset_on_exit=False))
    await first.ensure()
    await first.stop()
    assert program.routes["443"]["target"] == TARGET
    second = TailscaleRoute(settings(program, target="http://127.0.0.1:45679"))
    await second.ensure()  # what a gateway of this state directory left behind is its own
    assert program.routes["443"]["target"] == "http://127.0.0.1:45679"


async def test_the_route_of_somebody_else_is_left_alone(program: TailscaleProgram) -> None:
    program.change(routes={"443": {"how": "serve", "target": "http://127.0.0.1:3000"}})
    route = TailscaleRoute(settings(program))
    with pytest.raises(RouteFailed, match=r"leads to http://127\.0\.0\.1:3000 already"):
        await route.ensure()
    await route.stop()
    assert program.routes["443"]["target"] == "http://127.0.0.1:3000"


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ({"backend": "NeedsLogin"}, "NeedsLogin"),
        ({"fails": "access denied: try sudo"}, "access denied"),
        ({"hangs": True}, "did not end within"),
    ],
)
async def test_what_fails_is_said(
    program: TailscaleProgram, state: dict[str, object], problem: str
) -> None:
    program.change(**state)
    route = TailscaleRoute(settings(program, timeout_s=1 if state.get("hangs") else 30))
    with pytest.raises(RouteFailed, match=problem):
        await route.ensure()


async def test_it_is_tried_again_until_it_is_there_and_when_it_is_gone(
    program: TailscaleProgram,
) -> None:
    program.change(backend="Starting")
    route = TailscaleRoute(settings(program))
    keeping = asyncio.create_task(route.keep())
    await eventually(lambda: "Starting" in (route.problem or ""))
    program.change(backend="Running")
    await eventually(lambda: program.routes)
    await eventually(lambda: route.url is not None and route.problem is None)
    program.change(routes={})
    await eventually(lambda: program.routes)
    keeping.cancel()
    await asyncio.wait([keeping])
    missing = TailscaleRoute(replace(settings(program), program="/nowhere/tailscale"))
    with pytest.raises(RouteFailed, match="/nowhere/tailscale"):
        await missing.ensure()
