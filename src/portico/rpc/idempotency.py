"""What an idempotency key answered, kept in the database.

Theory of operation: before a call runs, its key is written down; when it has ended, so is its
answer. A repeat that finds the call running in this process joins it; one that finds the answer
gets it; one that finds a key without an answer (the process died in the call, or the answer was too
large to keep) runs again. A handler that must not act twice even then makes its own effect
idempotent, with the same key.

Guarantees: one key, one set of params; answers are remembered for 24 hours and bounded in number;
a refusal before anything happened (`outcome: not_started`) is not remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import msgspec
import structlog
from sqlalchemy import bindparam, delete, func, select, update

from portico.clock import Clock
from portico.protocol.errors import (
    AgentTimeout,
    ErrorShape,
    Forbidden,
    GatewayError,
    IdempotencyMismatch,
    InvalidRequest,
    NotPaired,
    Outcome,
    Unavailable,
)
from portico.rpc.dispatch import Key
from portico.rpc.tables import idempotency
from portico.store import Row, Store, Work, one, statement

log = structlog.get_logger()

TTL_MS = 86_400_000
PRUNE_EVERY_MS = 60_000
MAX_ROWS = 100_000
MAX_ANSWER_BYTES = 1 << 20

_p = bindparam
_c = idempotency.c
_insert = statement(
    lambda insert: insert(idempotency).on_conflict_do_nothing(index_elements=["scope", "key"])
)
_find = statement(
    select(idempotency).where(
        _c.scope == _p("scope"), _c.key == _p("key"), _c.expires_at > _p("now")
    )
)
_answer = statement(
    update(idempotency)
    .where(_c.scope == _p("p_scope"), _c.key == _p("p_key"))
    .values(result=_p("p_result"), error=_p("p_error"))
)
_forget = statement(delete(idempotency).where(_c.scope == _p("scope"), _c.key == _p("key")))
_expire = statement(delete(idempotency).where(_c.expires_at <= _p("now")))
_count = statement(select(func.count().label("rows")).select_from(idempotency))
_nth_newest = statement(
    select(_c.created_at).order_by(_c.created_at.desc()).limit(1).offset(_p("kept"))
)
_drop_older = statement(delete(idempotency).where(_c.created_at <= _p("before")))


def _begin(scope: str, key: str, params_hash: str, now: int, expires: int) -> Work[Row | None]:
    """Write the key down; return the row of an earlier use, if there was one."""
    found = one((yield _find(scope=scope, key=key, now=now)))
    if found is not None:
        return found
    yield _forget(scope=scope, key=key)  # expired, but not pruned yet
    yield _insert(scope=scope, key=key, params_hash=params_hash, created_at=now, expires_at=expires)
    return None


def _end(scope: str, key: str, result: str | None, error: str | None) -> Work[None]:
    yield _answer(p_scope=scope, p_key=key, p_result=result, p_error=error)


def _drop(scope: str, key: str) -> Work[None]:
    yield _forget(scope=scope, key=key)


def _prune(now: int, kept: int) -> Work[None]:
    yield _expire(now=now)
    counted = one((yield _count()))
    if counted is not None and counted["rows"] > kept:
        oldest = one((yield _nth_newest(kept=kept)))
        if oldest is not None:
            yield _drop_older(before=oldest["created_at"])


class StoredIdempotency:
    """Idempotency keys on the store."""

    def __init__(
        self, store: Store, clock: Clock, *, ttl_ms: int = TTL_MS, max_rows: int = MAX_ROWS
    ) -> None:
        self._store = store
        self._clock = clock
        self._ttl_ms = ttl_ms
        self._max_rows = max_rows
        self._running: dict[Key, tuple[str, asyncio.Future[Any]]] = {}
        self._pruned_at_ms = 0

    async def run(self, key: Key, params: bytes, work: Callable[[], Awaitable[Any]]) -> Any:
        """Run `work` once per key: a repeat joins the running call or gets its answer.

        Raises:
            IdempotencyMismatch: the key was used with other params.
        """
        params_hash = hashlib.sha256(params).hexdigest()
        running = self._running.get(key)
        if running is not None:
            if running[0] != params_hash:
                raise IdempotencyMismatch(key.method)
            return await asyncio.shield(running[1])
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._running[key] = (params_hash, future)
        try:
            result = await self._run(key, params_hash, work)
        except BaseException as error:
            shown = error if isinstance(error, Exception) else _interrupted(key)
            future.set_exception(shown)
            future.exception()  # nobody may have joined
            raise
        else:
            future.set_result(result)
            return result
        finally:
            del self._running[key]

    async def _run(self, key: Key, params_hash: str, work: Callable[[], Awaitable[Any]]) -> Any:
        scope, now = f"{key.method}:{key.subject}", self._clock.now_ms()
        await self._prune_sometimes(now)
        expires = now + self._ttl_ms
        row = await self._store.write(_begin, scope, key.key, params_hash, now, expires)
        if row is not None:
            if row["params_hash"] != params_hash:
                raise IdempotencyMismatch(key.method)
            if row["error"] is not None:
                _raise_again(msgspec.json.decode(row["error"], type=ErrorShape))
            if row["result"] is not None:
                return msgspec.Raw(row["result"].encode())
            log.warning("rpc.repeated_after_crash", method=key.method, subject=key.subject)
        try:
            result = await work()
        except GatewayError as error:
            await self._remember_error(scope, key.key, error)
            raise
        encoded = msgspec.json.encode(result)
        if len(encoded) > MAX_ANSWER_BYTES:
            log.info("rpc.answer_not_kept", method=key.method, size_bytes=len(encoded))
        else:
            await self._store.write(_end, scope, key.key, encoded.decode(), None)
        return result

    async def _remember_error(self, scope: str, key: str, error: GatewayError) -> None:
        if error.details.get("outcome") == Outcome.NOT_STARTED:
            await self._store.write(_drop, scope, key)
            return
        encoded = msgspec.json.encode(error.shape()).decode()
        await self._store.write(_end, scope, key, None, encoded)

    async def _prune_sometimes(self, now: int) -> None:
        if now - self._pruned_at_ms >= PRUNE_EVERY_MS:
            self._pruned_at_ms = now
            await self._store.write(_prune, now, self._max_rows)


_BY_CODE: dict[str, type[GatewayError]] = {
    error.code.value: error
    for error in (AgentTimeout, Forbidden, InvalidRequest, NotPaired, Unavailable)
}


def _raise_again(shape: ErrorShape) -> NoReturn:
    raise _BY_CODE.get(shape.code, Unavailable)(
        shape.message,
        details=shape.details,
        retryable=shape.retryable,
        retry_after_ms=shape.retry_after_ms,
    )


def _interrupted(key: Key) -> Unavailable:
    return Unavailable(
        f"{key.method} was interrupted; repeat the request with the same key",
        retryable=True,
        outcome=Outcome.UNCERTAIN,
    )
