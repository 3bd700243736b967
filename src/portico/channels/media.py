"""Files that go out: fetched safely, once for all channels.

Guarantees: nothing is fetched from private addresses, and nothing larger than asked for; a
`data:` URL is taken as it is.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_to_bytes

from portico.fetch import Fetcher, FetchRefused

Kind = Literal["image", "audio", "video", "file"]
_MAJOR: dict[str, Kind] = {"image": "image", "audio": "audio", "video": "video"}


class MediaUnavailable(Exception):
    """The file cannot be had; the text says why and is fit for the person."""


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A file to send."""

    name: str
    mime_type: str
    content: bytes

    @property
    def kind(self) -> Kind:
        """What kind of file it is."""
        return _MAJOR.get(self.mime_type.partition("/")[0], "file")


async def load(url: str, *, fetcher: Fetcher, max_bytes: int) -> OutgoingFile:
    """Return the file at a URL of a delivery.

    Raises:
        MediaUnavailable: it cannot be fetched, or is too large.
    """
    if url.startswith("data:"):
        return _from_data(url, max_bytes)
    try:
        found = await fetcher.fetch(url, max_bytes=max_bytes)
    except FetchRefused as error:
        raise MediaUnavailable(str(error)) from error
    guessed = mimetypes.guess_type(found.file_name)[0]
    mime_type = found.content_type or guessed or "application/octet-stream"
    return OutgoingFile(found.file_name or _name(mime_type), mime_type, found.body)


def _from_data(url: str, max_bytes: int) -> OutgoingFile:
    head, comma, body = url.removeprefix("data:").partition(",")
    mime_type = head.partition(";")[0] or "text/plain"
    try:
        content = (
            base64.b64decode(body, validate=True)
            if head.endswith(";base64")
            else (unquote_to_bytes(body))
        )
    except (ValueError, binascii.Error) as error:
        raise MediaUnavailable("the data url is malformed") from error
    if not comma or len(content) > max_bytes:
        raise MediaUnavailable("the file is too large" if comma else "the data url is malformed")
    return OutgoingFile(_name(mime_type), mime_type, content)


def _name(mime_type: str) -> str:
    return f"file{mimetypes.guess_extension(mime_type) or ''}"
