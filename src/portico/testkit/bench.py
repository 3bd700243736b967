"""Everything around an account under test: database, inbox, outbox, supervision, HTTP.

Guarantees: real parts on real files and sockets; what the inbox admits is noted in place of being
answered. Waits have a bound and end with a message that says what was waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import uvicorn

from portico.auth.model import Principal
from portico.auth.peer import NO_RULES
from portico.auth.peer import Peer as NetworkPeer
from portico.channels.access.policy import AccessPolicy, NoPairing
from portico.channels.accounts import store as account_store
from portico.channels.accounts.life import RestartRules
from portico.channels.accounts.service import Accounts, AccountSettings
from portico.channels.accounts.supervisor import Supervisor
from portico.channels.doors import Doors
from portico.channels.manifest import Manifest
from portico.channels.model import InboundMessage, ReplyRoute
from portico.channels.registry import ChannelRegistry
from portico.clock import SystemClock
from portico.config.channels import AccountEntry
from portico.inbox.channels import ChannelIntake
from portico.inbox.model import Admitted, Routing
from portico.inbox.service import Inbox
from portico.outbox.life import DeliveryState, RetryPolicy
from portico.outbox.service import Outbox
from portico.outbox.store import Delivery
from portico.protocol.errors import Unauthorized
from portico.store import Store, Work, open_store
from portico.store.upgrade import upgrade_sqlite_file
from portico.tasks import Tasks
from portico.testkit.provider import Provider
from portico.web.channels import ChannelDoors
from portico.web.gate import Gate

ACCOUNT = "default"
PATIENCE_S = 30.0
STEP_S = 0.005
SETTLING_STEPS = 40
QUICK = RestartRules(
    first_s=0.05,
    longest_s=0.3,
    break_after=50,
    break_s=0.5,
    healthy_s=30.0,
    connect_s=10.0,
    teardown_s=5.0,
)
RETRY = RetryPolicy(first_s=0.05, longest_s=0.3, max_attempts=100)

T = TypeVar("T")
P = ParamSpec("P")


async def until(what: str, condition: Callable[[], T], *, within_s: float | None = None) -> T:
    """Return the condition's first true value.

    Raises:
        AssertionError: it did not come true in time.
    """
    within_s = PATIENCE_S if within_s is None else within_s
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while not (value := condition()):
        assert loop.time() < deadline_s, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(STEP_S)
    return value


@functools.cache
def _migrated() -> bytes:
    """An empty database, migrated once for every bench of this process."""
    with tempfile.TemporaryDirectory(prefix="portico-bench-") as folder:
        file = Path(folder) / "migrated.sqlite"
        upgrade_sqlite_file(file)
        return file.read_bytes()


async def settle() -> None:
    """Let what is on its way arrive.

    So many turns of the loop, not only so long: a busy machine takes longer for each.
    """
    for _ in range(SETTLING_STEPS):
        await asyncio.sleep(STEP_S)


class Faucet:
    """A store whose writes can be held back, or made to fail."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open = asyncio.Event()
        self._open.set()
        self.is_broken = False
        self.waiting = 0
        self.refused = 0

    def fail_writes(self) -> None:
        """Let writes fail."""
        self.is_broken = True
        self.refused = 0

    def hold(self) -> None:
        """Hold writes back."""
        self._open.clear()

    def release(self) -> None:
        """Let them through."""
        self.is_broken = False
        self._open.set()

    async def start(self) -> None:
        """Open the database."""
        await self._store.start()

    async def stop(self) -> None:
        """Close it."""
        await self._store.stop()

    async def write(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a work in a transaction, once it may."""
        self.waiting += 1
        try:
            await self._open.wait()
        finally:
            self.waiting -= 1
        if self.is_broken:
            self.refused += 1
            raise OSError(28, "no space left on device")
        return await self._store.write(work, *args, **kwargs)

    async def read(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a work that only reads."""
        return await self._store.read(work, *args, **kwargs)

    async def scan(self, work: Callable[P, Work[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a long work that only reads."""
        return await self._store.scan(work, *args, **kwargs)


class Lanes:
    """Notes what was admitted, once it is committed."""

    def __init__(self) -> None:
        self.messages: list[Admitted] = []

    def enqueue(self, message: Admitted) -> Work[Admitted]:
        """Nothing to store: the inbox has it."""
        yield from ()
        return message

    def begin(self, enqueued: Admitted) -> None:
        """It is on disk."""
        self.messages.append(enqueued)

    @property
    def texts(self) -> list[str]:
        """Return what was said, in order."""
        return [one.request.text for one in self.messages]


class _HttpServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[explicit-override]  # typing has it since 3.12
        yield


class _Nobody:
    peer_rules = NO_RULES

    def check_peer(self, peer: NetworkPeer) -> None:
        """Mind nothing."""

    async def http(self, authorization: str | None, peer: NetworkPeer) -> Principal:
        """Let nobody in."""
        raise Unauthorized("no")


class Bench:
    """One account of one channel, and all it needs.

    Attributes:
        url: where the channel's doors are: `<url>/integrations/<channel>/…`.
        failures: what background tasks raised.
    """

    def __init__(self, manifest: Manifest, folder: Path, *, stall_s: float) -> None:
        self.manifest = manifest
        self.clock = SystemClock()
        self.failures: list[str] = []
        self.tasks = Tasks(lambda name, error: self.failures.append(f"{name}: {error!r}"))
        (folder / "bench.sqlite").write_bytes(_migrated())
        self.store = Faucet(open_store(f"sqlite:///{folder}/bench.sqlite"))
        self.lanes = Lanes()
        self.registry = ChannelRegistry()
        self.doors = Doors()
        self.outbox = Outbox(
            store=self.store,
            clock=self.clock,
            senders=self.registry,
            tasks=self.tasks,
            owner="bench",
            alone=True,
            policy=RETRY,
        )
        self._policy: AccessPolicy | None = None
        self._folder = folder
        self._stall_s = stall_s
        self._accounts: Accounts | None = None
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Bench]:
        """Run everything but the account."""
        await self.store.start()
        await self.outbox.start()
        server = self._server()
        serving = self.tasks.start(server.serve(sockets=[self._listener]), name="bench.http")
        try:
            await until("the bench's HTTP server listens", lambda: server.started)
            yield self
        finally:
            self.store.release()
            await self.stop()
            server.should_exit = server.force_exit = True
            await asyncio.wait({serving}, timeout=PATIENCE_S)
            await self.tasks.stop()
            await self.store.stop()
            self._listener.close()

    def _server(self) -> _HttpServer:
        app = ChannelDoors(
            self.doors, gate=Gate(authenticator=_Nobody()), is_channel=self.registry.is_known
        )
        return _HttpServer(
            uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, loop="none")
        )

    # -- the account -----------------------------------------------------------------------------

    def start(self, provider: Provider, **settings: Any) -> None:
        """Start keeping an account that talks to a provider, open to everybody."""
        written = {"dmPolicy": "open", "allowFrom": ["*"], **provider.settings(), **settings}
        config = self.manifest.settings().model_validate(written)
        entry = AccountEntry(self.manifest.id, ACCOUNT, enabled=True, config=config)
        policy = self._policy = AccessPolicy(config, NoPairing())
        inbox = Inbox(
            store=self.store,
            clock=self.clock,
            lanes=self.lanes,
            policies=lambda _channel, _account: policy,
            route=_by_sender,
        )
        self._accounts = Accounts(
            [entry],
            manifests=lambda: {self.manifest.id: self.manifest},
            store=self.store,
            clock=self.clock,
            tasks=self.tasks,
            intake=ChannelIntake(inbox, lambda _message: None),
            registry=self.registry,
            doors=self.doors,
            owner="bench",
            alone=True,
            settings=AccountSettings(
                folder=self._folder / "channels", stall_s=self._stall_s, rules=QUICK
            ),
            on_ready=self.outbox.account_ready,
        )
        self._accounts.start()

    async def stop(self) -> None:
        """Stop keeping the account. Safe to call twice."""
        accounts, self._accounts = self._accounts, None
        if accounts is not None:
            await accounts.stop()
            self.registry.unregister(self.manifest.id, ACCOUNT)

    @property
    def account(self) -> Supervisor:
        """The account, as it is kept."""
        found = None if self._accounts is None else self._accounts.find(self.manifest.id, ACCOUNT)
        assert found is not None, "the account is not started"
        return found

    async def until_state(self, state: str) -> None:
        """Wait until the account is in a state."""
        account = self.account
        try:
            await until(f"the account is {state}", lambda: account.state.value == state)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {account.state}: {account.error}") from None

    async def want(self, desired: str) -> None:
        """Start or stop the account, as an operator does."""
        assert self._accounts is not None
        await self._accounts.want(self.manifest.id, ACCOUNT, desired)

    # -- messages --------------------------------------------------------------------------------

    async def until_taken(self, *texts: str) -> list[Admitted]:
        """Wait until messages were admitted; return them."""
        try:
            await until(f"received {texts}", lambda: set(texts) <= set(self.lanes.texts))
        except AssertionError as error:
            raise AssertionError(f"{error}; received: {self.lanes.texts}") from None
        return [one for one in self.lanes.messages if one.request.text in texts]

    async def send(self, route: ReplyRoute, text: str) -> str:
        """Put a message into the outbox; return its delivery's id."""
        return await self.outbox.send(route, text, media=(), session_key=None)

    async def until_settled(self, delivery_id: str, *states: DeliveryState) -> Delivery:
        """Wait until a delivery is in one of some states."""

        async def find() -> Delivery | None:
            found = await self.outbox.find(delivery_id)
            return found if found is not None and found.state in states else None

        try:
            return await _until_async(f"delivery is {' or '.join(states)}", find)
        except AssertionError as error:
            found = await self.outbox.find(delivery_id)
            shown = None if found is None else (found.state.value, found.last_error)
            raise AssertionError(f"{error}; it is {shown}") from None

    async def events(self) -> list[account_store.EventRow]:
        """Return what was recorded besides messages."""
        return await self.store.read(account_store.list_events)

    async def until_event(self, key: str) -> account_store.EventRow:
        """Wait until an event was recorded."""

        async def find() -> account_store.EventRow | None:
            return next((one for one in await self.events() if one.event.event_key == key), None)

        return await _until_async(f"event {key} is recorded", find)


async def _until_async(what: str, condition: Callable[[], Awaitable[T | None]]) -> T:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + PATIENCE_S
    while (value := await condition()) is None:
        assert loop.time() < deadline_s, f"not within {PATIENCE_S:g} s: {what}"
        await asyncio.sleep(STEP_S)
    return value


def _by_sender(message: InboundMessage) -> Routing:
    return Routing(f"agent:main:bench:{message.peer.kind}:{message.peer.id}", "main")
