"""The kernel: who is calling, and who is here."""

from __future__ import annotations

import asyncio

from portico.auth.service import Authenticator
from portico.events.presence import Presence, StateVersion
from portico.rpc.idempotency import StoredIdempotency
from portico.wiring.devices import build_device_book
from portico.wiring.ground import Ground
from portico.wiring.settings import auth_settings, self_presence, whois


class Kernel:
    """What is asked of everybody who comes in."""

    def __init__(self, ground: Ground) -> None:
        config, clock = ground.config, ground.clock
        self.auth_settings = auth_settings(config, ground.loaded.paths)
        self.state_version = StateVersion()
        self.presence = Presence(
            hub_publish=ground.hub.publish,
            clock=clock,
            state_version=self.state_version,
            self_entry=self_presence(ground.boot_id, ground.started_ms),
            later=lambda delay_s, call: asyncio.get_running_loop().call_later(delay_s, call),
        )
        self.devices = build_device_book(
            config,
            store=ground.store,
            clock=clock,
            hub=ground.hub,
            secret=self.auth_settings.secret,
        )
        self.authenticator = Authenticator(
            self.auth_settings,
            self.devices,
            clock,
            whois=whois(config, ground.env, clock),
        )
        self.idempotency = StoredIdempotency(
            ground.store, clock, ttl_ms=config.gateway.limits.dedupe_ttl_ms
        )
