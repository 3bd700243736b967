"""A delivery that came back has failed, whatever was said before; others' are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from portico.channels.model import ChannelEvent, Peer, ReplyRoute
from portico.outbox import store as outbox_store
from portico.outbox.bounces import came_back
from portico.outbox.life import DeliveryState
from portico.store import Store

ROUTE = ReplyRoute("email", "default", Peer("direct", "ann@people.example"))


async def sent(store: Store) -> str:
    delivery_id = await store.write(
        outbox_store.enqueue, ROUTE, "hi", run_id=None, session_key=None, expires_at=9, now=1
    )
    (delivery,) = await store.write(outbox_store.claim, "me", count=1, lease_until=9, now=1)
    await store.write(outbox_store.settle, delivery, DeliveryState.SENT, now=1, receipt={})
    return delivery_id


@pytest.mark.parametrize(
    ("changes", "account", "state"),
    [
        ({}, "default", "failed"),
        ({"hasFailed": False}, "default", "sent"),
        ({"deliveryId": "dlv_other"}, "default", "sent"),
        ({}, "another", "sent"),
    ],
)
async def test_only_what_came_back_has_failed(
    store: Store, changes: dict[str, Any], account: str, state: str
) -> None:
    delivery_id = await sent(store)
    data = {"deliveryId": delivery_id, "hasFailed": True, "reason": "no such user"}
    event = ChannelEvent(event_key="b", kind="bounce", data={**data, **changes})
    await store.write(came_back, "email", account, event)
    found = await store.read(outbox_store.find, delivery_id)
    assert found is not None
    assert found.state.value == state
    assert (found.last_error == "no such user") == (state == "failed")


async def test_an_edit_does_nothing(store: Store) -> None:
    delivery_id = await sent(store)
    event = ChannelEvent(event_key="e", kind="edit", data={"deliveryId": delivery_id})
    await store.write(came_back, "email", "default", event)
    found = await store.read(outbox_store.find, delivery_id)
    assert found is not None
    assert found.state is DeliveryState.SENT
