"""Files people send, fetched.

Guarantees: nothing is fetched but from Discord's own file servers (or the host of `apiUrl`), not
more than allowed, and not slower than a time limit; what does not come is named without content.

Source: https://docs.discord.com/developers/resources/message#attachment-object
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog

from portico.channels.discord.config import API
from portico.channels.media import Kind
from portico.channels.model import Attachment
from portico.fetch import Fetcher, FetchRefused, FetchSettings

log = structlog.get_logger()

HOSTS = ("cdn.discordapp.com", "media.discordapp.net")
FETCH_TIMEOUT_S = 30.0
_MAJOR: dict[str, Kind] = {"image": "image", "audio": "audio", "video": "video"}


def attachment_fetcher(api_url: str) -> Fetcher:
    """Return what fetches attachments.

    Args:
        api_url: when it is not Discord's, its host may give files, too, and may be a private one.
    """
    host = urlsplit(api_url).hostname or ""
    own = () if api_url == API else (host,)
    return Fetcher(
        FetchSettings(allowed_domains=(*HOSTS, *own), private_hosts=own, timeout_s=FETCH_TIMEOUT_S)
    )


async def attachments(
    raws: Iterable[Mapping[str, Any]], *, fetcher: Fetcher, max_bytes: int
) -> list[Attachment]:
    """Return a message's files; with `max_bytes` 0 they are named only."""
    return [await _attachment(raw, fetcher, max_bytes) for raw in raws]


async def _attachment(raw: Mapping[str, Any], fetcher: Fetcher, max_bytes: int) -> Attachment:
    mime_type = str(raw.get("content_type") or "").partition(";")[0] or None
    kind = _MAJOR.get((mime_type or "").partition("/")[0], "file")
    name, size = raw.get("filename"), int(raw.get("size") or 0)
    shown = Attachment(type=kind, mime_type=mime_type, file_name=name, size_bytes=size)
    if size > max_bytes or not max_bytes:
        return shown
    try:
        found = await fetcher.fetch(str(raw.get("url") or ""), max_bytes=max_bytes)
    except FetchRefused as error:
        log.warning("discord.file_not_fetched", error=str(error))
        return shown
    return Attachment.of(found.body, type=kind, mime_type=mime_type, file_name=name)
