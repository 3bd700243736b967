"""The files of messages: kept before the commit that refers to them, read by turns, swept later.

Guarantees:
    - When `keep` returns, the bytes it names are on the disk; `refer` goes into the transaction of
      the message. A crash between them leaves a file that the sweep finds.
    - The same bytes are stored once. What a message is left with names them by hash and says what
      they are by their content; what somebody claimed is kept beside it.
    - A file a message refers to is there until `retention_s` has passed or its conversation is
      deleted, and as long as something waits or runs there.
    - What does not fit is left out and says why; with `must`, it is refused and nothing is kept.

Not here: who may send files (the inbox asks its policies first).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog

from portico.agents.runtime import HistoryMessage, TurnRequest
from portico.channels.base64 import decoded
from portico.channels.model import Attachment, InboundMessage
from portico.clock import Clock
from portico.filetypes import HEAD_BYTES, kind_of, verified
from portico.media.store import works
from portico.media.store.blobs import GRACE_S, Blobs, TooLarge, Written, pieces_of
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.store import Store, Work

log = structlog.get_logger()

Pieces = Callable[[], Iterable[bytes]]
SWEEP_AGAIN_MS = 60_000
TOO_LARGE = "too large to be kept"
TOO_MANY = "more files than are kept of one message"
FULL = "not kept: the store of files is full"
DAMAGED = "damaged"
NOT_WRITTEN = "it could not be kept"


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """What is kept, in bytes, and how long."""

    max_file_bytes: int = 20_000_000
    max_message_bytes: int = 50_000_000
    max_per_message: int = 20
    max_store_bytes: int = 5_000_000_000
    retention_s: float = 30 * 86_400.0


class MediaStore:
    """Keeps files, hands them out, and forgets them."""

    def __init__(self, blobs: Blobs, *, store: Store, clock: Clock, limits: MediaLimits) -> None:
        self._blobs = blobs
        self._store = store
        self._clock = clock
        self._limits = limits
        self._swept_ms: int | None = None

    def obey(self, limits: MediaLimits) -> None:
        """Keep other limits from now on."""
        self._limits = limits

    # -- in --------------------------------------------------------------------------------------

    async def keep(
        self, message: InboundMessage, request: TurnRequest, *, must: bool
    ) -> tuple[InboundMessage, TurnRequest]:
        """Put the bytes that came with a message on the disk; return it with their names.

        Args:
            must: somebody is told when a file is not kept: it is refused. Else the message is
                taken without it, and says so.

        Raises:
            InvalidRequest: a file is too large or damaged, or there are too many.
            Unavailable: the store is full, or the disk does not take it.
        """
        if not _has_files(message, request):
            return message, request
        room = await self._room()
        if room < _size(message, request) and await self._swept():
            room = await self._room()
        keeping = _Keeping(self._blobs, self._limits, room=room, must=must)
        return await asyncio.to_thread(keeping.whole, message, request)

    async def _room(self) -> int:
        """How many bytes the store still takes."""
        kept = await self._store.read(works.size_bytes)
        return max(0, self._limits.max_store_bytes - kept)

    def refer(
        self,
        message: InboundMessage,
        request: TurnRequest,
        *,
        message_id: str,
        session_key: str,
        now: int,
    ) -> Work[None]:
        """The work that records what a message refers to, for its own transaction."""
        named = {*_named(message, request)}
        if named:
            yield from works.refer(named, message_id=message_id, session_key=session_key, now=now)

    # -- out -------------------------------------------------------------------------------------

    async def load(self, sha256: str) -> bytes | None:
        """Return a file's bytes; `None`: it is no longer kept."""
        most = max(self._limits.max_file_bytes, self._limits.max_message_bytes)
        return await asyncio.to_thread(self._blobs.read, sha256, max_bytes=most)

    async def find(self, sha256: str) -> works.FileRow | None:
        """Return what is known of a file that somebody refers to; `None`: nothing."""
        return await self._store.read(works.find, sha256)

    async def locate(self, sha256: str) -> Path | None:
        """Return where a file's bytes are; `None`: they are gone."""
        return await asyncio.to_thread(self._blobs.find, sha256)

    # -- forgetting ------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """Delete what nobody needs any more; return how many files."""
        now = self._clock.now_ms()
        settled = now - int(GRACE_S * 1000)
        before = min(settled, now - int(self._limits.retention_s * 1000))
        await self._store.write(works.let_go, before_ms=before, settled_ms=settled)
        await self._store.write(works.forget, before_ms=settled)
        count = 0
        for sha256 in await asyncio.to_thread(lambda: [*self._blobs.old()]):
            if await self._store.read(works.find, sha256) is None:
                count += await asyncio.to_thread(self._blobs.delete, sha256)
        return count

    async def _swept(self) -> bool:
        """Sweep when the store is full, but not for every message that comes then."""
        now = self._clock.now_ms()
        if self._swept_ms is not None and now - self._swept_ms < SWEEP_AGAIN_MS:
            return False
        self._swept_ms = now
        log.warning("media.full", max_bytes=self._limits.max_store_bytes)
        await self.sweep()
        return True


class _Keeping:
    """One message's files on their way to the disk. Works in a thread.

    Args:
        room: how many bytes the store still takes.
    """

    def __init__(self, blobs: Blobs, limits: MediaLimits, *, room: int, must: bool) -> None:
        self._blobs = blobs
        self._limits = limits
        self._room = room
        self._must = must
        self._count = self._bytes = 0

    def whole(
        self, message: InboundMessage, request: TurnRequest
    ) -> tuple[InboundMessage, TurnRequest]:
        """Keep everything of a message."""
        kept = msgspec.structs.replace(
            message,
            attachments=tuple(self._attachment(one) for one in message.attachments),
            parts=tuple(self._part(part) for part in message.parts),
        )
        prior = tuple(self._earlier(one) for one in request.prior)
        return kept, msgspec.structs.replace(request, prior=prior) if prior else request

    def _attachment(self, given: Attachment) -> Attachment:
        bare = msgspec.structs.replace(given, data=None, content=None, sha256=None)
        if not given.has_bytes:
            return bare
        name = given.file_name or given.type
        content, data = given.content or "", given.data
        put = self._put(name, lambda: decoded(content) if data is None else pieces_of(data))
        if isinstance(put, str):
            return msgspec.structs.replace(bare, note=put)
        mime_type = verified(put.head, given.mime_type)
        is_other = given.mime_type not in {None, mime_type}
        return msgspec.structs.replace(
            bare,
            type=kind_of(mime_type),
            mime_type=mime_type,
            claimed_type=given.mime_type[:200] if is_other and given.mime_type else None,
            size_bytes=put.size_bytes,
            sha256=put.sha256,
        )

    def _part(self, part: dict[str, Any]) -> dict[str, Any]:
        data = part.get("data")
        rest = {name: value for name, value in part.items() if name not in {"data", "sha256"}}
        if not isinstance(data, str) or not data:
            return rest
        name = str(part.get("filename") or part.get("type"))
        put = self._put(name, lambda: decoded(data))
        if isinstance(put, str):
            return {**rest, "note": put}
        claimed = part.get("mime_type") or part.get("mimeType")
        mime_type = verified(put.head, claimed if isinstance(claimed, str) else None)
        return {
            **rest,
            "mime_type": mime_type,
            "sizeBytes": put.size_bytes,
            "sha256": put.sha256,
        }

    def _earlier(self, entry: HistoryMessage) -> HistoryMessage:
        if not isinstance(entry.content, list | tuple):
            return entry
        content = [self._part(p) if isinstance(p, dict) else p for p in entry.content]
        return msgspec.structs.replace(entry, content=content)

    def _put(self, name: str, pieces: Pieces) -> Written | str:
        """Keep bytes; or return why not."""
        self._count += 1
        limits = self._limits
        if self._count > limits.max_per_message:
            return self._refused(name, TOO_MANY)
        most = min(limits.max_file_bytes, limits.max_message_bytes - self._bytes)
        try:
            put = self._blobs.put(
                pieces(), max_bytes=max(0, min(most, self._room)), head_bytes=HEAD_BYTES
            )
        except TooLarge:
            if self._room < most:
                return self._full()
            return self._refused(name, TOO_LARGE)
        except ValueError:
            return self._refused(name, DAMAGED)
        except OSError as error:
            log.error("media.not_written", error=repr(error)[:300])
            if self._must:
                raise Unavailable("the files could not be kept; try again later") from None
            return NOT_WRITTEN
        self._bytes += put.size_bytes
        self._room -= put.size_bytes
        return put

    def _refused(self, name: str, why: str) -> str:
        if self._must:
            raise InvalidRequest(f"{name[:200]}: {why}", details={"code": "ATTACHMENT_REFUSED"})
        log.warning("media.left_out", why=why)
        return why

    def _full(self) -> str:
        if self._must:
            raise Unavailable("the store of files is full; try again later")
        log.warning("media.left_out", why=FULL)
        return FULL


def _has_files(message: InboundMessage, request: TurnRequest) -> bool:
    """Whether there are bytes, or names of bytes, which are no sender's to give."""
    if any(one.has_bytes or one.sha256 for one in message.attachments):
        return True
    return any(part.get("data") or part.get("sha256") for part in _parts(message, request))


def _size(message: InboundMessage, request: TurnRequest) -> int:
    """About how many bytes come with a message."""
    raw = sum(len(one.data) for one in message.attachments if one.data is not None)
    texts = [one.content for one in message.attachments if one.content]
    texts += [str(part.get("data") or "") for part in _parts(message, request)]
    return raw + sum(len(text) * 3 // 4 for text in texts)


def _parts(message: InboundMessage, request: TurnRequest) -> Iterator[dict[str, Any]]:
    yield from message.parts
    for entry in request.prior:
        if isinstance(entry.content, list | tuple):
            yield from (part for part in entry.content if isinstance(part, dict))


def _named(message: InboundMessage, request: TurnRequest) -> Iterator[tuple[str, int, str]]:
    for one in message.attachments:
        if one.sha256 is not None:
            yield one.sha256, one.size_bytes or 0, one.mime_type or ""
    for part in _parts(message, request):
        if isinstance(part.get("sha256"), str):
            yield part["sha256"], int(part.get("sizeBytes") or 0), str(part.get("mime_type") or "")
