"""Calling a webhook: signed, to the address that was checked, again when that may help.

Theory of operation: every attempt of one call has the same id, so a receiver that keeps account of
ids acts once. What was not sent, or was answered with "later", is tried again after a while; what
the receiver has refused is not.

Guarantees: at most `attempts` times and `LONGEST_S` in all; redirects are not followed; the
outcome says whether the receiver has it (`done`), has not (`not_started`), or whether nobody knows.

Source: the Standard Webhooks specification; for retries RFC 9110, 10.2.3 "Retry-After".
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portico.agents.webhooks.model import Target
from portico.channels.webhook.signature import sign
from portico.clock import Clock
from portico.fetch import USER_AGENT, FetchRefused, Resolve, check_url, pinned, resolve_host
from portico.protocol.errors import Outcome

if TYPE_CHECKING:
    import httpx2

LONGEST_S = 100.0
LONGEST_WAIT_S = 20.0
FIRST_WAIT_S = 1.0
MAX_ANSWER_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What became of a call.

    Attributes:
        status: of the last answer; `None`: there was none.
        answer: the beginning of what the receiver said.
        reason: why it is not `done`.
    """

    outcome: Outcome
    attempts: int
    status: int | None = None
    answer: str = ""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Tried:
    """One attempt; `again_s`: how long to wait before the next, `None`: there is no use."""

    outcome: Outcome
    status: int | None = None
    answer: str = ""
    reason: str | None = None
    again_s: float | None = None


class WebhookSender:
    """Calls webhooks.

    Args:
        first_wait_s: the pause before the second attempt; it doubles.
    """

    def __init__(
        self, *, clock: Clock, resolve: Resolve = resolve_host, first_wait_s: float = FIRST_WAIT_S
    ) -> None:
        self._clock = clock
        self._resolve = resolve
        self._first_wait_s = first_wait_s

    async def send(self, target: Target, body: bytes, *, event_id: str) -> Dispatch:
        """Post a JSON body.

        Args:
            event_id: the same for what is the same event.
        """
        ends_s = self._clock.monotonic_s() + LONGEST_S
        uncertain = False
        number, tried = 0, _Tried(Outcome.NOT_STARTED, reason="it was not tried")
        while number < target.attempts:
            number += 1
            tried = await self._try(target, body, event_id)
            uncertain = uncertain or tried.outcome is Outcome.UNCERTAIN
            if tried.again_s is None or number == target.attempts:
                break
            wait_s = max(tried.again_s, self._first_wait_s * 2 ** (number - 1))
            if self._clock.monotonic_s() + wait_s + target.timeout_seconds > ends_s:
                break
            await asyncio.sleep(wait_s)
        outcome = tried.outcome
        if outcome is Outcome.NOT_STARTED and uncertain:  # an earlier attempt may have got through
            outcome = Outcome.UNCERTAIN
        return Dispatch(outcome, number, tried.status, tried.answer, tried.reason)

    async def _try(self, target: Target, body: bytes, event_id: str) -> _Tried:
        import httpx2

        try:
            async with asyncio.timeout(target.timeout_seconds):
                return await self._post(target, body, event_id)
        except FetchRefused as error:
            return _Tried(Outcome.NOT_STARTED, reason=str(error))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            reason = f"not reached: {type(error).__name__}"
            return _Tried(Outcome.NOT_STARTED, reason=reason, again_s=0.0)
        except (httpx2.TransportError, TimeoutError) as error:
            reason = f"no answer: {type(error).__name__}"
            return _Tried(Outcome.UNCERTAIN, reason=reason, again_s=0.0)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return _Tried(Outcome.NOT_STARTED, reason=f"cannot be sent: {type(error).__name__}")

    async def _post(self, target: Target, body: bytes, event_id: str) -> _Tried:
        import httpx2

        place = await pinned(
            check_url(target.url), resolve=self._resolve, may_be_private=target.allow_private
        )
        headers = {
            **{name.lower(): value for name, value in target.headers.items()},
            **self._signed(target, body, event_id),
            "host": place.host,
            "content-type": "application/json",
            "idempotency-key": event_id,
            "user-agent": USER_AGENT,
            "accept-encoding": "identity",
        }
        async with httpx2.AsyncClient(
            trust_env=False, follow_redirects=False, timeout=target.timeout_seconds
        ) as client:
            request = client.build_request(
                "POST",
                place.url,
                content=body,
                headers=headers,
                extensions={"sni_hostname": place.name},
            )
            answer = await client.send(request, stream=True)
            try:
                return _judged(answer, await _beginning(answer))
            finally:
                await answer.aclose()

    def _signed(self, target: Target, body: bytes, event_id: str) -> dict[str, str]:
        if target.secret is None:
            return {"webhook-id": event_id}
        now_s = self._clock.now_ms() // 1000
        return sign(target.secret, event_id=event_id, timestamp_s=now_s, body=body)


def _judged(answer: httpx2.Response, said: str) -> _Tried:
    """Return what an answer means."""
    status = answer.status_code
    if 200 <= status < 300:
        return _Tried(Outcome.DONE, status, said)
    reason = f"the receiver answered {status}"
    if status in {408, 425, 429, 503}:
        wait_s = _wait_s(answer)
        return _Tried(Outcome.NOT_STARTED, status, said, reason, again_s=wait_s)
    if status >= 500:  # it may have done something before it broke
        return _Tried(Outcome.UNCERTAIN, status, said, reason, again_s=0.0)
    if 300 <= status < 400:
        reason = f"{reason}: it is somewhere else, and that is not followed"
    return _Tried(Outcome.NOT_STARTED, status, said, reason)


def _wait_s(answer: httpx2.Response) -> float | None:
    """Return how long the receiver wants us to wait; `None`: longer than we do."""
    try:
        wait_s = float(answer.headers.get("retry-after", "0"))
    except ValueError:  # a date; a pause of our own will do
        return 0.0
    if not math.isfinite(wait_s) or wait_s > LONGEST_WAIT_S:
        return None
    return max(0.0, wait_s)


async def _beginning(answer: httpx2.Response) -> str:
    content = bytearray()
    async for chunk in answer.aiter_raw():
        content += chunk
        if len(content) >= MAX_ANSWER_BYTES:
            break
    return bytes(content[:MAX_ANSWER_BYTES]).decode(errors="replace")
