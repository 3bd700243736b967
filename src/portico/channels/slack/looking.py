"""Which of the app's messages have arrived already.

Theory of operation: Slack drops no repetition, but keeps metadata with a message. Each text is sent
with its delivery's id; one that may have arrived is looked for where it would be.

Guarantees: "not there" is said only when it was not to be seen twice in `SETTLE_S`, all that was
said lately was read, and the app can see its own metadata.

Source: https://docs.slack.dev/messaging/message-metadata;
https://docs.slack.dev/reference/methods/conversations.history
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from portico.channels.contract import Outgoing, Rejected
from portico.channels.slack.troubles import asked
from portico.clock import Clock

SETTLE_S = 1.5
"""How long a message whose answer was lost may take until it is to be seen."""
LOOK_BACK_S = 2 * 3600
FILES_LOOK_BACK_S = 600
MAX_LOOKED_AT = 1000
_DELIVERY, _PREVIEW = "portico_delivery", "portico_preview"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message goes."""

    channel: str
    thread_ts: str | None = None


@dataclass(slots=True)
class Found:
    """What of a delivery is there already."""

    ts: str | None = None
    preview_ts: str | None = None
    file_ts: dict[str, str] = field(default_factory=dict)  # by the file's name


def delivery_metadata(delivery_id: str) -> dict[str, Any]:
    """Return what a message is known by."""
    return {"event_type": _DELIVERY, "event_payload": {"id": delivery_id}}


def preview_metadata(run_id: str) -> dict[str, Any]:
    """Return what a preview is known by."""
    return {"event_type": _PREVIEW, "event_payload": {"runId": run_id}}


class Lookout:
    """Reads conversations for what the app has said there."""

    def __init__(self, client: AsyncWebClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def look(self, place: Place, message: Outgoing, *, own_id: str) -> Found:
        """Look for a delivery; twice, before it is believed not to be there.

        Raises:
            ChannelError: it cannot be told; a refusal leaves that to a person.
        """
        found = await self._looked(place, message, own_id)
        if found.ts is None:
            await asyncio.sleep(SETTLE_S)
            found = await self._looked(place, message, own_id)
        return found

    async def _looked(self, place: Place, message: Outgoing, own_id: str) -> Found:
        found = Found()
        own = await self._own_messages(place, own_id)
        for one in own:
            metadata = one.get("metadata") or {}
            said = metadata.get("event_payload") or {}
            kind = metadata.get("event_type")
            if kind == _DELIVERY and said.get("id") == message.delivery_id:
                found.ts = str(one["ts"])
            elif kind == _PREVIEW and message.run_id and said.get("runId") == message.run_id:
                found.preview_ts = str(one["ts"])
        if found.ts is None and any(_is_bare(one) for one in own):
            raise Rejected(
                "it cannot be told whether the message has arrived: the app sees its own messages "
                "without their metadata (scope metadata.message:read)"
            )
        if message.media and (found.ts or not message.text):
            # They carry no metadata: told by their names, after the text, or lately.
            since_s = float(found.ts or self._clock.now_ms() / 1000 - FILES_LOOK_BACK_S)
            recent = (one for one in own if float(one["ts"]) > since_s)
            found.file_ts = {
                str(file.get("name")): str(one["ts"])
                for one in recent
                for file in one.get("files") or ()
            }
        return found

    async def _own_messages(self, place: Place, own_id: str) -> list[dict[str, Any]]:
        """Return what the app said lately where a message goes, with its metadata."""
        oldest = f"{self._clock.now_ms() / 1000 - LOOK_BACK_S:.6f}"
        more: dict[str, Any] = {"oldest": oldest, "include_all_metadata": True, "limit": 200}
        found: list[dict[str, Any]] = []
        while len(found) < MAX_LOOKED_AT:
            call = (
                self._client.conversations_history(channel=place.channel, **more)
                if place.thread_ts is None
                else self._client.conversations_replies(
                    channel=place.channel, ts=place.thread_ts, **more
                )
            )
            page = await asked(call, reading=True)
            found += [one for one in page.get("messages") or () if isinstance(one, dict)]
            more["cursor"] = (page.get("response_metadata") or {}).get("next_cursor")
            if not more["cursor"]:
                return [one for one in found if one.get("user") == own_id]
        raise Rejected("too much was said there to tell whether the message has arrived")


def _is_bare(message: Mapping[str, Any]) -> bool:
    """Whether a message of the app lacks the metadata that each of its texts is sent with."""
    return not message.get("metadata") and not message.get("files")
