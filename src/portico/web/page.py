"""The web page: plain files from the package, or from the directory the operator names.

Guarantees: a path never leads out of the directory; assets with a hash in their name may be kept by
the browser for ever, everything else is asked for again; a GET that accepts HTML and names no file
gets the page itself, so that its own addresses can be reloaded.

Source: OpenClaw gateway protocol, "Control UI".
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp

BUILT_IN = Path(__file__).parent / "static"
MAX_FILES = 512
MIN_GZIP_BYTES = 1_024

_HASHED = re.compile(r"-[A-Za-z0-9_-]{8,}\.\w+$")
_ZIPPED_TYPES = ("text/", "application/javascript", "application/json", "image/svg")
_INLINE_SCRIPT = re.compile(
    rb"<script(?![^>]*\bsrc\b)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE
)
_PAGE_POLICY = (
    "default-src 'self'; script-src 'self'{script}; style-src 'self'{style}; "
    "img-src 'self' data: blob: https:; media-src 'self' data: blob:; font-src 'self'{font}; "
    "connect-src 'self' ws: wss:{connect}; object-src 'none'; base-uri 'self'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = {
    "content-security-policy": _PAGE_POLICY.format(script="", style="", font="", connect=""),
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Portico</title>
<h1>The page is not built</h1>
<p>The gateway runs, but its web page has not been built yet. In the source tree run
<code>make ui</code> and reload. Everything else works without it:
try <code>portico chat</code>.</p>
</html>"""


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    zipped: bytes | None
    media_type: str
    etag: str
    stamp: tuple[int, int]


class Page:
    """Serves the files of one directory under a base path."""

    def __init__(self, *, base_path: str = "", root: Path | None = None) -> None:
        self._base = base_path.rstrip("/")
        self._root = (root or BUILT_IN).resolve()
        self._is_ours = root is None
        self._files: dict[str, _File] = {}

    async def answer(self, request: Request) -> ASGIApp | None:
        """Return the answer to a GET or HEAD; `None`: the page has nothing there."""
        path = request.url.path
        if path == self._base and self._base:
            return RedirectResponse(f"{self._base}/", 308)
        if not path.startswith(f"{self._base}/"):
            return None
        name = path.removeprefix(f"{self._base}/")
        file = await self._find(name or "index.html")
        if file is not None and name not in {"", "index.html"}:
            return _file_answer(request, name, file)
        if name in {"", "index.html"} or _wants_page(request, name):
            return await self._page(request, deep="/" in name)
        return None

    async def _page(self, request: Request, *, deep: bool) -> Response:
        file = await self._find("index.html")
        if file is None:
            return HTMLResponse(_NOT_BUILT, 503, {**_PAGE_HEADERS, "retry-after": "30"})
        headers = _PAGE_HEADERS if self._is_ours else _foreign_headers(file.body)
        if not deep:
            return _conditional(request, file, headers)
        base = f'<head><base href="{self._base}/">'.encode()
        return HTMLResponse(file.body.replace(b"<head>", base, 1), headers=headers)

    async def _find(self, name: str) -> _File | None:
        path = (self._root / name).resolve() if "\0" not in name else self._root
        if not path.is_relative_to(self._root):
            return None
        try:
            status = path.stat()
        except OSError:
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        known = self._files.get(name)
        if known is not None and known.stamp == stamp:
            return known
        file = await asyncio.to_thread(_load, path, stamp)
        if file is not None and len(self._files) < MAX_FILES:
            self._files[name] = file
        return file


def _foreign_headers(index: bytes) -> dict[str, str]:
    """Return the headers of a page that is not ours: it may run the scripts it came with, only."""
    scripts = {hashlib.sha256(text).digest() for text in _INLINE_SCRIPT.findall(index)}
    hashes = sorted(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in scripts)
    policy = _PAGE_POLICY.format(
        script="".join(hashes), style=" 'unsafe-inline'", font=" data:", connect=" data:"
    )
    return {**_PAGE_HEADERS, "content-security-policy": policy}


def _load(path: Path, stamp: tuple[int, int]) -> _File | None:
    try:
        body = path.read_bytes()
    except OSError:  # a directory
        return None
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if path.suffix in {".js", ".mjs"}:
        kind = "text/javascript"  # whatever the machine's registry says
    worth = len(body) >= MIN_GZIP_BYTES and kind.startswith(_ZIPPED_TYPES)
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    return _File(body, gzip.compress(body, 9, mtime=0) if worth else None, kind, etag, stamp)


def _file_answer(request: Request, name: str, file: _File) -> Response:
    lasting = name.startswith("assets/") and _HASHED.search(name)
    cache = "public, max-age=31536000, immutable" if lasting else "no-cache"
    headers = {"cache-control": cache, "content-security-policy": "default-src 'none'; sandbox"}
    if file.media_type in {"text/html", "text/javascript"}:
        headers["content-security-policy"] = _PAGE_HEADERS["content-security-policy"]
    return _conditional(request, file, headers)


def _conditional(request: Request, file: _File, headers: Mapping[str, str]) -> Response:
    headers = {**headers, "etag": file.etag, "vary": "accept-encoding"}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if file.zipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
        zipped = {**headers, "content-encoding": "gzip"}
        return Response(file.zipped, headers=zipped, media_type=file.media_type)
    return Response(file.body, headers=headers, media_type=file.media_type)


def _wants_page(request: Request, name: str) -> bool:
    if name.startswith("assets/"):
        return False
    return "text/html" in request.headers.get("accept", "")


def not_found() -> Response:
    """Answer for an address where there is nothing."""
    return PlainTextResponse("Not Found", 404)
