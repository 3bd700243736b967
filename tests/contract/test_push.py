"""Notifications, through a push service that checks and opens them."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from http_ece import ECEException  # type: ignore[import-untyped]  # it has no types

from portico.events.hub import Hub
from portico.push.model import DevicePreferences, Notice, Preferences, QuietHours, SomeCategories
from portico.push.notices import Notices, elsewhere
from portico.push.sender import PushSender
from portico.push.service import Push, TooManySubscriptions, UnknownSubscription
from portico.store import Store, open_store
from portico.tasks import Tasks
from tests.fakes.clock import FakeClock
from tests.fakes.push_service import Browser, PushService
from tests.support.waiting import eventually

APPROVAL = Notice(
    topic="approval_requested",
    title="An approval is needed",
    body="An agent asks.",
    subject="main",
    text="rm -rf build",
    agent_id="main",
    session_key="agent:main:main",
    tag="approval:1",
)


@dataclass
class Office:
    push: Push
    service: PushService
    clock: FakeClock
    hub: Hub
    key_file: Path
    tasks: Tasks
    store: Store
    failures: list[BaseException]
    gone_devices: set[str] = field(default_factory=set)

    async def subscribe(self, name: str = "a", device_id: str | None = None) -> Browser:
        browser = self.service.browser(name)
        await self.push.subscribe(browser.endpoint, device_id=device_id, **browser.keys)
        return browser

    async def told(self, browser: Browser, notice: Notice = APPROVAL) -> Any:
        """Notify, wait until it is done, and return what the browser shows; `None`: nothing."""
        before = len(self.service.taken)
        self.push.notify(notice)
        await eventually(lambda: len(self.tasks) == 0)
        path = browser.endpoint.removeprefix(self.service.origin)
        new = [one for one in self.service.taken[before:] if one.path == path]
        return browser.open(new[-1].body) if new else None


@asynccontextmanager
async def office(folder: Path, url: str) -> AsyncIterator[Office]:
    failures: list[BaseException] = []
    tasks = Tasks(lambda _name, error: failures.append(error))
    store = open_store(url)
    await store.start()
    clock, gone = FakeClock(), set[str]()

    async def is_known(device_id: str) -> bool:
        return device_id not in gone

    async with PushService(folder / "tls") as service:
        key_file = folder / "push" / "vapid.pem"
        push = Push(
            store=store,
            clock=clock,
            tasks=tasks,
            sender=PushSender(
                clock=clock,
                contact="mailto:me@example.org",
                ttl_s=60,
                may_be_private=True,
                tls=service.tls,
            ),
            key_file=key_file,
            most=3,
            is_known_device=is_known,
        )
        hub = Hub(epoch="boot_test", window=10, window_bytes=1 << 20)
        yield Office(push, service, clock, hub, key_file, tasks, store, failures, gone)
    await tasks.stop()
    await store.stop()
    assert failures == []


@pytest.fixture
async def there(tmp_path: Path, database_url: str) -> AsyncIterator[Office]:
    async with office(tmp_path, database_url) as opened:
        yield opened


async def test_a_message_is_sealed_for_one_browser_and_signed_by_us(there: Office) -> None:
    browser = await there.subscribe()
    shown = await there.told(browser)
    assert shown == {
        "title": "An approval is needed: main",
        "body": "An agent asks.",
        "tag": "approval:1",
        "sessionKey": "agent:main:main",
        "agentId": "main",
    }
    taken = there.service.taken[0]
    assert b"approval" not in taken.body
    assert taken.headers["content-encoding"] == "aes128gcm"
    assert (taken.headers["ttl"], taken.headers["urgency"]) == ("60", "high")
    claims = taken.claims(there.service.origin)
    assert claims["sub"] == "mailto:me@example.org"
    assert 0 < claims["exp"] - there.clock.now_ms() // 1000 <= 86_400
    assert stat.S_IMODE(there.key_file.stat().st_mode) == 0o600
    other = there.service.browser("other")
    with pytest.raises(ECEException):
        other.open(taken.body)


async def test_the_key_pair_stays(there: Office) -> None:
    first = (await there.push.keys()).public
    there.push._keys = None
    assert (await there.push.keys()).public == first
    there.key_file.write_text("nonsense")
    there.push._keys = None
    with pytest.raises(Exception, match="push key cannot be used"):
        await there.push.keys()


@pytest.mark.parametrize(
    ("level", "title", "body"),
    [
        ("private", "An approval is needed", "An agent asks."),
        ("identified", "An approval is needed: main", "An agent asks."),
        ("detailed", "An approval is needed: main", "rm -rf build"),
    ],
)
async def test_as_much_is_said_as_is_wanted(
    there: Office, level: Any, title: str, body: str
) -> None:
    browser = await there.subscribe()
    await there.push.prefer(Preferences(detail_level=level))
    shown = await there.told(browser)
    assert (shown["title"], shown["body"]) == (title, body)


async def test_each_browser_is_told_what_it_wants(there: Office) -> None:
    one, two = await there.subscribe("one"), await there.subscribe("two")
    off = DevicePreferences(categories=SomeCategories(approval_requested=False))
    await there.push.prefer_on(one.endpoint, off)
    assert await there.told(one) is None
    assert await there.told(two) is not None
    await there.push.prefer_on(two.endpoint, DevicePreferences(enabled=False))
    assert await there.told(two) is None
    await there.push.prefer_on(two.endpoint, DevicePreferences(agent_ids=("another",)))
    assert await there.told(two) is None
    await there.push.prefer_on(two.endpoint, DevicePreferences(agent_ids=("main",)))
    assert await there.told(two) is not None


async def test_nothing_is_sent_in_quiet_hours(there: Office) -> None:
    browser = await there.subscribe()
    minute = there.clock.now_ms() // 60_000 % 1440
    quiet = QuietHours(enabled=True, start_minute=minute, end_minute=(minute + 1) % 1440)
    await there.push.prefer(Preferences(quiet_hours=quiet))
    assert await there.told(browser) is None
    there.clock.advance(60_000)
    assert await there.told(browser) is not None


@pytest.mark.parametrize("status", [404, 410])
async def test_a_browser_that_is_gone_is_forgotten(there: Office, status: int) -> None:
    browser, other = await there.subscribe("gone"), await there.subscribe("here")
    there.service.statuses["/push/gone"] = status
    await there.told(browser)
    with pytest.raises(UnknownSubscription):
        await there.push.find(browser.endpoint)
    assert (await there.push.find(other.endpoint)).endpoint == other.endpoint


async def test_a_service_that_is_busy_loses_nobody(there: Office) -> None:
    browser = await there.subscribe()
    there.service.status = 503
    results = await there.push.send_all(title="t", body="b")
    assert [(one.sent.ok, one.sent.status) for one in results] == [(False, 503)]
    assert (await there.push.find(browser.endpoint)).endpoint == browser.endpoint


async def test_a_device_that_was_removed_hears_nothing_more(there: Office) -> None:
    browser = await there.subscribe(device_id="phone")
    assert await there.told(browser) is not None
    there.gone_devices.add("phone")
    assert await there.told(browser) is None
    assert await there.push.all() == []


async def test_subscriptions_are_bounded_and_checked(there: Office) -> None:
    for name in ("a", "b", "c", "c"):
        await there.subscribe(name)
    with pytest.raises(TooManySubscriptions):
        await there.subscribe("d")
    with pytest.raises(ValueError, match="keys"):
        await there.push.subscribe("https://x.example", p256dh="AA", auth="AA", device_id=None)
    assert await there.push.unsubscribe(there.service.browser("a").endpoint)
    assert not await there.push.unsubscribe(there.service.browser("a").endpoint)


async def test_addresses_inside_our_network_are_refused(there: Office) -> None:
    there.push._sender._may_be_private = False
    await there.subscribe()
    results = await there.push.send_all(title="t", body="b")
    assert [one.sent.reason for one in results] == [
        "the url leads to an address that is not public"
    ]
    assert there.service.taken == []


async def test_events_become_notices(there: Office) -> None:
    sent: list[Notice] = []
    is_elsewhere = elsewhere({"telegram"}.__contains__)
    Notices(there.hub, is_elsewhere=is_elsewhere, send=sent.append).begin()
    message = {"role": "assistant", "content": [{"type": "text", "text": "Done."}]}
    final = {"state": "final", "agentId": "main", "message": message}
    for name, payload in (
        ("exec.approval.requested", {"id": "1", "request": {"command": "ls", "agentId": "main"}}),
        ("chat", {"sessionKey": "agent:main:main", **final}),
        ("chat", {"sessionKey": "agent:main:telegram:default:dm:7", **final}),
        ("chat", {"sessionKey": "agent:main:main", "state": "delta", "deltaText": "D"}),
        ("chat", {"sessionKey": "agent:main:main", "state": "final"}),
        ("cron", {"action": "finished", "status": "error", "jobId": "j", "error": "no"}),
        ("cron", {"action": "finished", "status": "ok", "jobId": "j"}),
        ("chat", "nonsense"),
    ):
        there.hub.publish(name, payload)
    assert [(one.topic, one.text) for one in sent] == [
        ("approval_requested", "ls"),
        ("agent_finished", "Done."),
        ("scheduled_task_failed", "no"),
    ]
