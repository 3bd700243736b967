"""Notifications in browsers, constructed and connected to the events they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico.push.notices import Notices, elsewhere
from portico.push.sender import PushSender
from portico.push.service import Push

if TYPE_CHECKING:
    from portico.auth.devices import Devices
    from portico.channels.registry import ChannelRegistry
    from portico.clock import Clock
    from portico.config import LoadedConfig
    from portico.events.hub import Hub
    from portico.store import Store
    from portico.tasks import Tasks


def build_push(
    loaded: LoadedConfig,
    *,
    clock: Clock,
    devices: Devices,
    hub: Hub,
    senders: ChannelRegistry,
    store: Store,
    tasks: Tasks,
) -> Push:
    """Construct the room, and let it hear what is worth a notification."""
    settings = loaded.require().gateway.push

    async def is_known(device_id: str) -> bool:
        return await devices.find(device_id) is not None

    push = Push(
        store=store,
        clock=clock,
        tasks=tasks,
        sender=PushSender(clock=clock, contact=settings.contact, ttl_s=settings.ttl_seconds),
        key_file=loaded.paths.state_dir / "push" / "vapid.pem",
        most=settings.max_subscriptions,
        is_known_device=is_known,
    )
    Notices(hub, is_elsewhere=elsewhere(senders.is_known), send=push.notify).begin()
    return push
