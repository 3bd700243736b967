"""The browsers that are notified, and telling them.

Theory of operation: events of the gateway become notices (notices.py); each browser that wants one
is sent a sealed message of its own. Best effort: what a push service does not take is not kept, and
a browser its service no longer knows is forgotten.

Guarantees: at most so many browsers; at most `MAX_WAITING` notices wait, later ones are left out;
`AT_ONCE` messages at a time. Without the libraries of the extra `push` nothing but an explanation.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from portico.clock import Clock
from portico.push.model import (
    DevicePreferences,
    Notice,
    Preferences,
    Subscription,
    effective,
    wants,
)
from portico.push.sender import PushSender, Sent, Urgency
from portico.store import Store, Work, documents
from portico.tasks import Tasks

if TYPE_CHECKING:
    from portico.push.sealing import Keys

log = structlog.get_logger()

OWNER = "push/subscriptions"
COMMON = "push"
AT_ONCE = 4
MAX_WAITING = 100
MAX_TEXT = 240
IsKnownDevice = Callable[[str], Awaitable[bool]]


class PushUnavailable(Exception):
    """Nothing can be pushed; the text says why."""


class TooManySubscriptions(Exception):
    """There may not be so many browsers."""


class UnknownSubscription(LookupError):
    """No browser has that endpoint."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message to one browser."""

    subscription_id: str
    sent: Sent


class Push:
    """Notifies browsers.

    Args:
        is_known_device: whether a device may still come in.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        tasks: Tasks,
        sender: PushSender,
        key_file: Path,
        most: int,
        is_known_device: IsKnownDevice,
    ) -> None:
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._sender = sender
        self._key_file = key_file
        self._most = most
        self._is_known_device = is_known_device
        self._keys: Keys | None = None
        self._loading = asyncio.Lock()
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def keys(self) -> Keys:
        """Return our key pair.

        Raises:
            PushUnavailable: a library is missing, or the file cannot be used.
        """
        async with self._loading:
            if self._keys is None:
                self._keys = await asyncio.to_thread(_load, self._key_file)
            return self._keys

    async def subscribe(
        self, endpoint: str, *, p256dh: str, auth: str, device_id: str | None
    ) -> Subscription:
        """Notify a browser from now on.

        Raises:
            PushUnavailable: nothing can be pushed.
            ValueError: its keys are none.
            TooManySubscriptions: of them.
        """
        await self.keys()
        from portico.push.sealing import check_keys

        check_keys(p256dh=p256dh, auth=auth)
        made = Subscription(
            subscription_id=name_of(endpoint)[:32],
            endpoint=endpoint,
            p256dh=p256dh,
            auth=auth,
            created_at=self._clock.now_ms(),
            device_id=device_id,
        )
        return await self._store.write(_put, made, most=self._most)

    async def unsubscribe(self, endpoint: str) -> bool:
        """Notify a browser no longer; `False`: it was not."""
        return await self._store.write(documents.remove, OWNER, name_of(endpoint))

    async def find(self, endpoint: str) -> Subscription:
        """Return a browser.

        Raises:
            UnknownSubscription: it is not notified.
        """
        found = await self._store.read(documents.find, OWNER, name_of(endpoint))
        if found is None:
            raise UnknownSubscription
        return msgspec.convert(found, Subscription)

    async def all(self) -> list[Subscription]:
        """Return every browser."""
        found = await self._store.read(documents.list_of, OWNER)
        return [msgspec.convert(one, Subscription) for one in found.values()]

    async def preferences(self) -> Preferences:
        """Return what holds for all browsers."""
        found = await self._store.read(documents.find, COMMON, "preferences")
        return Preferences() if found is None else msgspec.convert(found, Preferences)

    async def prefer(self, preferences: Preferences) -> None:
        """Let something hold for all browsers."""
        kept = msgspec.to_builtins(preferences)
        now = self._clock.now_ms()
        await self._store.write(documents.put, COMMON, "preferences", kept, now=now)

    async def prefer_on(self, endpoint: str, preferences: DevicePreferences) -> None:
        """Let something hold for one browser.

        Raises:
            UnknownSubscription: it is not notified.
        """
        changed = msgspec.structs.replace(await self.find(endpoint), preferences=preferences)
        await self._store.write(_put, changed, most=self._most)

    def notify(self, notice: Notice) -> None:
        """Tell the browsers that want to hear of something; returns at once."""
        if self._waiting >= MAX_WAITING:
            log.warning("push.left_out", topic=notice.topic)
            return
        self._waiting += 1
        self._tasks.start(self._tell(notice), name=f"push:{notice.topic}")

    async def send_all(self, *, title: str, body: str) -> list[Outcome]:
        """Send something to every browser, whatever it prefers.

        Raises:
            PushUnavailable: nothing can be pushed.
        """
        message = msgspec.json.encode({"title": title, "body": body, "tag": "test"})
        return await self._send(await self._living(), lambda _one: message, "normal")

    async def _tell(self, notice: Notice) -> None:
        try:
            common, now_ms = await self.preferences(), self._clock.now_ms()
            found = [
                one
                for one in await self._living()
                if wants(common, one.preferences, notice, now_ms=now_ms)
            ]
            urgency: Urgency = "high" if notice.topic == "approval_requested" else "normal"
            await self._send(found, lambda one: _message(notice, common, one), urgency)
        except PushUnavailable as error:
            log.warning("push.unavailable", reason=str(error))
        finally:
            self._waiting -= 1

    async def _living(self) -> list[Subscription]:
        """Return the browsers; those of devices that may not come in any more are forgotten."""
        living = []
        for one in await self.all():
            if one.device_id is None or await self._is_known_device(one.device_id):
                living.append(one)
            else:
                await self.unsubscribe(one.endpoint)
        return living

    async def _send(
        self,
        to: Sequence[Subscription],
        message: Callable[[Subscription], bytes],
        urgency: Urgency,
    ) -> list[Outcome]:
        if not to:
            return []
        keys = await self.keys()

        async def one(subscription: Subscription) -> Outcome:
            async with self._at_once:
                sent = await self._sender.send(
                    subscription, message(subscription), keys, urgency=urgency
                )
            if sent.gone:
                await self.unsubscribe(subscription.endpoint)
            if not sent.ok:
                log.info("push.failed", status=sent.status, reason=sent.reason)
            return Outcome(subscription.subscription_id, sent)

        return list(await asyncio.gather(*map(one, to)))


def name_of(endpoint: str) -> str:
    """Return what an endpoint is kept under: it is a secret itself."""
    return hashlib.sha256(endpoint.encode()).hexdigest()


def _load(file: Path) -> Keys:
    try:
        from portico.push.sealing import load_keys
    except ModuleNotFoundError as error:
        raise PushUnavailable(
            f"push needs a package that is not installed ({error.name}): "
            "pip install 'portico[push]'"
        ) from None
    try:
        return load_keys(file)
    except (OSError, ValueError) as error:
        raise PushUnavailable(f"the push key cannot be used: {error}") from None


def _put(subscription: Subscription, *, most: int) -> Work[Subscription]:
    name = name_of(subscription.endpoint)
    known = yield from documents.find(OWNER, name)
    if known is None and (yield from documents.count_of(OWNER)) >= most:
        raise TooManySubscriptions
    kept: Any = msgspec.to_builtins(subscription)
    yield from documents.put(OWNER, name, kept, now=subscription.created_at)
    return subscription


def _message(notice: Notice, common: Preferences, to: Subscription) -> bytes:
    """Return what a browser shows: no more than its person wants on a locked screen."""
    detail = effective(common, to.preferences).detail_level
    shown: dict[str, Any] = {"title": notice.title, "body": notice.body, "tag": notice.tag}
    if detail != "private":
        if notice.subject:
            shown["title"] = f"{notice.title}: {notice.subject}"[:MAX_TEXT]
        shown |= {"sessionKey": notice.session_key, "agentId": notice.agent_id}
    if detail == "detailed" and notice.text:
        shown["body"] = notice.text[:MAX_TEXT]
    return msgspec.json.encode({name: value for name, value in shown.items() if value})
