"""From a method name and raw params to an answer: authorize, validate, deduplicate, call.

The order is the protocol's: role, scope (an unknown method is judged as if it needed admin),
lookup, write throttle, params, scope that depends on params, handler. Every surface dispatches
here.

Guarantees: a handler runs only with params of its type and a principal that holds its scope; what
it raises becomes a typed error; an unexpected exception is logged with its traceback and answered
without its text.

Source: OpenClaw gateway protocol, "Dispatch order" and "Standard texts".
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import structlog

from portico.clock import Clock
from portico.observe.metrics import Metrics
from portico.protocol.errors import Forbidden, GatewayError, InvalidRequest, Outcome, Unavailable
from portico.protocol.scopes import Role, Scope
from portico.protocol.validation import explain
from portico.rpc.call import Call
from portico.rpc.method import Method, Registry
from portico.store.refusal import refusal_of

log = structlog.get_logger()

WRITES_PER_WINDOW = 30
WRITE_WINDOW_MS = 60_000
_MAX_TRACKED_WRITERS = 10_000


@dataclass(frozen=True, slots=True)
class Key:
    """One use of an idempotency key: keys of different methods and callers never meet."""

    method: str
    subject: str
    key: str


class Idempotency(Protocol):
    """Remembers what a key answered, across restarts."""

    async def run(self, key: Key, params: bytes, work: Callable[[], Awaitable[Any]]) -> Any:
        """Run `work` once per key: a repeat joins the running call or gets its answer.

        An answer remembered from before a restart comes back as `msgspec.Raw`.

        Raises:
            IdempotencyMismatch: the key was used with other params.
        """
        ...


class Recorder(Protocol):
    """Keeps who changed what."""

    async def record(
        self,
        action: str,
        *,
        actor: str,
        target: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a change that has been made. Never raises."""
        ...


NAMED_IN_RECORDS = (
    "agent_id",
    "id",
    "name",
    "skill_key",
    "channel",
    "account_id",
    "sender_id",
    "peer_id",
    "decision",
    "scope",
    "period",
)
"""Params that say what was changed, and are no secrets."""


class WriteThrottle:
    """At most 30 control-plane writes a minute per method, caller and address."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._writes: OrderedDict[tuple[str, str, str | None], deque[int]] = OrderedDict()

    def admit(self, name: str, call: Call) -> None:
        """Count one write.

        Raises:
            Unavailable: the caller is over the limit; says when to retry.
        """
        now = self._clock.now_ms()
        key = (name, call.principal.subject, call.principal.ip)
        times = self._writes.setdefault(key, deque())
        self._writes.move_to_end(key)
        if len(self._writes) > _MAX_TRACKED_WRITERS:
            self._writes.popitem(last=False)
        while times and times[0] <= now - WRITE_WINDOW_MS:
            times.popleft()
        if len(times) >= WRITES_PER_WINDOW:
            wait_ms = times[0] + WRITE_WINDOW_MS - now
            raise Unavailable(
                f"rate limit exceeded for {name}; retry after {math.ceil(wait_ms / 1000)}s",
                details={"method": name, "limit": f"{WRITES_PER_WINDOW} per 60s"},
                retryable=True,
                retry_after_ms=wait_ms,
                outcome=Outcome.NOT_STARTED,
            )
        times.append(now)


class Dispatcher:
    """Calls methods of the registry on behalf of principals."""

    def __init__(
        self,
        registry: Registry,
        idempotency: Idempotency,
        clock: Clock,
        metrics: Metrics | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self._recorder = recorder
        self._registry = registry
        self._idempotency = idempotency
        self._clock = clock
        self._throttle = WriteThrottle(clock)
        measured = metrics or Metrics()
        self._calls = measured.rpc_calls
        self._seconds = measured.rpc_seconds

    def prepare(self, name: str, raw: msgspec.Raw | bytes, call: Call) -> tuple[Method, Any]:
        """Authorize and validate a call, without making it.

        Raises:
            GatewayError: the answer to give instead.
        """
        found = self._registry.find(name)
        try:
            return self._prepare(found, name, raw, call)
        except GatewayError as error:
            self._calls.inc(name if found else "unknown", error.code.value)
            raise

    def _prepare(
        self, found: Method | None, name: str, raw: msgspec.Raw | bytes, call: Call
    ) -> tuple[Method, Any]:
        _check_role(found, call)
        _check_scope(found.scope if found else Scope.ADMIN, call)
        if found is None:
            raise InvalidRequest(f"unknown method: {name}")
        if found.throttled:
            self._throttle.admit(name, call)
        try:
            params = found.decoder.decode(raw or b"{}")
        except (msgspec.DecodeError, RecursionError) as error:
            raise explain(found.params, raw, error, what=f"{name} params") from None
        if found.scope_rule is not None:
            _check_scope(found.scope_rule(params), call)
        return found, params

    @staticmethod
    def is_immediate(target: Method, params: Any) -> bool:
        """Say whether `call_now` may answer the call: nothing in it has to wait."""
        if target.is_async:
            return False
        if target.audit is not None:
            return False
        return not target.mutates or getattr(params, "idempotency_key", None) is None

    def call_now(self, target: Method, params: Any, call: Call) -> Any:
        """Call a handler that does not await."""
        try:
            result = target.handler(call, params)
        except GatewayError as error:
            self._calls.inc(target.name, error.code.value)
            raise
        except Exception as error:
            self._calls.inc(target.name, "INTERNAL_ERROR")
            raise _unexpected(target.name, error) from error
        self._calls.inc(target.name, "ok")
        return result

    async def call(self, target: Method, params: Any, call: Call) -> Any:
        """Call a prepared method and return its result.

        Raises:
            GatewayError: anything the method refuses, and every accident, without its text.
        """
        started_s = self._clock.monotonic_s()
        outcome = "cancelled"
        try:
            result = await self._call(target, params, call)
            outcome = "ok"
            return result
        except GatewayError as error:
            outcome = error.code.value
            raise
        except Exception as error:
            outcome = "INTERNAL_ERROR"
            raise _unexpected(target.name, error) from error
        finally:
            self._calls.inc(target.name, outcome)
            self._seconds.observe(self._clock.monotonic_s() - started_s, target.name)

    async def _call(self, target: Method, params: Any, call: Call) -> Any:
        key = getattr(params, "idempotency_key", None) if target.mutates else None
        if key is None:
            return await self._invoke(target, params, call)
        result = await self._idempotency.run(
            Key(target.name, call.principal.subject, key),
            msgspec.json.encode(params),
            lambda: self._invoke(target, params, call),
        )
        if isinstance(result, msgspec.Raw):
            return msgspec.json.decode(result, type=target.result)
        return result

    async def request(self, name: str, raw: msgspec.Raw | bytes, call: Call) -> Any:
        """Prepare and call in one step, for surfaces other than the WebSocket."""
        target, params = self.prepare(name, raw, call)
        return await self.call(target, params, call)

    async def _invoke(self, target: Method, params: Any, call: Call) -> Any:
        result = target.handler(call, params)
        answer = await result if target.is_async else result
        if target.audit is not None and self._recorder is not None:
            named = _named(params)
            what = next(iter(named.values()), None)
            await self._recorder.record(
                target.audit, actor=call.principal.subject, target=what, details=named
            )
        return answer


def _named(params: Any) -> dict[str, str]:
    found = ((name, getattr(params, name, None)) for name in NAMED_IN_RECORDS)
    return {name: value for name, value in found if isinstance(value, str)}


def _check_role(found: Method | None, call: Call) -> None:
    needed = found.role if found else Role.OPERATOR
    if call.principal.role != needed:
        raise InvalidRequest(f"unauthorized role: {call.principal.role}")


def _check_scope(scope: Scope | None, call: Call) -> None:
    if scope is not None and scope not in call.principal.scopes:
        raise Forbidden.missing_scope(scope)


def _unexpected(name: str, error: Exception) -> GatewayError:
    refusal = refusal_of(error)
    if refusal is not None:
        log.warning("rpc.not_stored", method=name, error=str(error))
        return refusal
    log.error("rpc.failed", method=name, exc_info=error)
    return Unavailable(
        f"{name} failed; see the gateway log",
        details={"code": "INTERNAL_ERROR"},
        outcome=Outcome.UNCERTAIN,
    )
