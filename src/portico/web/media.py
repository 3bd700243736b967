"""`GET /v1/gateway/media/{sha256}`: a file that somebody attached to a message.

Guarantees: only for callers who may read conversations; what is sent is a download, never a page:
no browser shows, runs or guesses it, whatever it is; a path is made of a hash alone.

Source: OWASP, "File Upload Cheat Sheet"; RFC 6266 (Content-Disposition).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from starlette.responses import FileResponse

from portico.media.store.works import FileRow
from portico.protocol.scopes import Scope
from portico.web.endpoint import Answer, Endpoint, HttpCall
from portico.web.problem import NotFound

PATH = "/v1/gateway/media/{sha256}"
_HASH = re.compile(r"[0-9a-f]{64}")
_SHOWN = re.compile(r"(image/(png|jpeg|gif|webp)|audio/[a-z0-9]+|video/(mp4|webm|ogg))")
_HEADERS = {
    "cache-control": "private, max-age=31536000, immutable",
    "content-security-policy": "sandbox; default-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


class Files(Protocol):
    """The store of what people attach."""

    async def find(self, sha256: str) -> FileRow | None:
        """Return what is known of a file somebody refers to."""
        ...

    async def locate(self, sha256: str) -> Path | None:
        """Return where its bytes are; `None`: they are gone."""
        ...


def media_endpoint(files: Files) -> Endpoint:
    """Return the endpoint."""

    async def download(call: HttpCall) -> FileResponse:
        sha256 = call.request.path_params["sha256"]
        row = await files.find(sha256) if _HASH.fullmatch(sha256) else None
        path = None if row is None else await files.locate(sha256)
        if row is None or path is None:
            raise NotFound("there is no such file, or it is no longer kept")
        return FileResponse(
            path,
            media_type=row.mime_type if _SHOWN.fullmatch(row.mime_type) else _BYTES,
            filename=sha256[:16],
            content_disposition_type="attachment",
            headers=_HEADERS,
        )

    return Endpoint(
        method="GET",
        path=PATH,
        handle=download,
        operation="gatewayMedia",
        summary="Download a file that was attached to a message.",
        needs=Scope.READ,
        answers={
            200: Answer("The file.", content_type=_BYTES),
            404: Answer("There is no such file, or it is no longer kept."),
        },
    )


_BYTES = "application/octet-stream"
