"""Archives on their way in, piece by piece, over the control plane.

Guarantees: at most `MAX_OPEN` at a time, each as large as was said at its beginning and no larger
than a skill may be; a piece is taken only at the place where the last one ended; what is not
finished within `KEPT_S` is forgotten.

Not here: installing them (rpc.py). They are held in memory: an upload ends with the gateway, and
belongs to the replica that began it.

Source: OpenClaw gateway protocol, "skills.upload.begin", "skills.upload.chunk",
"skills.upload.commit".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from portico.agents.skills.model import is_skill_name
from portico.clock import Clock
from portico.ids import new_id
from portico.protocol.errors import InvalidRequest, Unavailable

MAX_OPEN = 4
KEPT_S = 3_600.0


@dataclass(slots=True)
class Upload:
    """One archive.

    Attributes:
        sha256: what it must hash to, in lower-case hexadecimal.
        is_whole: all of it is here, and is what it should be.
    """

    upload_id: str
    slug: str
    size_bytes: int
    force: bool
    sha256: str | None
    began_s: float
    content: bytearray = field(default_factory=bytearray, repr=False)
    is_whole: bool = False


class Uploads:
    """The archives that are on their way."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, Upload] = {}

    def begin(
        self, slug: str, size_bytes: int, *, most: int, sha256: str | None, force: bool
    ) -> Upload:
        """Begin one.

        Raises:
            InvalidRequest: it is too large, or the slug is no name for a skill.
            Unavailable: too many are on their way.
        """
        self._forget_old()
        if not is_skill_name(slug):
            raise InvalidRequest(f"invalid skill slug: {slug[:80]}")
        if size_bytes > most:
            raise InvalidRequest(f"a skill archive may have {most} bytes, not {size_bytes}")
        if len(self._open) >= MAX_OPEN:
            raise Unavailable("too many skill uploads at a time; try again later", retryable=True)
        upload = Upload(
            upload_id=new_id("upload"),
            slug=slug,
            size_bytes=size_bytes,
            force=force,
            sha256=sha256.lower() if sha256 else None,
            began_s=self._clock.monotonic_s(),
        )
        self._open[upload.upload_id] = upload
        return upload

    def add(self, upload_id: str, offset: int, piece: bytes) -> Upload:
        """Add a piece.

        Raises:
            InvalidRequest: there is no such upload, or the piece does not belong there.
        """
        upload = self._find(upload_id)
        if upload.is_whole or offset != len(upload.content):
            raise InvalidRequest(f"the next piece begins at {len(upload.content)}, not {offset}")
        if len(upload.content) + len(piece) > upload.size_bytes:
            raise InvalidRequest(f"the upload has {upload.size_bytes} bytes, and this is more")
        upload.content += piece
        return upload

    def commit(self, upload_id: str, sha256: str | None) -> Upload:
        """Say that all of it is here.

        Raises:
            InvalidRequest: it is not, or it is something else than was meant.
        """
        upload = self._find(upload_id)
        if len(upload.content) != upload.size_bytes:
            missing = upload.size_bytes - len(upload.content)
            raise InvalidRequest(f"the upload is not complete: {missing} bytes are missing")
        digest = hashlib.sha256(upload.content).hexdigest()
        wanted = {given.lower() for given in (upload.sha256, sha256) if given}
        if wanted - {digest}:
            raise InvalidRequest(f"the upload's SHA-256 is {digest}, which is not what was said")
        upload.is_whole, upload.sha256 = True, digest
        return upload

    def take(self, upload_id: str, slug: str) -> Upload:
        """Return a whole upload and forget it.

        Raises:
            InvalidRequest: there is none, or it was begun for another skill.
        """
        upload = self._find(upload_id)
        if not upload.is_whole:
            raise InvalidRequest("the upload is not committed")
        if upload.slug != slug:
            raise InvalidRequest(f"the upload was begun for {upload.slug}, not {slug[:80]}")
        return self._open.pop(upload_id)

    def _find(self, upload_id: str) -> Upload:
        self._forget_old()
        upload = self._open.get(upload_id)
        if upload is None:
            raise InvalidRequest(f"unknown upload: {upload_id[:80]}")
        return upload

    def _forget_old(self) -> None:
        before_s = self._clock.monotonic_s() - KEPT_S
        for upload in [*self._open.values()]:
            if upload.began_s < before_s:
                del self._open[upload.upload_id]
