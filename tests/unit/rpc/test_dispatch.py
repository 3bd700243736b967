from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from portico.auth.model import Principal
from portico.protocol.errors import Forbidden, InvalidRequest, Unavailable
from portico.protocol.scopes import Role, Scope, expand
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.dispatch import WRITES_PER_WINDOW, Dispatcher, Key
from portico.rpc.method import Registry, method
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio


class Note(Params, frozen=True):
    text: str = ""
    idempotency_key: str | None = None


class Noted(Result, frozen=True):
    text: str


class Notes:
    def __init__(self) -> None:
        self.calls: list[str] = []

    @method("notes.add", scope=Scope.WRITE, mutates=True)
    async def add(self, call: Call, params: Note) -> Noted:
        """Add."""
        self.calls.append(params.text)
        return Noted(params.text)

    @method("notes.read", scope=Scope.READ)
    def read(self, call: Call, params: Note) -> Noted:
        """Read."""
        return Noted(params.text)

    @method(
        "notes.rule",
        scope=Scope.READ,
        scope_rule=lambda params: Scope.ADMIN if params.text == "!" else Scope.READ,
    )
    def rule(self, call: Call, params: Note) -> Noted:
        """Need more for some."""
        return Noted(params.text)

    @method("notes.config", scope=Scope.ADMIN, throttled=True, advertised=False)
    def config(self, call: Call, params: Note) -> Noted:
        """Write the configuration."""
        return Noted(params.text)

    @method("notes.node", scope=None, role=Role.NODE)
    def node(self, call: Call, params: Note) -> Noted:
        """Only for nodes."""
        return Noted(params.text)

    @method("notes.crash", scope=None)
    async def crash(self, call: Call, params: Note) -> Noted:
        """Fail."""
        raise KeyError("planted-secret")


class Memory:
    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.known: dict[Key, bytes] = {}

    async def run(self, key: Key, params: bytes, work: Callable[[], Awaitable[Any]]) -> Any:
        self.keys.append(key)
        if key in self.known:
            return msgspec.Raw(self.known[key])
        result = await work()
        self.known[key] = msgspec.json.encode(result)
        return result


def _call(*scopes: Scope, role: Role = Role.OPERATOR) -> Call:
    return Call(
        Principal(
            role=role,
            granted=tuple(scopes),
            scopes=expand(frozenset(scopes)),
            method="token",
            subject="me",
        )
    )


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def dispatcher(notes: Notes, clock: FakeClock) -> Dispatcher:
    registry = Registry()
    registry.add(notes)
    return Dispatcher(registry, Memory(), clock)


async def test_typed_params_in_and_typed_result_out(dispatcher: Dispatcher):
    assert await dispatcher.request("notes.read", b'{"text":"x"}', _call(Scope.READ)) == Noted("x")
    assert await dispatcher.request("notes.read", b"", _call(Scope.READ)) == Noted("")


@pytest.mark.parametrize(
    ("name", "call", "message"),
    [
        ("notes.add", _call(Scope.READ), "missing scope: operator.write"),
        ("notes.rule", _call(Scope.WRITE), "missing scope: operator.admin"),
        ("no.such", _call(Scope.WRITE), "missing scope: operator.admin"),
        ("no.such", _call(Scope.ADMIN), "unknown method: no.such"),
        ("notes.node", _call(Scope.ADMIN), "unauthorized role: operator"),
        ("notes.read", _call(role=Role.NODE), "unauthorized role: node"),
        ("no.such", _call(role=Role.NODE), "unauthorized role: node"),
    ],
)
async def test_order_of_refusals(dispatcher: Dispatcher, name, call, message):
    with pytest.raises((Forbidden, InvalidRequest)) as refused:
        await dispatcher.request(name, b'{"text":"!"}', call)
    assert refused.value.message == message


async def test_scope_is_checked_before_params(dispatcher: Dispatcher):
    with pytest.raises(Forbidden):
        dispatcher.prepare("notes.add", b'{"zz":1}', _call())
    with pytest.raises(InvalidRequest, match=r"invalid notes\.add params: at root: unexpected"):
        dispatcher.prepare("notes.add", b'{"zz":1}', _call(Scope.WRITE))


async def test_accident_is_logged_but_not_told(dispatcher: Dispatcher):
    with capture_logs() as logs, pytest.raises(Unavailable) as refused:
        await dispatcher.request("notes.crash", b"{}", _call())
    assert "planted-secret" not in str(refused.value.shape())
    assert refused.value.details == {"code": "INTERNAL_ERROR", "outcome": "uncertain"}
    (entry,) = logs
    assert entry["event"] == "rpc.failed"
    assert isinstance(entry["exc_info"], KeyError)


async def test_repeat_with_a_key_comes_back_typed(dispatcher: Dispatcher, notes: Notes):
    params = b'{"text":"a","idempotencyKey":"k"}'
    for _ in range(2):
        assert await dispatcher.request("notes.add", params, _call(Scope.WRITE)) == Noted("a")
    assert notes.calls == ["a"]
    await dispatcher.request("notes.add", b'{"text":"b"}', _call(Scope.WRITE))
    assert notes.calls == ["a", "b"]


async def test_control_plane_writes_are_throttled(dispatcher: Dispatcher, clock: FakeClock):
    call = _call(Scope.ADMIN)
    for _ in range(WRITES_PER_WINDOW):
        await dispatcher.request("notes.config", b"{}", call)
    clock.advance(10_500)
    with pytest.raises(Unavailable) as refused:
        await dispatcher.request("notes.config", b"{}", call)
    error = refused.value
    assert error.message == "rate limit exceeded for notes.config; retry after 50s"
    assert error.details["method"] == "notes.config"
    assert error.details["limit"] == "30 per 60s"
    assert (error.retryable, error.retry_after_ms) == (True, 49_500)
    clock.advance(49_500)
    await dispatcher.request("notes.config", b"{}", call)


def test_which_calls_need_no_task(dispatcher: Dispatcher):
    read = dispatcher.prepare("notes.read", b"{}", _call(Scope.READ))
    add = dispatcher.prepare("notes.add", b"{}", _call(Scope.WRITE))
    assert dispatcher.is_immediate(*read)
    assert not dispatcher.is_immediate(*add)
    assert dispatcher.call_now(*read, _call()) == Noted("")


def test_registry_advertises_what_is_implemented(notes: Notes):
    registry = Registry()
    registry.add(notes)
    assert "notes.config" not in registry.advertised()
    assert {"notes.add", "notes.node"} <= set(registry.advertised())
    with pytest.raises(TypeError, match="registered twice"):
        registry.add(notes)


def test_incomplete_declarations_fail_when_registered():
    class NoDoc:
        @method("x", scope=None)
        def x(self, call: Call, params: Note) -> Noted:
            return Noted("")

    class NoTypes:
        @method("y", scope=None)
        def y(self, call, params):
            """Say nothing of types."""

    for feature, problem in ((NoDoc(), "docstring"), (NoTypes(), "annotated")):
        with pytest.raises(TypeError, match=problem):
            Registry().add(feature)
