"""The events of a sync, whole and in order: what a room's answer leaves out is asked for.

Theory of operation: a homeserver gives at most a page of each room and says that it is limited;
the rest, back to the position of the last sync, is fetched page by page. In a room we have just
come into, it goes back to our invitation: what was said while we came in counts; what was said
before it, or before we joined a room without one, does not.

Guarantees: at most `limit` events of one room; when there were more, that is recorded.

Source: https://spec.matrix.org/latest/client-server-api/#syncing
"""

from __future__ import annotations

from typing import Any

import structlog

from portico.channels.matrix.homeserver import Homeserver
from portico.channels.matrix.model import RoomNews
from portico.channels.matrix.troubles import Trouble

log = structlog.get_logger()

PAGE = 100
BEFORE_JOINING = 200
"""How far back our invitation is looked for."""


class CatchingUp:
    """Completes what a sync brings."""

    def __init__(self, home: Homeserver, *, limit: int) -> None:
        self._home = home
        self._limit = limit

    async def whole(self, news: RoomNews, *, since: str) -> tuple[list[dict[str, Any]], bool]:
        """Return a room's events since a position, and whether there were too many.

        Raises:
            Trouble: the homeserver cannot give them now.
        """
        events = news.events
        came_in = self._last_join(events)
        if came_in is None:
            if not news.is_limited or news.before is None:
                return events, False
            missed, is_cut = await self._missed(news, since)
            return [*missed, *events], is_cut
        if not self._was_invited(events[came_in]):
            return events[came_in:], False
        start = self._invitation(events[:came_in])
        if start is None and news.before is not None:
            earlier = await self._pages(news.room_id, news.before, None, BEFORE_JOINING)
            events = [*earlier, *events]
            came_in = self._last_join(events) or 0
            start = self._invitation(events[:came_in])
        return events[came_in if start is None else start + 1 :], False

    async def _missed(self, news: RoomNews, since: str) -> tuple[list[dict[str, Any]], bool]:
        if self._limit == 0 or news.before is None:
            return [], True
        found = await self._pages(news.room_id, news.before, since, self._limit + 1)
        is_cut = len(found) > self._limit
        if is_cut:
            log.warning("matrix.gap_too_large", room=news.room_id, limit=self._limit)
        return found[-self._limit :], is_cut

    async def _pages(
        self, room_id: str, before: str, until: str | None, limit: int
    ) -> list[dict[str, Any]]:
        """Return up to so many events before a position, oldest first."""
        found: list[dict[str, Any]] = []
        position: str | None = before
        while position is not None and len(found) < limit:
            page, position = await self._page(room_id, position, until, limit - len(found))
            found += page
            if not page or (until is None and self._invitation(page) is not None):
                break
        return found[:limit][::-1]

    async def _page(
        self, room_id: str, before: str, until: str | None, wanted: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        try:
            return await self._home.history(
                room_id, before=before, until=until, limit=min(PAGE, wanted)
            )
        except Trouble as trouble:
            if trouble.status == 403:  # we are not in there any more
                return [], None
            raise

    def _last_join(self, events: list[dict[str, Any]]) -> int | None:
        """Where we came into a room; a changed name is no coming in."""
        for at in range(len(events) - 1, -1, -1):
            event = events[at]
            if self._membership(event) == "join" and _before(event) != "join":
                return at
        return None

    def _invitation(self, events: list[dict[str, Any]]) -> int | None:
        found = [at for at, event in enumerate(events) if self._membership(event) == "invite"]
        return found[-1] if found else None

    def _was_invited(self, join: dict[str, Any]) -> bool:
        return _before(join) == "invite"

    def _membership(self, event: dict[str, Any]) -> str | None:
        """Return what an event makes of us; `None`: it is not about us."""
        if event.get("type") != "m.room.member" or event.get("state_key") != self._home.user_id:
            return None
        content = event.get("content")
        found = content.get("membership") if isinstance(content, dict) else None
        return found if isinstance(found, str) else None


def _before(event: dict[str, Any]) -> str | None:
    unsigned = event.get("unsigned")
    before = unsigned.get("prev_content") if isinstance(unsigned, dict) else None
    found = before.get("membership") if isinstance(before, dict) else None
    return found if isinstance(found, str) else None
