"""RPC methods of voice: wake words, their routes, and whether somebody talks.

Source: OpenClaw gateway protocol, "talk.mode", "voicewake.*".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from portico.audit.service import Audit
from portico.clock import Clock
from portico.events.hub import Hub
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.store import Store, documents
from portico.talk.wake import NoRoute, routing_of, words_of

OWNER = "voicewake"
WEBCHAT = "webchat"
Word = Annotated[str, msgspec.Meta(max_length=1000)]


class TalkMode(Params, frozen=True, kw_only=True):
    """`{enabled, phase?}`."""

    enabled: bool
    phase: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class TalkModeSet(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Whether somebody talks now."""

    enabled: bool
    phase: str | None
    ts: int


class WakeSet(Params, frozen=True):
    """`{triggers}`."""

    triggers: Annotated[list[Word], msgspec.Meta(max_length=1000)]


class WakeWords(Result, frozen=True, omit_defaults=False):
    """The words that wake an agent."""

    triggers: list[str]


class RoutingSet(Params, frozen=True):
    """`{config}`."""

    config: dict[str, Any]


class Routing(Result, frozen=True, omit_defaults=False):
    """Where what is said after which word goes."""

    config: dict[str, Any]


class TalkMethods:
    """`talk.mode` and `voicewake.*`.

    Args:
        has_voice: whether a node that can talk is connected.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        hub: Hub,
        audit: Audit,
        has_voice: Callable[[], bool],
    ) -> None:
        self._store = store
        self._clock = clock
        self._hub = hub
        self._audit = audit
        self._has_voice = has_voice

    @method("talk.mode", scope=Scope.TALK)
    def mode(self, call: Call, params: TalkMode) -> TalkModeSet:
        """Tell every client that somebody talks to an agent now, or does no longer."""
        if call.principal.client_mode == WEBCHAT and not self._has_voice():
            raise Unavailable("talk disabled: no connected Talk-capable nodes")
        told = TalkModeSet(enabled=params.enabled, phase=params.phase, ts=self._clock.now_ms())
        self._hub.publish("talk.mode", msgspec.to_builtins(told))
        return told

    @method("voicewake.get", scope=Scope.READ)
    async def get(self, call: Call, params: Empty) -> WakeWords:
        """List the words that wake an agent."""
        kept = await self._store.read(documents.find, OWNER, "triggers")
        return WakeWords(words_of(kept or ()))

    @method("voicewake.set", scope=Scope.WRITE)
    async def set(self, call: Call, params: WakeSet) -> WakeWords:
        """Choose the words that wake an agent; an empty list brings the usual ones back."""
        words = words_of(params.triggers)
        await self._keep("triggers", words)
        self._hub.publish("voicewake.changed", {"triggers": words})
        await self._audit.record("voicewake.set", actor=call.principal.subject)
        return WakeWords(words)

    @method("voicewake.routing.get", scope=Scope.READ)
    async def routing(self, call: Call, params: Empty) -> Routing:
        """Show where what is said after each wake word goes."""
        kept = await self._store.read(documents.find, OWNER, "routing")
        return Routing(kept or routing_of({}, now_ms=0))

    @method("voicewake.routing.set", scope=Scope.WRITE)
    async def set_routing(self, call: Call, params: RoutingSet) -> Routing:
        """Choose where what is said after each wake word goes."""
        try:
            config = routing_of(params.config, now_ms=self._clock.now_ms())
        except NoRoute as error:
            raise InvalidRequest(
                f"invalid voicewake.routing.set params: at /config: {error}"
            ) from None
        await self._keep("routing", config)
        self._hub.publish("voicewake.routing.changed", {"config": config})
        await self._audit.record("voicewake.routing.set", actor=call.principal.subject)
        return Routing(config)

    async def greeting(self) -> list[tuple[str, Any]]:
        """Return the events a node is told when it has connected: what it listens for."""
        words = await self._store.read(documents.find, OWNER, "triggers")
        kept = await self._store.read(documents.find, OWNER, "routing")
        return [
            ("voicewake.changed", {"triggers": words_of(words or ())}),
            ("voicewake.routing.changed", {"config": kept or routing_of({}, now_ms=0)}),
        ]

    async def _keep(self, name: str, value: Any) -> None:
        await self._store.write(documents.put, OWNER, name, value, now=self._clock.now_ms())
