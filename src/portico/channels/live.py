"""While a turn runs: the other side sees that an answer is being written, and its text so far.

Theory of operation: each message that is to be answered is marked as read and its run followed.
When it begins, "typing" is shown and renewed; as text comes, a preview is sent and changed, not
faster than the provider likes. The final text comes from the outbox: it waits for a preview under
way, takes its place, and no preview comes after it.

Guarantees: best effort: nothing here is retried, stored, or able to disturb a turn or a delivery.
At most so many runs are followed at once; those beyond are answered without a preview.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Protocol

import structlog

from portico.agents.runtime import AgentEvent, TextDelta
from portico.channels.contract import (
    MarksRead,
    Previews,
    RateLimited,
    RunningAccount,
    ShowsTyping,
)
from portico.channels.model import InboundMessage, ReplyRoute
from portico.clock import Clock
from portico.tasks import Tasks

log = structlog.get_logger()

MAX_FOLLOWED = 500
TYPING_EVERY_S = 4.0
PREVIEW_EVERY_S = 1.0
FIRST_CHARS = 24
"""A preview of a word or two is not worth a notification on somebody's phone."""
CALL_TIMEOUT_S = 10.0
GIVE_UP_AFTER = 3


class RunSteps(Protocol):
    """The runs of this process, as far as previews need them."""

    def follow(self, run_id: str) -> AsyncIterator[AgentEvent | None]:
        """Yield a run's steps, `None` first when it begins, until it has ended."""
        ...

    async def has_answer(self, run_id: str) -> bool:
        """Whether an ended run has something to say."""
        ...


class LiveAccount(Protocol):
    """An account, as far as it is needed here."""

    @property
    def live(self) -> RunningAccount | None:
        """The account, while it is connected."""
        ...

    @property
    def shows_previews(self) -> bool:
        """Whether it is configured to."""
        ...

    @property
    def previews(self) -> PreviewGate:
        """What keeps previews and final messages apart."""
        ...


class PreviewGate:
    """Lets no preview of a run come after its final message."""

    def __init__(self) -> None:
        self._calls: dict[str, asyncio.Lock] = {}
        self._open: set[str] = set()

    def open(self, run_id: str) -> None:
        """Previews of a run may come."""
        self._open.add(run_id)
        self._calls[run_id] = asyncio.Lock()

    def close(self, run_id: str) -> None:
        """None may come any more."""
        self._open.discard(run_id)
        self._calls.pop(run_id, None)

    @contextlib.asynccontextmanager
    async def preview(self, run_id: str) -> AsyncIterator[bool]:
        """Hold the gate for one preview; `False`: it must not be made."""
        lock = self._calls.get(run_id)
        if lock is None:
            yield False
            return
        async with lock:
            yield run_id in self._open

    @contextlib.asynccontextmanager
    async def final(self, run_id: str | None) -> AsyncIterator[None]:
        """Wait for a preview under way, and let no other come."""
        lock = self._calls.get(run_id or "")
        if run_id is None or lock is None:
            yield
            return
        self._open.discard(run_id)
        async with lock:
            yield


class LiveReplies:
    """Follows the runs that answer messages of channels."""

    def __init__(
        self,
        *,
        runs: RunSteps,
        clock: Clock,
        tasks: Tasks,
        typing_every_s: float = TYPING_EVERY_S,
        preview_every_s: float = PREVIEW_EVERY_S,
    ) -> None:
        self._runs = runs
        self._clock = clock
        self._tasks = tasks
        self._typing_every_s = typing_every_s
        self._preview_every_s = preview_every_s
        self._followed = 0

    def watch(self, account: LiveAccount, message: InboundMessage, run_id: str) -> None:
        """Follow a run that answers on an account, if the account has use for it."""
        live: object = account.live
        if self._followed >= MAX_FOLLOWED:
            return
        if isinstance(live, MarksRead) and message.external_id is not None:
            reading = _read(live, message.reply_route, message.external_id)
            self._tasks.start(reading, name=f"live.read:{run_id}")
        if isinstance(live, ShowsTyping | Previews):
            self._followed += 1
            following = self._follow(account, message.reply_route, run_id)
            self._tasks.start(following, name=f"live:{run_id}")

    async def _follow(self, account: LiveAccount, route: ReplyRoute, run_id: str) -> None:
        painter = _Painter(
            account,
            route,
            run_id,
            clock=self._clock,
            typing_every_s=self._typing_every_s,
            preview_every_s=self._preview_every_s,
        )
        account.previews.open(run_id)
        painting = self._tasks.start(painter.paint(), name=f"live.paint:{run_id}")
        try:
            async for step in self._runs.follow(run_id):
                painter.see(step)
            painter.stop()
            await asyncio.wait({painting})
            if painter.has_preview and not await self._runs.has_answer(run_id):
                await painter.take_back()
        except Exception as error:  # noqa: BLE001 - best effort: no answer depends on it
            log.warning("live.failed", run_id=run_id, error=repr(error))
        finally:
            self._followed -= 1
            painting.cancel()
            account.previews.close(run_id)


async def _read(live: MarksRead, route: ReplyRoute, message_id: str) -> None:
    try:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            await live.mark_read(route, message_id)
    except Exception as error:  # noqa: BLE001 - best effort
        log.debug("live.not_marked_read", error=repr(error))


class _Painter:
    """Shows one run on one account."""

    def __init__(
        self,
        account: LiveAccount,
        route: ReplyRoute,
        run_id: str,
        *,
        clock: Clock,
        typing_every_s: float,
        preview_every_s: float,
    ) -> None:
        self._account = account
        self._route = route
        self._run_id = run_id
        self._clock = clock
        self._typing_every_s = typing_every_s
        self._preview_every_s = preview_every_s
        self._text = ""
        self._shown = ""
        self._has_begun = False
        self._is_over = False
        self._troubles = 0
        self._typing_due_s = 0.0
        self._preview_due_s = 0.0
        self._changed = asyncio.Event()

    @property
    def has_preview(self) -> bool:
        """Whether something was shown."""
        return bool(self._shown)

    def see(self, step: AgentEvent | None) -> None:
        """Take note of a step."""
        if isinstance(step, TextDelta):
            self._text += step.text
        if not self._has_begun or isinstance(step, TextDelta):
            self._has_begun = True
            self._changed.set()

    def stop(self) -> None:
        """Show nothing more."""
        self._is_over = True
        self._changed.set()

    async def paint(self) -> None:
        """Show what there is to show, until told to stop."""
        while not self._is_over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._changed.wait()
            self._changed.clear()
            if self._has_begun and not self._is_over:
                await self._attempt(self._typing())
                await self._attempt(self._preview())
        await self._attempt(self._stop_typing())

    def _pause_s(self) -> float | None:
        if not self._has_begun:
            return None
        now_s = self._clock.monotonic_s()
        due_s = self._typing_due_s
        if self._wants_preview():
            due_s = min(due_s, self._preview_due_s)
        return max(0.0, due_s - now_s)

    def _wants_preview(self) -> bool:
        enough = len(self._text) >= FIRST_CHARS or bool(self._shown)
        return enough and self._text != self._shown and self._account.shows_previews

    async def _typing(self) -> None:
        now_s = self._clock.monotonic_s()
        live: object = self._account.live
        if now_s < self._typing_due_s:
            return
        self._typing_due_s = now_s + self._typing_every_s
        if isinstance(live, ShowsTyping):
            await live.typing(self._route, on=True)

    async def _stop_typing(self) -> None:
        live: object = self._account.live
        if self._has_begun and isinstance(live, ShowsTyping):
            await live.typing(self._route, on=False)

    async def _preview(self) -> None:
        now_s = self._clock.monotonic_s()
        live: object = self._account.live
        if now_s < self._preview_due_s or not self._wants_preview():
            return
        self._preview_due_s = now_s + self._preview_every_s
        if not isinstance(live, Previews):
            return
        text = self._text
        async with self._account.previews.preview(self._run_id) as may:
            if may:
                await live.preview(self._route, self._run_id, text)
                self._shown = text

    async def take_back(self) -> None:
        """Remove a preview that nothing will replace."""
        live: object = self._account.live
        if isinstance(live, Previews):
            await self._attempt(live.drop_preview(self._run_id))

    async def _attempt(self, call: Coroutine[Any, Any, None]) -> None:
        """Make a call in its time; what goes wrong makes the next ones rarer."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await call
        except RateLimited as limited:
            due_s = self._clock.monotonic_s() + limited.retry_after_s
            self._typing_due_s = max(self._typing_due_s, due_s)
            self._preview_due_s = max(self._preview_due_s, due_s)
        except Exception as error:  # noqa: BLE001 - best effort
            self._troubles += 1
            log.debug("live.not_shown", run_id=self._run_id, error=repr(error))
            if self._troubles >= GIVE_UP_AFTER:
                self._is_over = True
