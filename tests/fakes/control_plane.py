"""The real control plane on a real port, with a few methods to call, for tests of the door."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import ClientConnection, connect

from portico.auth.devices import Devices
from portico.auth.service import Authenticator, AuthSettings
from portico.clock import Clock, SystemClock
from portico.events.hub import Hub
from portico.events.presence import Presence, PresenceEntry, StateVersion
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params
from portico.rpc.call import Call
from portico.rpc.dispatch import Dispatcher
from portico.rpc.hello import HelloBuilder, HelloSettings
from portico.rpc.idempotency import StoredIdempotency
from portico.rpc.method import Registry, method
from portico.store import Store, open_store
from portico.tasks import Tasks
from portico.web.control_plane import ControlPlane, SocketLimits
from portico.web.ws import websocket_protocol
from tests.support.databases import sqlite_url

TOKEN = "testtoken"
ALL_SCOPES = [
    "operator.admin",
    "operator.read",
    "operator.write",
    "operator.approvals",
    "operator.questions",
    "operator.pairing",
    "operator.talk.secrets",
]


class Text(Params, frozen=True):
    text: str = ""


class Keyed(Params, frozen=True):
    idempotency_key: str
    text: str = ""


class Session(Params, frozen=True):
    key: str


class SomeMethods:
    """Methods of every kind a connection can meet."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.runs = 0

    @method("test.echo", scope=Scope.READ)
    def echo(self, call: Call, params: Text) -> dict[str, Any]:
        """Give the text back at once."""
        return {"text": params.text}

    @method("test.later", scope=Scope.READ)
    async def later(self, call: Call, params: Text) -> dict[str, Any]:
        """Give the text back when the test says so."""
        await self.release.wait()
        return {"text": params.text}

    @method("test.twice", scope=Scope.WRITE)
    async def twice(self, call: Call, params: Text) -> dict[str, Any]:
        """Answer twice on the same id."""
        call.accept({"status": "accepted"})
        await self.release.wait()
        return {"status": "ok"}

    @method("test.once", scope=Scope.WRITE, mutates=True)
    async def once(self, call: Call, params: Keyed) -> dict[str, Any]:
        """Count how often it really ran."""
        self.runs += 1
        return {"runs": self.runs}

    @method("test.refuse", scope=Scope.READ)
    async def refuse(self, call: Call, params: Text) -> dict[str, Any]:
        """Refuse."""
        raise InvalidRequest("no", details={"code": "NO"})

    @method("test.break", scope=Scope.READ)
    def break_(self, call: Call, params: Text) -> dict[str, Any]:
        """Fail by accident."""
        raise RuntimeError("a secret detail")

    @method("test.unencodable", scope=Scope.READ)
    def unencodable(self, call: Call, params: Text) -> Any:
        """Return what JSON cannot say."""
        return {"x": object()}

    @method("test.trace", scope=None)
    async def trace(self, call: Call, params: Text) -> dict[str, Any]:
        """Say which trace the call belongs to."""
        return {"traceId": call.trace_id}

    @method("test.admin", scope=Scope.ADMIN)
    def admin(self, call: Call, params: Text) -> dict[str, Any]:
        """Only for administrators."""
        return {}

    @method("test.follow", scope=Scope.READ)
    def follow(self, call: Call, params: Session) -> dict[str, Any]:
        """Follow one session."""
        assert call.connection is not None
        call.connection.follow_session(params.key, True)
        return {}


class SomeSnapshot:
    def health(self) -> Any:
        return {"ok": True}

    def session_defaults(self) -> Any:
        return {"defaultAgentId": "main", "mainKey": "main", "mainSessionKey": "agent:main:main"}

    def applied_config_hash(self) -> str | None:
        return "hash"


class Plane:
    """Everything of one running control plane, open to the test's eyes."""

    def __init__(
        self,
        store: Store,
        *,
        auth: AuthSettings,
        limits: SocketLimits,
        clock: Clock,
        replay_events: int = 100,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.store = store
        self.clock = clock
        self.failures: list[tuple[str, BaseException]] = []
        self.tasks = Tasks(lambda name, error: self.failures.append((name, error)))
        self.hub = Hub(epoch="boot", window=replay_events, window_bytes=1 << 20)
        self.version = StateVersion()
        self.presence = Presence(
            hub_publish=self.hub.publish,
            clock=clock,
            state_version=self.version,
            self_entry=PresenceEntry(ts=0, mode="gateway", reason="self"),
            later=loop.call_later,
        )
        self.devices = Devices(store, clock, self.hub.publish, secret=auth.secret)
        self.authenticator = Authenticator(auth, self.devices, clock)
        self.methods = SomeMethods()
        self.registry = Registry()
        self.registry.add(self.methods)
        self.hello = HelloBuilder(
            self.registry,
            HelloSettings(
                version="1.2.3",
                boot_id="boot",
                max_payload=limits.max_payload_bytes,
                max_buffered=limits.max_buffered_bytes,
                tick_interval_ms=limits.tick_interval_ms,
                max_attachment_bytes=20_971_520,
                max_image_bytes=6_291_456,
                config_path="/etc/portico.json",
                state_dir="/var/lib/portico",
                auth_mode=auth.mode,
            ),
            presence=self.presence,
            state_version=self.version,
            snapshot=SomeSnapshot(),
            clock=clock,
        )
        self.plane = ControlPlane(
            dispatcher=Dispatcher(self.registry, StoredIdempotency(store, clock), clock),
            authenticator=self.authenticator,
            hub=self.hub,
            presence=self.presence,
            hello=self.hello,
            tasks=self.tasks,
            clock=clock,
            limits=limits,
            claimed=lambda path: path.startswith("/claimed"),
        )
        self.port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    @asynccontextmanager
    async def socket(self, path: str = "", **options: Any) -> AsyncIterator[Client]:
        options.setdefault("ping_interval", None)
        options.setdefault("max_size", None)
        async with connect(self.url + path, **options) as socket:
            client = Client(socket)
            client.challenge = await client.receive()
            yield client

    @asynccontextmanager
    async def client(self, **changes: Any) -> AsyncIterator[Client]:
        async with self.socket() as client:
            client.hello = (await client.connect(**changes))["payload"]
            yield client


@dataclass
class Client:
    """A client's end, frame by frame."""

    socket: ClientConnection
    challenge: dict[str, Any] = field(default_factory=dict)
    hello: dict[str, Any] = field(default_factory=dict)

    @property
    def nonce(self) -> str:
        return str(self.challenge["payload"]["nonce"])

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(30):
            return dict(json.loads(await self.socket.recv()))

    async def send(self, frame: Any) -> None:
        await self.socket.send(frame if isinstance(frame, (str, bytes)) else json.dumps(frame))

    async def request(
        self, method: str, params: Any = None, *, id_: str = "r", **more: Any
    ) -> dict[str, Any]:
        frame = {"type": "req", "id": id_, "method": method, **more}
        await self.send(frame if params is None else {**frame, "params": params})
        while True:
            answer = await self.receive()
            if answer["type"] == "res":
                return answer

    async def connect(self, **changes: Any) -> dict[str, Any]:
        return await self.request("connect", connect_params(**changes), id_="r1")

    async def event(self, name: str) -> dict[str, Any]:
        while True:
            frame = await self.receive()
            if frame.get("event") == name:
                return frame

    async def closed(self) -> tuple[int | None, str | None]:
        async with asyncio.timeout(30):
            await self.socket.wait_closed()
        return self.socket.close_code, self.socket.close_reason


def connect_params(**changes: Any) -> dict[str, Any]:
    """What a local program with the shared secret sends; `None` leaves a member out."""
    params: dict[str, Any] = {
        "minProtocol": 4,
        "maxProtocol": 4,
        "client": {
            "id": "gateway-client",
            "version": "2026.9.6",
            "platform": "linux",
            "mode": "backend",
        },
        "role": "operator",
        "scopes": ALL_SCOPES,
        "caps": [],
        "auth": {"token": TOKEN},
    }
    params.update(changes)
    return {name: value for name, value in params.items() if value is not None}


class Device:
    """A device with its key."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        raw = self.key.public_key().public_bytes_raw()
        self.id = hashlib.sha256(raw).hexdigest()
        self.public_key = _base64url(raw)

    def proof(
        self,
        params: Mapping[str, Any],
        nonce: str,
        *,
        signed_at: int | None = None,
        version: str = "v3",
    ) -> dict[str, Any]:
        at = int(time.time() * 1000) if signed_at is None else signed_at
        client, auth = params["client"], params.get("auth", {})
        token = auth.get("token") or auth.get("deviceToken") or auth.get("bootstrapToken") or ""
        parts = [
            version,
            self.id,
            client["id"],
            client["mode"],
            params.get("role", "operator"),
            ",".join(params.get("scopes", [])),
            str(at),
            token,
            nonce,
        ]
        if version == "v3":
            parts += [client["platform"].lower(), client.get("deviceFamily", "").lower()]
        return {
            "id": self.id,
            "publicKey": self.public_key,
            "signature": _base64url(self.key.sign("|".join(parts).encode())),
            "signedAt": at,
            "nonce": nonce,
        }

    def params(self, nonce: str, **changes: Any) -> dict[str, Any]:
        client = {
            "id": "cli",
            "version": "2026.9.6",
            "platform": "linux",
            "deviceFamily": "Linux",
            "mode": "cli",
        }
        params = connect_params(**{"client": client, **changes})
        return {**params, "device": self.proof(params, nonce)}


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def _no_http(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"Not Found"})


@asynccontextmanager
async def running_plane(
    folder: Path,
    *,
    auth: AuthSettings | None = None,
    limits: SocketLimits | None = None,
    clock: Clock | None = None,
    is_open: bool = True,
    replay_events: int = 100,
) -> AsyncIterator[Plane]:
    """Run a control plane on a free port until the block ends."""
    store = open_store(sqlite_url(folder))
    await store.start()
    plane = Plane(
        store,
        auth=auth or AuthSettings(token=TOKEN, trusted_proxies=("127.0.0.1",)),
        limits=limits or SocketLimits(),
        clock=clock or SystemClock(),
        replay_events=replay_events,
    )
    config = uvicorn.Config(
        _no_http,
        host="127.0.0.1",
        port=0,
        ws=websocket_protocol(plane.plane),
        log_level="error",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(30):
            while not server.started:
                await asyncio.sleep(0.005)
        plane.port = server.servers[0].sockets[0].getsockname()[1]
        await plane.plane.start()
        if is_open:
            plane.plane.open()
        yield plane
    finally:
        await plane.plane.shut_down()
        server.should_exit = True
        await serving
        await plane.tasks.stop()
        await plane.plane.stop()
        await store.stop()
    assert not plane.failures, plane.failures
