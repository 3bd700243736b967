"""The engine of OpenAI, and of everybody who speaks its API: `POST /v1/audio/transcriptions`.

Guarantees: redirects are not followed; an engine that is busy is asked once more when it says soon;
what it writes about an error goes to the log, shortened; the key goes nowhere but to the engine;
the file's name is ours.

Source: OpenAI API reference, "Create transcription".
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from portico.media.transcription.model import NotHeard, Recording

if TYPE_CHECKING:
    import httpx2

log = structlog.get_logger()

MAX_ANSWER_BYTES = 2_000_000
MAX_ERROR_BYTES = 2_000
SOON_S = 5.0
FIRST_WAIT_S = 0.3


@dataclass(frozen=True, slots=True)
class OpenAIListening:
    """Listens through a service with OpenAI's API.

    Attributes:
        id: what it heard is kept under this name.
        base_url: where its `/audio/transcriptions` is.
    """

    id: str
    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    language: str | None = None
    prompt: str | None = None
    max_bytes: int = 20_000_000
    timeout_s: float = 60.0

    async def listen(self, recording: Recording) -> str:
        """Return what is said."""
        import httpx2

        try:
            async with (
                asyncio.timeout(self.timeout_s),
                httpx2.AsyncClient(
                    trust_env=False, follow_redirects=False, timeout=self.timeout_s
                ) as client,
            ):
                return await self._twice(client, recording)
        except TimeoutError:
            message = f"{self.id} did not answer within {self.timeout_s:g} s"
            raise NotHeard(message, is_away=True) from None
        except httpx2.HTTPError as error:
            message = f"{self.id} cannot be reached: {type(error).__name__}"
            raise NotHeard(message, is_away=True) from None

    async def _twice(self, client: httpx2.AsyncClient, recording: Recording) -> str:
        import httpx2

        try:
            return await self._once(client, recording)
        except NotHeard as error:
            wait_s = FIRST_WAIT_S if error.again_s is None else error.again_s
            if not error.is_away or wait_s > SOON_S:
                raise
        except httpx2.ConnectError:
            wait_s = FIRST_WAIT_S
        await asyncio.sleep(wait_s)
        return await self._once(client, recording)

    async def _once(self, client: httpx2.AsyncClient, recording: Recording) -> str:
        form = {"model": self.model, "response_format": "json"}
        form |= {"language": self.language} if self.language else {}
        form |= {"prompt": self.prompt} if self.prompt else {}
        key = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        request = client.build_request(
            "POST",
            f"{self.base_url.rstrip('/')}/audio/transcriptions",
            data=form,
            files={"file": (recording.file_name, recording.content, recording.mime_type)},
            headers={**self.headers, **key},
        )
        answer = await client.send(request, stream=True)
        try:
            if answer.status_code == 200:
                return self._text(await _read(answer, MAX_ANSWER_BYTES))
            said = (await _read(answer, MAX_ERROR_BYTES)).decode(errors="replace")
        finally:
            await answer.aclose()
        log.warning("media.engine_refused", engine=self.id, status=answer.status_code, said=said)
        raise self._error(answer)

    def _text(self, body: bytes) -> str:
        import msgspec

        try:
            found: Any = msgspec.json.decode(body)
        except msgspec.DecodeError:
            raise NotHeard(f"{self.id} answered with something that is no JSON") from None
        text = found.get("text") if isinstance(found, dict) else None
        if not isinstance(text, str):
            raise NotHeard(f"{self.id} answered without a text")
        return text

    def _error(self, answer: httpx2.Response) -> NotHeard:
        status = answer.status_code
        is_away = status in {408, 429} or status >= 500
        message = f"{self.id} answered {status}"
        return NotHeard(message, is_away=is_away, again_s=_again_s(answer) if is_away else None)


async def _read(answer: httpx2.Response, most: int) -> bytes:
    content = bytearray()
    async for chunk in answer.aiter_bytes():
        content += chunk
        if len(content) >= most:
            break
    return bytes(content[:most])


def _again_s(answer: httpx2.Response) -> float | None:
    try:
        wait_s = float(answer.headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, wait_s) if math.isfinite(wait_s) else None
