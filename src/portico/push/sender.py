"""Posting a sealed message to a push service.

Guarantees: only https, only to an address that is public and was checked; no redirects; a time
limit. An endpoint is a secret: it is in no log.

Source: RFC 8030 (TTL, Urgency, Topic, 404 and 410: the subscription is gone).
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from portico.clock import Clock
from portico.fetch import USER_AGENT, FetchRefused, Resolve, check_url, pinned, resolve_host
from portico.net.tls import trusted
from portico.push.model import Subscription

if TYPE_CHECKING:
    import httpx2

    from portico.push.sealing import Keys

TIMEOUT_S = 10.0
_GONE = frozenset({404, 410})
Urgency = Literal["normal", "high"]


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message.

    Attributes:
        gone: the browser hears nothing any more; its subscription may be forgotten.
    """

    ok: bool
    status: int | None = None
    reason: str | None = None
    gone: bool = False


class PushSender:
    """Posts to push services.

    Args:
        contact: whom a push service may write to about us: `mailto:` or `https:`.
        ttl_s: how long a push service keeps what a browser cannot take now.
        may_be_private: services inside our network are allowed; for tests.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        contact: str,
        ttl_s: int,
        resolve: Resolve = resolve_host,
        may_be_private: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = clock
        self._contact = contact
        self._ttl_s = ttl_s
        self._resolve = resolve
        self._may_be_private = may_be_private
        self._tls = tls

    async def send(
        self, to: Subscription, message: bytes, keys: Keys, *, urgency: Urgency = "normal"
    ) -> Sent:
        """Seal and post a message; never raises for what the service does."""
        import httpx2

        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._post(to, message, keys, urgency)
        except TimeoutError:
            return Sent(ok=False, reason="the push service did not answer in time")
        except FetchRefused as error:
            return Sent(ok=False, reason=str(error))
        except (httpx2.HTTPError, ValueError) as error:
            return Sent(ok=False, reason=f"not reached: {type(error).__name__}")
        code = answer.status_code
        if 200 <= code < 300:
            return Sent(ok=True, status=code)
        return Sent(
            ok=False,
            status=code,
            reason=f"the push service answered {code}",
            gone=code in _GONE,
        )

    async def _post(
        self, to: Subscription, message: bytes, keys: Keys, urgency: Urgency
    ) -> httpx2.Response:
        import httpx2

        from portico.push.sealing import seal

        parts = check_url(to.endpoint)
        if parts.scheme != "https":
            raise FetchRefused("a push service must be https")
        place = await pinned(parts, resolve=self._resolve, may_be_private=self._may_be_private)
        now_s = self._clock.now_ms() // 1000
        headers = {
            "host": place.host,
            "user-agent": USER_AGENT,
            "content-type": "application/octet-stream",
            "content-encoding": "aes128gcm",
            "ttl": str(self._ttl_s),
            "urgency": urgency,
            "authorization": keys.authorization(to.endpoint, contact=self._contact, now_s=now_s),
        }
        body = seal(message, p256dh=to.p256dh, auth=to.auth)
        async with (
            httpx2.AsyncClient(verify=self._tls or trusted(), trust_env=False) as client,
            client.stream(
                "POST",
                place.url,
                content=body,
                headers=headers,
                extensions={"sni_hostname": place.name},
            ) as answer,
        ):
            return answer  # what it says beside the status does not matter
