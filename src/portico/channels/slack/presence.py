"""Showing that an answer is being written: a status in a thread, a reaction on the message.

Source: https://docs.slack.dev/reference/methods/assistant.threads.setStatus;
https://docs.slack.dev/reference/methods/reactions.add
"""

from __future__ import annotations

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from portico.channels.slack.looking import Place
from portico.channels.slack.troubles import Refused, asked
from portico.clock import Clock

log = structlog.get_logger()

STATUS = "is typing…"
STATUS_EVERY_S = 60


class Presence:
    """What people see while the app is at work.

    Args:
        reaction: an emoji's name; `None`: no reactions.
    """

    def __init__(self, client: AsyncWebClient, clock: Clock, *, reaction: str | None) -> None:
        self._client = client
        self._clock = clock
        self._reaction = reaction
        self._shows_status = True
        self._status_due_s: dict[Place, float] = {}
        self._marked: set[tuple[str, str]] = set()

    async def show(self, place: Place, message_id: str | None, *, on: bool) -> None:
        """Show it, or show it no longer."""
        if self._reaction and message_id:
            await self._mark(place.channel, message_id, on=on)
        if place.thread_ts is not None and self._is_status_due(place, on=on):
            await self._set_status(place, STATUS if on else "")

    def _is_status_due(self, place: Place, *, on: bool) -> bool:
        """Whether Slack must be told: it shows a status for two minutes, if nothing is said."""
        now_s = self._clock.monotonic_s()
        due_s = self._status_due_s.pop(place, 0.0)
        if not on or not self._shows_status:
            return due_s > 0
        self._status_due_s[place] = due_s if now_s < due_s else now_s + STATUS_EVERY_S
        return now_s >= due_s

    async def _set_status(self, place: Place, status: str) -> None:
        try:
            await asked(
                self._client.assistant_threads_setStatus(
                    channel_id=place.channel, thread_ts=str(place.thread_ts), status=status
                )
            )
        except Refused as error:  # this app may not, or this workspace has no such thing
            self._shows_status = False
            self._status_due_s.clear()
            log.info("slack.status_not_shown", error=str(error))

    async def _mark(self, channel: str, ts: str, *, on: bool) -> None:
        if on is ((channel, ts) in self._marked):
            return
        (self._marked.add if on else self._marked.discard)((channel, ts))
        await react(self._client, channel, ts, str(self._reaction), remove=not on)


async def react(client: AsyncWebClient, channel: str, ts: str, name: str, *, remove: bool) -> None:
    """Add a reaction, or take it back; one that is as it should be is fine."""
    change = client.reactions_remove if remove else client.reactions_add
    try:
        await asked(change(channel=channel, timestamp=ts, name=name))
    except Refused as error:
        if error.code not in {"already_reacted", "no_reaction"}:
            raise
