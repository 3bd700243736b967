"""What the device book keeps, on every engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from portico.auth.bootstrap import PROFILES
from portico.auth.devices import DeviceChange, Devices
from portico.auth.pending import PendingLimits
from portico.auth.records import paired_record
from portico.auth.rows import PairingRow
from portico.auth.tokens import hash_token
from portico.protocol.connect import ConnectParams
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.store import Store, open_store
from tests.fakes.clock import FakeClock
from tests.fakes.control_plane import connect_params

pytestmark = pytest.mark.anyio


class Book:
    def __init__(self, store: Store, limits: PendingLimits | None = None) -> None:
        self.clock = FakeClock()
        self.events: list[tuple[str, Any]] = []
        self.changes: list[DeviceChange] = []
        self.devices = Devices(
            store,
            self.clock,
            lambda name, payload: self.events.append((name, payload)),
            secret="s",
            limits=limits,
        )
        self.devices.listen(self._heard)

    async def _heard(self, change: DeviceChange) -> None:
        self.changes.append(change)

    def wish(self, device_id: str = "d", *, role: str = "operator", scopes: Any = ()) -> PairingRow:
        device = {"id": device_id, "publicKey": "k", "signature": "s", "signedAt": 1, "nonce": "n"}
        raw = connect_params(role=role, device=device)
        raw["client"] |= {"displayName": "Laptop", "deviceFamily": "Linux"}
        params = msgspec.convert(raw, ConnectParams)
        return self.devices.wish(params, "k", tuple(scopes), "not-paired", remote_ip="192.0.2.1")


@pytest.fixture
def book(store: Store) -> Book:
    return Book(store)


async def test_request_is_refreshed_not_doubled(book: Book):
    first = await book.devices.request(book.wish(scopes=["operator.read", "operator.write"]))
    book.clock.advance(1000)
    second = await book.devices.request(book.wish(scopes=["operator.read"]))
    assert second.request_id == first.request_id
    assert second.scopes == first.scopes  # what its owner sees is what it asks for
    assert second.created_at == first.created_at
    assert second.expires_at == first.expires_at + 1000
    assert await book.devices.list_pending() == [second]
    other_role = await book.devices.request(book.wish(role="node"))
    assert len(await book.devices.list_pending()) == 2
    assert other_role.request_id != first.request_id
    record = book.events[0][1]
    assert record["displayName"] == "Laptop"
    assert record["remoteIp"] == "192.0.2.1"
    assert record["isRepair"] is False


async def test_asking_for_more_is_another_request(book: Book):
    first = await book.devices.request(book.wish(scopes=["operator.read"]))
    second = await book.devices.request(book.wish(scopes=["operator.admin"]))
    assert second.request_id != first.request_id
    assert second.scopes == ("operator.read", "operator.admin")
    assert await book.devices.list_pending() == [second]
    assert [name for name, _ in book.events] == [
        *("device.pair.requested", "device.pair.resolved", "device.pair.requested")
    ]
    assert book.events[1][1]["decision"] == "rejected"
    with pytest.raises(InvalidRequest, match="unknown requestId"):
        await book.devices.approve(first.request_id)  # nobody approves what they have not seen


async def test_requests_are_bounded(store: Store):
    book = Book(store, PendingLimits(in_all=5, from_one_address=3))
    for number in range(3):
        await book.devices.request(book.wish(f"flood{number}"))
    with pytest.raises(Unavailable) as refused:
        await book.devices.request(book.wish("flood3"))
    assert refused.value.retryable
    assert (await book.devices.request(book.wish("flood0"))).device_id == "flood0"  # refreshed
    for number in (4, 5):
        await book.devices.request(replace(book.wish(f"x{number}"), remote_ip=f"192.0.2.{number}"))
    with pytest.raises(Unavailable):
        await book.devices.request(replace(book.wish("x6"), remote_ip="192.0.2.6"))
    book.clock.advance(PendingLimits().ttl_ms)
    await book.devices.request(replace(book.wish("x6"), remote_ip="192.0.2.6"))
    assert [request.device_id for request in await book.devices.list_pending()] == ["x6"]


async def test_requests_nobody_answered_are_forgotten(book: Book):
    await book.devices.request(book.wish())
    book.clock.advance(PendingLimits().ttl_ms)
    await book.devices.forget()
    assert await book.devices.list_pending() == []


async def test_request_expires(book: Book):
    request = await book.devices.request(book.wish())
    book.clock.advance(PendingLimits().ttl_ms)
    assert await book.devices.list_pending() == []
    with pytest.raises(InvalidRequest, match="unknown requestId"):
        await book.devices.approve(request.request_id)
    again = await book.devices.request(book.wish())
    assert again.request_id != request.request_id


async def test_approval_ends_the_request_and_tells(book: Book):
    request = await book.devices.request(book.wish(scopes=["operator.read"]))
    known = await book.devices.approve(request.request_id)
    assert known.device.display_name == "Laptop"
    assert known.device.approved_via == "owner"
    assert known.tokens[0].scopes == ("operator.read",)
    assert await book.devices.list_pending() == []
    name, payload = book.events[-1]
    assert name == "device.pair.resolved"
    assert payload["decision"] == "approved"
    with pytest.raises(InvalidRequest):
        await book.devices.approve(request.request_id)


async def test_second_approval_adds_to_what_the_device_may_do(book: Book):
    await book.devices.let_in(book.wish(scopes=["operator.read"]), via="silent")
    book.clock.advance(1000)
    await book.devices.let_in(book.wish(scopes=["operator.write"]), via="silent")
    await book.devices.let_in(book.wish(role="node"), via="silent")
    (known,) = await book.devices.list_approved()
    assert {t.role: t.scopes for t in known.tokens} == {
        "operator": ("operator.read", "operator.write"),
        "node": (),
    }
    record = paired_record(known, connected=True)
    assert record["roles"] == ["node", "operator"]
    assert record["scopes"] == ["operator.read", "operator.write"]
    assert "token_hash" not in str(record)


async def test_token_is_kept_as_a_hash_and_can_be_handed_out_again(book: Book):
    issued = await book.devices.let_in(book.wish(), via="silent")
    known = await book.devices.find("d")
    assert known is not None
    assert known.tokens[0].token_hash == hash_token(issued.token)
    assert await book.devices.reissue(known.tokens[0]) == issued


async def test_rotation_and_revocation(book: Book):
    issued = await book.devices.let_in(book.wish(scopes=["operator.read"]), via="silent")
    rotated = await book.devices.rotate("d", "operator")
    assert rotated is not None
    assert rotated.token != issued.token
    assert rotated.scopes == ("operator.read",)
    assert await book.devices.rotate("d", "node") is None
    assert await book.devices.rotate("unknown", "operator") is None
    assert await book.devices.revoke("d", "operator")
    assert not await book.devices.revoke("d", "operator")
    known = await book.devices.find("d")
    assert known is not None
    assert known.token("operator") is None
    assert await book.devices.rotate("d", "operator") is None
    await book.devices.let_in(book.wish(), via="owner")  # approved anew
    known = await book.devices.find("d")
    assert known is not None
    assert known.token("operator") is not None


async def test_renaming_seeing_and_removing(book: Book):
    await book.devices.let_in(book.wish(), via="silent")
    assert await book.devices.rename("d", "Desk")
    assert not await book.devices.rename("x", "Desk")
    known = await book.devices.find("d")
    assert known is not None
    book.clock.advance(60_000)
    await book.devices.seen(known, "operator")
    known = await book.devices.find("d")
    assert known is not None
    assert known.device.display_name == "Laptop"
    assert known.device.shown_name == "Desk"
    assert known.device.last_seen_at == book.clock.now_ms()
    assert known.tokens[0].last_used_at == book.clock.now_ms()
    await book.devices.request(book.wish())
    assert await book.devices.remove("d")
    assert not await book.devices.remove("d")
    assert await book.devices.find("d") is None
    assert await book.devices.list_pending() == []


@pytest.fixture
async def two_books(database_url: str) -> AsyncIterator[tuple[Book, Book]]:
    """Two processes on one database."""
    async with AsyncExitStack() as stack:
        books = []
        for _ in range(2):
            store = open_store(database_url)
            await store.start()
            stack.push_async_callback(store.stop)
            books.append(Book(store))
        yield books[0], books[1]


async def test_two_processes_answer_a_request_once(two_books: tuple[Book, Book]):
    one, other = two_books
    for _ in range(5):
        request = await one.devices.request(one.wish(scopes=["operator.read"]))
        answers = await asyncio.gather(
            one.devices.approve(request.request_id),
            other.devices.reject(request.request_id),
            other.devices.approve(request.request_id),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, InvalidRequest) for answer in answers) == 2
        told = one.changes + other.changes
        assert sum(change.request_id == request.request_id for change in told) == 1
        await one.devices.remove("d")


async def test_two_processes_use_a_setup_code_once(two_books: tuple[Book, Book]):
    for _ in range(5):
        issued = await two_books[0].devices.bootstrap.issue(PROFILES["node"])
        comers = [
            book.devices.redeem(issued.token, book.wish(f"d{number}", role="node"))
            for number in range(3)
            for book in two_books
        ]
        redeemed = [one for one in await asyncio.gather(*comers) if one is not None]
        assert len({one.row.device_id for one in redeemed}) == 1
        (known,) = await two_books[1].devices.list_approved()
        assert known.device.device_id == redeemed[0].row.device_id
        await two_books[0].devices.bootstrap.settle(issued.setup_id, delivered=True)
        wish = two_books[0].wish(known.device.device_id, role="node")
        assert await two_books[0].devices.redeem(issued.token, wish) is None
        assert await two_books[1].devices.remove(known.device.device_id)


async def test_two_processes_give_scopes_and_lose_none(two_books: tuple[Book, Book]):
    one, other = two_books
    await one.devices.let_in(one.wish(scopes=["operator.read"]), via="silent")
    await asyncio.gather(
        one.devices.let_in(one.wish(scopes=["operator.write"]), via="silent"),
        other.devices.let_in(other.wish(scopes=["operator.pairing"]), via="silent"),
    )
    known = await one.devices.find("d")
    assert known is not None
    assert set(known.tokens[0].scopes) == {"operator.read", "operator.write", "operator.pairing"}
