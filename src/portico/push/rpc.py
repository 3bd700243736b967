"""RPC methods of notifications in browsers.

Source: OpenClaw gateway protocol, "push.web.*".
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from portico.audit.service import Audit
from portico.fetch import FetchRefused, check_url
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.push.model import DevicePreferences, Preferences, effective, zone
from portico.push.service import (
    Outcome,
    Push,
    PushUnavailable,
    TooManySubscriptions,
    UnknownSubscription,
)
from portico.rpc.call import Call
from portico.rpc.method import method

Endpoint = Annotated[str, msgspec.Meta(min_length=1, max_length=2048, pattern="^https://")]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class BrowserKeys(Params, frozen=True):
    """`{p256dh, auth}`."""

    p256dh: Key
    auth: Key


class Subscribe(Params, frozen=True):
    """`{endpoint, keys}`, as a browser gives them."""

    endpoint: Endpoint
    keys: BrowserKeys


class Named(Params, frozen=True):
    """`{endpoint}`."""

    endpoint: Endpoint


class Test(Params, frozen=True, kw_only=True):
    """`{title?, body?}`."""

    title: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    body: Annotated[str, msgspec.Meta(max_length=1000)] | None = None


class Prefer(Params, frozen=True, kw_only=True):
    """`{endpoint, scope, preferences}`."""

    endpoint: Endpoint
    scope: Annotated[str, msgspec.Meta(pattern="^(user|device)$")]
    preferences: dict[str, Any]


class PublicKey(Result, frozen=True, omit_defaults=False):
    """What a browser subscribes with."""

    vapid_public_key: str


class Subscribed(Result, frozen=True, omit_defaults=False):
    """Under what a browser is known."""

    subscription_id: str


class Removed(Result, frozen=True, omit_defaults=False):
    """Whether it was notified before."""

    removed: bool


class Tried(Result, frozen=True, kw_only=True):
    """What became of a message to one browser."""

    subscription_id: str
    ok: bool = msgspec.field()
    status_code: int | None = None
    reason: str | None = None


class Tested(Result, frozen=True, omit_defaults=False):
    """The same for each."""

    results: list[Tried]


class Preferred(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What holds for all browsers, for this one, and together."""

    durable_identity: bool
    user: Preferences
    device: DevicePreferences
    effective: Preferences


class PushMethods:
    """`push.web.*`."""

    def __init__(self, push: Push, audit: Audit) -> None:
        self._push = push
        self._audit = audit

    @method("push.web.vapidPublicKey", scope=Scope.WRITE, advertised=False)
    async def public_key(self, call: Call, params: Empty) -> PublicKey:
        """Return the key a browser subscribes with."""
        try:
            return PublicKey((await self._push.keys()).public)
        except PushUnavailable as error:
            raise Unavailable(str(error), retryable=False) from None

    @method("push.web.subscribe", scope=Scope.WRITE, advertised=False)
    async def subscribe(self, call: Call, params: Subscribe) -> Subscribed:
        """Notify a browser from now on."""
        try:
            check_url(params.endpoint)
            made = await self._push.subscribe(
                params.endpoint,
                p256dh=params.keys.p256dh,
                auth=params.keys.auth,
                device_id=call.principal.device_id,
            )
        except PushUnavailable as error:
            raise Unavailable(str(error), retryable=False) from None
        except (FetchRefused, ValueError) as error:
            raise InvalidRequest(f"invalid push.web.subscribe params: {error}") from None
        except TooManySubscriptions:
            raise InvalidRequest("too many browsers are notified; remove one first") from None
        await self._record(call, "push.subscribed", made.subscription_id)
        return Subscribed(made.subscription_id)

    @method("push.web.unsubscribe", scope=Scope.WRITE, advertised=False)
    async def unsubscribe(self, call: Call, params: Named) -> Removed:
        """Notify a browser no longer."""
        removed = await self._push.unsubscribe(params.endpoint)
        if removed:
            await self._record(call, "push.unsubscribed", None)
        return Removed(removed)

    @method("push.web.test", scope=Scope.WRITE, advertised=False, throttled=True)
    async def test(self, call: Call, params: Test) -> Tested:
        """Send a notification to every browser, to see whether it comes."""
        try:
            outcomes = await self._push.send_all(
                title=params.title or "Portico", body=params.body or "Notifications work."
            )
        except PushUnavailable as error:
            raise Unavailable(str(error), retryable=False) from None
        if not outcomes:
            raise InvalidRequest("no web push subscriptions registered")
        results = [_tried(one) for one in outcomes]
        if not any(one.ok for one in results):
            raise Unavailable(
                "all web push deliveries failed",
                details={"results": msgspec.to_builtins(results)},
                retryable=False,
            )
        return Tested(results)

    @method("push.web.preferences.get", scope=Scope.READ)
    async def preferences(self, call: Call, params: Named) -> Preferred:
        """Show what a browser is notified of, and how much is said."""
        try:
            own = (await self._push.find(params.endpoint)).preferences
        except UnknownSubscription:
            raise _unknown() from None
        common = await self._push.preferences()
        return Preferred(
            durable_identity=True, user=common, device=own, effective=effective(common, own)
        )

    @method("push.web.preferences.set", scope=Scope.WRITE)
    async def prefer(self, call: Call, params: Prefer) -> dict[str, Any]:
        """Choose what browsers are notified of: all of them (`user`), or one (`device`)."""
        chosen: Preferences | DevicePreferences
        try:
            await self._push.find(params.endpoint)
            if params.scope == "user":
                chosen = msgspec.convert(params.preferences, Preferences)
                _check_zone(chosen)
                await self._push.prefer(chosen)
            else:
                chosen = msgspec.convert(params.preferences, DevicePreferences)
                _check_zone(chosen)
                await self._push.prefer_on(params.endpoint, chosen)
        except UnknownSubscription:
            raise _unknown() from None
        except ValueError as error:  # msgspec's too
            raise InvalidRequest(
                f"invalid push.web.preferences.set params: at /preferences: {error}"
            ) from None
        return {"scope": params.scope, "preferences": chosen}

    async def _record(self, call: Call, action: str, target: str | None) -> None:
        await self._audit.record(action, actor=call.principal.subject, target=target)


def _tried(outcome: Outcome) -> Tried:
    return Tried(
        subscription_id=outcome.subscription_id,
        ok=outcome.sent.ok,
        status_code=outcome.sent.status,
        reason=outcome.sent.reason,
    )


def _check_zone(preferences: Preferences | DevicePreferences) -> None:
    if preferences.quiet_hours is not None:
        zone(preferences.quiet_hours.time_zone)


def _unknown() -> InvalidRequest:
    return InvalidRequest("this browser is not subscribed")
