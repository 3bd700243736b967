"""`audit.changes.list`, with a real record."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from portico.audit.service import Audit
from portico.protocol.errors import GatewayError
from portico.rpc.call import Call
from portico.rpc.dispatch import Dispatcher
from portico.rpc.idempotency import StoredIdempotency
from portico.rpc.method import Registry
from portico.settings.rpc_audit import AuditMethods
from portico.store import Store
from tests.fakes.clock import FakeClock
from tests.support.house import principal


async def ask(store: Store, audit: Audit, **params: Any) -> Any:
    registry, clock = Registry(), FakeClock()
    registry.add(AuditMethods(audit))
    dispatcher = Dispatcher(registry, StoredIdempotency(store, clock, ttl_ms=1000), clock)
    call = Call(principal("operator.read"))
    result = await dispatcher.request("audit.changes.list", msgspec.json.encode(params), call)
    return msgspec.json.decode(msgspec.json.encode(result))


async def test_pages(sqlite_store: Store) -> None:
    audit = Audit(sqlite_store, clock=FakeClock())
    for number in range(3):
        await audit.record("config.set", actor="ann", target=str(number), details={"n": number})
    first = await ask(sqlite_store, audit, limit=2)
    assert [one["target"] for one in first["changes"]] == ["2", "1"]
    assert first["changes"][0]["details"] == {"n": 2}
    rest = await ask(sqlite_store, audit, limit=2, cursor=first["nextCursor"])
    assert [one["target"] for one in rest["changes"]] == ["0"]
    assert "nextCursor" not in rest
    assert (await ask(sqlite_store, audit, actor="bob")) == {"changes": []}


@pytest.mark.parametrize("params", [{"limit": 0}, {"cursor": "x"}, {"action": ""}, {"odd": 1}])
async def test_what_is_refused(sqlite_store: Store, params: dict[str, Any]) -> None:
    with pytest.raises(GatewayError, match=r"audit\.changes\.list params"):
        await ask(sqlite_store, Audit(sqlite_store, clock=FakeClock()), **params)
