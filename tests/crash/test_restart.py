"""Restart under load: a new process takes over, and no client sees more than a reconnect."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from _pytest.fixtures import FixtureRequest

from portico.channels.webhook.manifest import MANIFEST
from portico.process.lock import read_lock
from portico.testkit import Provider
from tests.crash.channel_kill import ChannelKill
from tests.crash.chatter import Chatter
from tests.crash.driver import CONFIG, Down, Driver, Link, Message, attach_patiently
from tests.crash.history import Select, check, check_file, postgres_reader, settled, sqlite_reader
from tests.e2e.gateway import GatewayProcess
from tests.fakes.webhook_partner import Partner
from tests.support.databases import PostgresServer
from tests.support.waiting import eventually

GATEWAY: dict[str, Any] = dict(CONFIG["gateway"])  # type: ignore[call-overload]  # a dict it is


class Unbroken(Driver):
    """HTTP clients that tolerate no failed request, WebSocket clients that connect again."""

    def __init__(self, gateway: GatewayProcess, **how: Any) -> None:
        super().__init__(gateway, **how)
        self.failures: list[str] = []

    async def _over_http(self, message: Message) -> None:
        try:
            await super()._over_http(message)
        except Down as error:
            self.failures.append(f"{message.key}: {error}")
            raise

    async def reconnect(self) -> None:
        """Give the WebSocket sessions a connection to the gateway that runs now."""
        http, self._http = self._http, None
        old, self._link = self._link, None
        if old is not None:
            await old.close()
        self._http = http
        while self._link is None:
            try:
                self._link = await Link.open(self.gateway)
            except (Down, OSError):
                await asyncio.sleep(0.02)


class Scene:
    """A gateway under load."""

    def __init__(self, gateway: GatewayProcess, select: Select) -> None:
        self.gateway = gateway
        self.select = select
        self.driver = Unbroken(gateway, websocket_sessions=3, http_sessions=5)
        self.chatters = [Chatter(gateway, f"chatter{number}") for number in range(2)]

    async def run(self, restarts: int, *, messages: int) -> None:
        """Restart so often while clients talk; look at what they and the database have."""
        await attach_patiently(self.driver)
        stop = asyncio.Event()
        talking = [asyncio.ensure_future(one.talk(stop)) for one in self.chatters]
        for _ in range(restarts):
            await self.driver.round(messages, self._hand_over)
        stop.set()
        await asyncio.gather(*talking)
        await settled(self.select)
        await self.driver.detach()
        await self._look(restarts)

    async def _hand_over(self, _driver: Driver) -> None:
        before = self.gateway.ready["pid"]
        await asyncio.to_thread(self.gateway.hand_over)
        assert self.gateway.ready["pid"] != before
        await self.driver.reconnect()

    async def _look(self, restarts: int) -> None:
        assert self.driver.failures == []
        for one in self.chatters:
            doubled = {run: said for run, said in one.answers.items() if len(said) > 1}
            assert doubled == {}
            own = [run for run in one.answers if run.startswith(f"{one.name}-")]
            assert len(own) == one.said
            # A client too busy to answer the close within its grace is cut: 1006.
            assert 1012 in one.codes
            assert set(one.codes) <= {1006, 1012}
            assert one.refused == 0
            assert len(one.codes) <= restarts
        chatted = {
            f"{one.name}-{number}": one for one in self.chatters for number in range(one.said)
        }
        findings = await check(self.driver, self.select)
        problems = [text for text in findings.problems if text.split(":")[0] not in chatted]
        assert problems == []
        assert (findings.interrupted, findings.resumed) == (0, 0)
        print(f"{self.driver.count + len(chatted)} answered, {restarts} restarts", file=sys.stderr)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def scene(request: FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    config: dict[str, Any] = dict(CONFIG)
    select = sqlite_reader(tmp_path / "state" / "portico.sqlite")
    server: PostgresServer | None = None
    url = ""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        url = await server.new_database(empty=True)
        config["store"] = {"url": url}
        select = postgres_reader(url)
    gateway = GatewayProcess(tmp_path / "state", config=config)
    try:
        await asyncio.to_thread(gateway.start)
        yield Scene(gateway, select)
    finally:
        await asyncio.to_thread(gateway.kill)
        if server is not None:
            await server.drop(url)


async def test_no_request_fails_and_no_message_is_lost_or_doubled(scene: Scene) -> None:
    await scene.run(2, messages=120)
    assert await asyncio.to_thread(scene.gateway.stop) == 0
    assert scene.gateway.tracebacks() == []


@pytest.mark.crash
async def test_again_and_again(scene: Scene) -> None:
    await scene.run(20, messages=500)
    assert await asyncio.to_thread(scene.gateway.stop) == 0
    assert scene.gateway.tracebacks() == []
    if (scene.gateway.state_dir / "portico.sqlite").exists():
        assert check_file(scene.gateway.state_dir / "portico.sqlite") == []


@pytest.mark.crash
class TestWebhookPartners(ChannelKill):
    """Partners that post, and are answered through the same channel."""

    manifest = MANIFEST

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Provider]:
        async with Partner("") as partner:
            yield partner

    def attach(self, provider: Provider, door: str) -> None:
        assert isinstance(provider, Partner)
        provider.door = door

    async def interrupt(
        self, gateway: GatewayProcess, meanwhile: Callable[[], Awaitable[None]]
    ) -> None:
        """Restart instead of killing."""
        telling = asyncio.ensure_future(meanwhile())
        await asyncio.to_thread(gateway.hand_over)
        await telling


# -- what goes wrong -----------------------------------------------------------------------------


@contextmanager
def _running(folder: Path, **config: Any) -> Any:
    gateway = GatewayProcess(folder / "state", config=CONFIG | config)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.kill()


async def _answers(gateway: GatewayProcess, name: str) -> None:
    driver = Unbroken(gateway, websocket_sessions=1, http_sessions=2)
    await attach_patiently(driver)
    await driver.round(6, None)
    assert driver.failures == []
    await driver.detach()


def _outcome(gateway: GatewayProcess) -> Any:
    state = read_lock(gateway.state_dir / "gateway.lock")
    assert state is not None
    assert state.is_held
    assert state.info is not None
    return state.info


async def test_one_that_does_not_come_up_is_rolled_back(tmp_path: Path) -> None:
    with _running(tmp_path) as gateway:
        broken = CONFIG | {"gateway": {**GATEWAY, "bind": 7}}
        (gateway.state_dir / "portico.json").write_text(json.dumps(broken))
        (gateway.state_dir / "portico.json.last-good").unlink()
        os.kill(gateway.pid, signal.SIGUSR2)
        await eventually(lambda: _outcome(gateway).last_restart is not None, within_s=40)
        info = _outcome(gateway)
        assert info.pid == gateway.pid
        assert not info.last_restart.ok
        assert "portico.json" in info.last_restart.reason
        await _answers(gateway, "after")
        assert await asyncio.to_thread(gateway.stop) == 0
        assert not (gateway.state_dir / "gateway.lock").exists()


@pytest.mark.crash
async def test_one_that_hangs_is_killed_in_time(tmp_path: Path) -> None:
    restart = {**GATEWAY, "restart": {"readyMs": 1_000}}
    with _running(tmp_path, gateway=restart) as gateway:
        os.kill(gateway.pid, signal.SIGUSR2)
        stopped = await _child_of(gateway)
        os.kill(stopped, signal.SIGSTOP)
        await eventually(lambda: _outcome(gateway).last_restart is not None, within_s=40)
        assert "within 1 s" in _outcome(gateway).last_restart.reason
        await eventually(lambda: not Path(f"/proc/{stopped}").exists(), within_s=30)
        await _answers(gateway, "after")


@pytest.mark.parametrize("victim", [pytest.param("old", marks=pytest.mark.crash), "new"])
async def test_kill_in_the_middle_of_a_restart(tmp_path: Path, victim: str) -> None:
    with _running(tmp_path) as gateway:
        os.kill(gateway.pid, signal.SIGUSR2)
        child = await _child_of(gateway)
        survivor = child if victim == "old" else gateway.pid
        os.kill(gateway.pid if victim == "old" else child, signal.SIGKILL)
        try:
            await eventually(lambda: _has_settled(gateway, survivor), within_s=40)
            await _answers(gateway, "after")
        finally:
            os.kill(survivor, signal.SIGKILL)


def _has_settled(gateway: GatewayProcess, pid: int) -> bool:
    info = _outcome(gateway)
    return info.pid == pid and info.last_restart is not None


async def _child_of(gateway: GatewayProcess) -> int:
    """The process that is to take over, as soon as there is one."""
    children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children")
    await eventually(lambda: bool(children.read_text().split()), within_s=30)
    return int(children.read_text().split()[-1])


async def test_the_first_process_keeps_its_place(tmp_path: Path) -> None:
    """Whoever started the gateway sees one pid, may send it signals, and gets its exit code."""
    with _running(tmp_path) as gateway:
        first = gateway.pid
        for _ in range(2):
            await asyncio.to_thread(gateway.hand_over)
        await _answers(gateway, "after")
        now = gateway.ready["pid"]
        assert now != first
        assert await asyncio.to_thread(gateway.stop) == 0
        await eventually(lambda: not Path(f"/proc/{now}").exists(), within_s=30)
