"""Files, either way.

Guarantees: the bot's token goes to Slack's own hosts only, and nothing larger than allowed is
kept; what is too large or does not come is named without content.

Source: https://docs.slack.dev/messaging/working-with-files
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import structlog
from slack_sdk.web.async_client import AsyncWebClient

from portico.channels.contract import Rejected, Transient
from portico.channels.media import OutgoingFile
from portico.channels.model import Attachment
from portico.channels.slack.troubles import NOT_SENT, asked

log = structlog.get_logger()

FETCH_TIMEOUT_S = 30.0
_WHOLE = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)
MAX_FILES = 10
MAX_REDIRECTS = 3


class NotFetched(Exception):
    """A file cannot be had."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where files lie.

    Attributes:
        api_host: the Web API's host and port; trusted with the token like Slack's own.
        max_bytes: the largest file that is fetched.
    """

    http: aiohttp.ClientSession
    token: str
    api_host: str
    max_bytes: int
    proxy: str | None = None

    async def fetch_all(self, files: Sequence[Mapping[str, Any]]) -> tuple[Attachment, ...]:
        """Return a message's files, as far as they come."""
        return tuple(await asyncio.gather(*(self._fetched(one) for one in files[:MAX_FILES])))

    async def _fetched(self, file: Mapping[str, Any]) -> Attachment:
        shown = named(file)
        if shown.size_bytes is not None and shown.size_bytes > self.max_bytes:
            return shown
        try:
            url = str(file.get("url_private_download") or file.get("url_private") or "")
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                content = await self._fetch(url, is_page=shown.mime_type == "text/html")
        except (NotFetched, aiohttp.ClientError, OSError, TimeoutError) as error:
            why = str(error) if isinstance(error, NotFetched) else type(error).__name__
            log.warning("slack.file_not_fetched", error=why)
            return shown
        return Attachment.of(content, mime_type=shown.mime_type, file_name=shown.file_name)

    async def _fetch(self, url: str, *, is_page: bool) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            if not self._is_trusted(url):
                raise NotFetched("the file lies outside Slack")
            headers = {"Authorization": f"Bearer {self.token}"}
            async with self.http.get(
                url, headers=headers, allow_redirects=False, proxy=self.proxy, timeout=_WHOLE
            ) as answer:
                if answer.status in {301, 302, 303, 307, 308}:
                    url = urljoin(url, answer.headers.get("Location", ""))
                    continue
                if answer.status != 200:
                    raise NotFetched(f"Slack answered {answer.status}")
                if answer.content_type == "text/html" and not is_page:
                    raise NotFetched("Slack shows its login page: the app needs files:read")
                return await self._read(answer)
        raise NotFetched("too many redirects")

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for chunk in answer.content.iter_chunked(1 << 16):
            content += chunk
            if len(content) > self.max_bytes:
                raise NotFetched("the file is larger than mediaMaxMb")
        return bytes(content)

    def _is_trusted(self, url: str) -> bool:
        parts = urlsplit(url)
        if parts.netloc == self.api_host:
            return True
        host = parts.hostname or ""
        return parts.scheme == "https" and (host == "slack.com" or host.endswith(".slack.com"))

    async def upload(self, client: AsyncWebClient, file: OutgoingFile) -> str:
        """Bring a file to Slack, visible to nobody yet; return its id.

        Raises:
            ChannelError: it is not there.
        """
        call = client.files_getUploadURLExternal(filename=file.name, length=len(file.content))
        place = await asked(call, reading=True)
        try:
            async with self.http.post(
                str(place.get("upload_url")),
                data=io.BytesIO(file.content),
                proxy=self.proxy,
                timeout=_WHOLE,
            ) as answer:
                status = answer.status
        except NOT_SENT as error:
            raise Transient(f"Slack is not reached: {type(error).__name__}") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:  # nobody has seen it
            raise Transient(f"the upload broke off: {type(error).__name__}") from None
        if status >= 500:
            raise Transient(f"Slack answered an upload with {status}")
        if status != 200:
            raise Rejected(f"Slack answered an upload with {status}")
        return str(place.get("file_id"))


def named(file: Mapping[str, Any]) -> Attachment:
    """Return a file as it is named, without its content."""
    size = file.get("size")
    mime_type = str(file.get("mimetype") or "") or None
    major = (mime_type or "").partition("/")[0]
    return Attachment(
        type=major if major in {"image", "audio", "video"} else "file",
        mime_type=mime_type,
        file_name=str(file.get("name") or file.get("title") or "") or None,
        size_bytes=size if isinstance(size, int) else None,
    )
