"""Files of messages: kept, referred to, forgotten; on both engines."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portico.agents.runtime import HistoryMessage, TurnRequest
from portico.channels.model import Attachment, InboundMessage, Peer
from portico.media.store import works
from portico.media.store.blobs import GRACE_S, Blobs
from portico.media.store.service import DAMAGED, FULL, TOO_LARGE, TOO_MANY, MediaLimits, MediaStore
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.sessions import transcript
from portico.store import Store, Work, open_store
from tests.support.clock import FakeClock
from tests.support.databases import sqlite_url

PNG = b"\x89PNG\r\n\x1a\n and so on"
DAY_S = 86_400
KEY = "agent:main:s"
LIMITS = MediaLimits(retention_s=DAY_S)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Shelf:
    """The store of files, and messages that come in."""

    store: Store
    folder: Path
    limits: MediaLimits = LIMITS
    clock: FakeClock = field(default_factory=FakeClock)
    count: int = 0

    def __post_init__(self) -> None:
        blobs = Blobs(self.folder / "media", clock=self.clock)
        self.files = MediaStore(blobs, store=self.store, clock=self.clock, limits=self.limits)

    async def keep(
        self, *files: Attachment, parts: tuple[dict[str, Any], ...] = (), must: bool = False
    ) -> InboundMessage:
        message, _ = await self.files.keep(said(files, parts), TurnRequest(text=""), must=must)
        return message

    async def commit(self, message: InboundMessage, *, key: str = KEY) -> None:
        self.count += 1
        now, message_id = self.clock.now_ms(), f"m{self.count}"

        def work() -> Work[None]:
            yield from self.files.refer(
                message, TurnRequest(text=""), message_id=message_id, session_key=key, now=now
            )

        await self.store.write(work)

    async def open(self, key: str = KEY) -> None:
        await self.store.write(
            transcript.open_session,
            key,
            agent_id="main",
            channel="fake",
            chat_type="direct",
            created_via="channel",
            now=self.clock.now_ms(),
        )

    async def take(self, content: bytes, *, key: str = KEY) -> str:
        message = await self.keep(Attachment.of(content))
        await self.commit(message, key=key)
        return message.attachments[0].sha256 or ""

    def on_disk(self) -> set[str]:
        return {path.name for path in (self.folder / "media").glob("??/*")}


def said(files: tuple[Attachment, ...], parts: tuple[dict[str, Any], ...] = ()) -> InboundMessage:
    return InboundMessage(
        channel="fake",
        account="default",
        event_key="e",
        peer=Peer("direct", "ann"),
        sender="ann",
        text="look",
        attachments=files,
        parts=parts,
    )


@pytest.fixture
async def shelf(store: Store, tmp_path: Path) -> Shelf:
    shelf = Shelf(store, tmp_path)
    await shelf.open()
    return shelf


async def test_bytes_become_a_name(shelf: Shelf) -> None:
    content = base64.b64encode(PNG).decode()
    message = await shelf.keep(
        Attachment.of(PNG, mime_type="text/html", file_name="../../a.html"),
        Attachment(type="image", mime_type="image/png", content=content),
        Attachment(type="file", url="https://x.test/y", file_name="y"),
    )
    first, second, third = message.attachments
    assert first == Attachment(
        type="image",
        mime_type="image/png",
        claimed_type="text/html",
        file_name="../../a.html",
        size_bytes=len(PNG),
        sha256=sha(PNG),
    )
    assert second.sha256 == first.sha256
    assert (second.content, second.claimed_type) == (None, None)
    assert third == Attachment(type="file", url="https://x.test/y", file_name="y")
    assert shelf.on_disk() == {sha(PNG)}
    assert await shelf.files.load(sha(PNG)) == PNG


async def test_parts_and_what_was_said_before_are_kept_too(shelf: Shelf) -> None:
    data = base64.b64encode(PNG).decode()
    part = {"type": "image", "data": data, "format": "png", "detail": "auto"}
    text = {"type": "text", "text": "look"}
    prior = (HistoryMessage("user", [text, part]), HistoryMessage("assistant", "nice"))
    message, request = await shelf.files.keep(
        said((), (text, part)), TurnRequest(text="", prior=prior), must=True
    )
    kept = {
        "type": "image",
        "format": "png",
        "detail": "auto",
        "mime_type": "image/png",
        "sizeBytes": len(PNG),
        "sha256": sha(PNG),
    }
    assert message.parts == (text, kept)
    assert request.prior == (HistoryMessage("user", [text, kept]), prior[1])


async def test_nobody_can_name_bytes_that_are_not_his(shelf: Shelf) -> None:
    secret = await shelf.take(b"of somebody else")
    message = await shelf.keep(
        Attachment(type="file", sha256=secret), parts=({"type": "file", "sha256": secret},)
    )
    assert message.attachments[0].sha256 is None
    assert message.parts == ({"type": "file"},)


async def test_what_does_not_fit_is_left_out_and_says_so(store: Store, tmp_path: Path) -> None:
    limits = MediaLimits(max_file_bytes=5, max_message_bytes=8, max_per_message=3)
    shelf = Shelf(store, tmp_path, limits)
    files = [Attachment.of(content) for content in (b"toolarge", b"fits", b"fits!", b"x")]
    message = await shelf.keep(*files, Attachment(content="no base64 §"))
    notes = [(one.note, one.sha256 is not None) for one in message.attachments]
    assert notes == [
        (TOO_LARGE, False),
        (None, True),
        (TOO_LARGE, False),  # four of eight bytes were left
        (TOO_MANY, False),
        (TOO_MANY, False),
    ]
    (damaged,) = (await shelf.keep(Attachment(content="no base64 §"))).attachments
    assert damaged.note == DAMAGED
    assert shelf.on_disk() == {sha(b"fits")}
    for refused in (Attachment.of(b"toolarge"), Attachment(content="no base64 §")):
        with pytest.raises(InvalidRequest):
            await shelf.keep(refused, must=True)


async def test_a_full_store_says_so_and_makes_room_when_it_can(
    store: Store, tmp_path: Path
) -> None:
    limits = MediaLimits(max_store_bytes=10, retention_s=DAY_S)
    shelf = Shelf(store, tmp_path, limits)
    await shelf.open()
    old = await shelf.take(b"12345678")
    assert (await shelf.keep(Attachment.of(b"abc"))).attachments[0].note == FULL
    with pytest.raises(Unavailable, match="full"):
        await shelf.keep(Attachment.of(b"abc"), must=True)
    shelf.clock.advance(DAY_S + GRACE_S)
    new = await shelf.take(b"abc")  # nobody waits for the hourly sweep
    assert new == sha(b"abc")
    assert shelf.on_disk() == {new}
    assert await shelf.files.find(old) is None


async def test_a_file_goes_when_nothing_refers_to_it(shelf: Shelf) -> None:
    kept = await shelf.take(b"kept")
    (orphan,) = (await shelf.keep(Attachment.of(b"never committed"))).attachments
    assert await shelf.files.sweep() == 0  # its transaction may be on its way
    shelf.clock.advance(GRACE_S + 1)
    assert await shelf.files.sweep() == 1
    assert shelf.on_disk() == {kept}
    assert orphan.sha256 not in shelf.on_disk()
    shelf.clock.advance(DAY_S / 2)
    assert await shelf.take(b"kept") == kept  # again: its time begins anew
    shelf.clock.advance(DAY_S / 2 + GRACE_S)
    assert await shelf.files.sweep() == 0
    shelf.clock.advance(DAY_S / 2)
    assert await shelf.files.sweep() == 1
    assert shelf.on_disk() == set()
    assert await shelf.files.load(kept) is None


async def test_files_of_a_deleted_conversation_go_soon(shelf: Shelf) -> None:
    await shelf.open("agent:main:other")
    here, there = await shelf.take(b"here"), await shelf.take(b"there", key="agent:main:gone")
    both = await shelf.take(b"both")
    await shelf.take(b"both", key="agent:main:gone")
    shelf.clock.advance(GRACE_S + 1)
    assert await shelf.files.sweep() == 1  # there is no session agent:main:gone
    assert shelf.on_disk() == {here, both}
    assert there not in shelf.on_disk()


async def test_an_acceptance_and_a_sweep_meet(shelf: Shelf) -> None:
    """Whatever the order, a file whose message is committed is there."""
    for _ in range(5):
        await shelf.take(b"the same")
        shelf.clock.advance(DAY_S + GRACE_S + 1)  # from now on it may go

        async def accept() -> str:
            return await shelf.take(b"the same")

        name, *_ = await asyncio.gather(
            accept(), *(shelf.files.sweep() for _ in range(3)), return_exceptions=False
        )
        assert await shelf.files.load(str(name)) == b"the same"
        assert await shelf.files.find(str(name)) is not None


async def test_the_file_system_refuses(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("portico.media.store.blobs.os.fsync", full)
    (left_out,) = (await shelf.keep(Attachment.of(b"x"))).attachments
    assert (left_out.sha256, left_out.note) == (None, "it could not be kept")
    with pytest.raises(Unavailable):
        await shelf.keep(Attachment.of(b"x"), must=True)
    assert shelf.on_disk() == set()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Shelf]:
    store = open_store(sqlite_url(folder / "db"))
    await store.start()
    try:
        shelf = Shelf(store, folder)
        await shelf.open()
        yield shelf
    finally:
        await store.stop()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 2)),
        st.tuples(st.just("commit"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.sampled_from([60, GRACE_S + 1, DAY_S])),
        st.tuples(st.just("sweep"), st.just(0)),
    ),
    max_size=25,
)


@given(STEPS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_was_committed_within_its_time_is_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, float]]
) -> None:
    """Messages are written and committed in any order, with sweeps and time between them.

    A commit comes at most a minute of ours after its bytes were written: a transaction is short.
    """

    async def walk(folder: Path) -> None:
        async with opened(folder) as shelf:
            written: list[tuple[float, InboundMessage]] = []
            committed: dict[str, float] = {}
            for what, how in steps:
                now_s = shelf.clock.now_ms() / 1000
                if what == "write":
                    message = await shelf.keep(Attachment.of(b"%d" % how))
                    written.append((now_s, message))
                elif what == "commit":
                    written = [one for one in written if now_s - one[0] <= 60]
                    if written:
                        _, message = written.pop(int(how) % len(written))
                        await shelf.commit(message)
                        committed[message.attachments[0].sha256 or ""] = now_s
                elif what == "wait":
                    shelf.clock.advance(how)
                else:
                    await shelf.files.sweep()
                now_s = shelf.clock.now_ms() / 1000
                for name, at_s in committed.items():
                    if now_s - at_s <= DAY_S:
                        assert name in shelf.on_disk()
                        assert await shelf.store.read(works.find, name) is not None

    asyncio.run(walk(tmp_path_factory.mktemp("walk")))
