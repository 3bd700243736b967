"""Files the gateway has made, kept for a while under the hash of their content.

    ref = files.put(audio, ".mp3")       # "media:9f86d081884c7d65.mp3"
    files.path(ref)                      # …/media/9f86d081884c7d65.mp3

Guarantees: a name is made from the content alone, so nothing a caller says becomes part of a path;
a file is there whole or not at all; all together they take at most `max_bytes`, the oldest go
first, and each goes `keep_s` after it was last made or asked for.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from portico.clock import Clock

SCHEME = "media:"
_UNFINISHED = ".new-"
_NAME = re.compile(r"[0-9a-f]{32}\.[a-z0-9]{1,8}")
_MIME = {
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".wav": "audio/wav",
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".pcm": "audio/pcm",
}


class MediaFiles:
    """A folder of files. Its methods work on the disk: call them in a thread."""

    def __init__(self, folder: Path, *, clock: Clock, keep_s: float, max_bytes: int) -> None:
        self.folder = folder
        self._clock = clock
        self._keep_s = keep_s
        self._max_bytes = max_bytes

    def obey(self, *, keep_s: float, max_bytes: int) -> None:
        """Keep other limits from now on."""
        self._keep_s, self._max_bytes = keep_s, max_bytes

    def put(self, content: bytes, suffix: str) -> str:
        """Keep a file; return its reference."""
        name = f"{hashlib.sha256(content).hexdigest()[:32]}{suffix}"
        path = self.folder / name
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            self._touch(path)
            return f"{SCHEME}{name}"
        descriptor, unfinished = tempfile.mkstemp(prefix=_UNFINISHED, dir=self.folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            self._touch(Path(unfinished))
            Path(unfinished).replace(path)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
        self._make_room(but=path)
        return f"{SCHEME}{name}"

    def path(self, ref: str) -> Path | None:
        """Return where a file is; `None`: it is gone, or it never was one of ours."""
        name = ref.removeprefix(SCHEME)
        if not ref.startswith(SCHEME) or not _NAME.fullmatch(name):
            return None
        path = self.folder / name
        if path.is_symlink() or not path.is_file():
            return None
        self._touch(path)
        return path

    def forget(self) -> int:
        """Delete what is too old; return how many files."""
        before_s = self._clock.now_ms() / 1000 - self._keep_s
        old = [path for path, status in self._all() if status.st_mtime < before_s]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _make_room(self, *, but: Path) -> None:
        found = sorted(self._all(), key=lambda one: one[1].st_mtime, reverse=True)
        total = 0
        for path, status in found:
            total += status.st_size
            if total > self._max_bytes and path != but:
                path.unlink(missing_ok=True)
                total -= status.st_size

    def _all(self) -> list[tuple[Path, os.stat_result]]:
        """Return every file of ours, what a crash has left unfinished among them.

        What people attach is kept below the same folder, and none of our business.
        """
        found: list[tuple[Path, os.stat_result]] = []
        if not self.folder.is_dir():
            return found
        for path in self.folder.iterdir():
            try:
                status = path.lstat()
            except OSError:  # gone meanwhile
                continue
            if _NAME.fullmatch(path.name) or path.name.startswith(_UNFINISHED):
                found.append((path, status))
        return found

    def _touch(self, path: Path) -> None:
        now_s = self._clock.now_ms() / 1000
        os.utime(path, (now_s, now_s))


def mime_type(name: str) -> str:
    """Return what kind of file a name or a reference is of."""
    return _MIME.get(name[name.rfind(".") :], "application/octet-stream")
