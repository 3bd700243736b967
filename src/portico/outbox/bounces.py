"""What a provider took and gave back later: the delivery has failed after all."""

from __future__ import annotations

from portico.channels.model import ChannelEvent
from portico.outbox import store as outbox_store
from portico.store import Work


def came_back(channel: str, account: str, event: ChannelEvent) -> Work[None]:
    """Mark the delivery that a channel's event says has come back; other events do nothing."""
    delivery_id = event.data.get("deliveryId")
    if event.kind == "bounce" and event.data.get("hasFailed") is True and delivery_id:
        why = str(event.data.get("reason", "it came back"))
        yield from outbox_store.bounce(str(delivery_id), channel, account, why=why)
