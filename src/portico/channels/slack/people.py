"""Who and what is in a workspace: names, kinds of conversations, the directory.

Guarantees: what is remembered is bounded; a name that cannot be had holds nothing up.

Source: https://docs.slack.dev/reference/methods (users.info, users.list, conversations.info,
conversations.open, conversations.list)
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, Generic, TypeVar

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from portico.channels.contract import ChannelError, DirectoryEntry
from portico.channels.model import PeerKind
from portico.channels.slack.troubles import Refused, asked

log = structlog.get_logger()

MAX_KNOWN = 2000
NAME_TIMEOUT_S = 3.0
PAGE = 200
MAX_PAGES = 20
_KINDS: dict[str, PeerKind] = {
    "im": "direct",
    "mpim": "group",
    "channel": "channel",
    "group": "channel",
}

V = TypeVar("V")


class _Remembered(Generic[V]):
    """The values that were used last."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def put(self, key: str, value: V) -> None:
        self._values[key] = value
        if len(self._values) > MAX_KNOWN:
            self._values.popitem(last=False)


class People:
    """What one app knows about its workspace."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._names: _Remembered[str | None] = _Remembered()
        self._kinds: _Remembered[PeerKind] = _Remembered()
        self._direct: _Remembered[str] = _Remembered()

    async def name(self, user_id: str) -> str | None:
        """Return how a person is called; `None`: Slack does not say, or not soon."""
        if user_id in self._names:
            return self._names.get(user_id)
        try:
            async with asyncio.timeout(NAME_TIMEOUT_S):
                found = await asked(self._client.users_info(user=user_id), reading=True)
        except Refused:
            self._names.put(user_id, None)
            return None
        except (ChannelError, TimeoutError) as error:
            log.debug("slack.name_not_known", error=repr(error))
            return None
        name = _name_of(found.get("user") or {})
        self._names.put(user_id, name)
        return name

    async def kind(self, channel_id: str, told: str | None = None) -> PeerKind:
        """Return what kind of conversation it is.

        Args:
            told: Slack's word for it, when an event has it.
        """
        if channel_id.startswith("D"):
            return "direct"
        if told in _KINDS:
            self._kinds.put(channel_id, _KINDS[told])
        known = self._kinds.get(channel_id)
        if known is not None:
            return known
        try:
            async with asyncio.timeout(NAME_TIMEOUT_S):
                call = self._client.conversations_info(channel=channel_id)
                found = (await asked(call, reading=True)).get("channel") or {}
        except Refused:
            found = {}
        except (ChannelError, TimeoutError) as error:
            log.debug("slack.kind_not_known", error=repr(error))
            return "channel"
        kind: PeerKind = "group" if found.get("is_mpim") else "channel"
        self._kinds.put(channel_id, kind)
        return kind

    async def direct(self, user_id: str) -> str:
        """Return the conversation with one person.

        Raises:
            ChannelError: there is none.
        """
        known = self._direct.get(user_id)
        if known is not None:
            return known
        found = await asked(self._client.conversations_open(users=user_id), reading=True)
        channel_id = str((found.get("channel") or {}).get("id") or user_id)
        self._direct.put(user_id, channel_id)
        return channel_id

    async def entries(self, *, query: str, limit: int) -> list[DirectoryEntry]:
        """Return people and channels whose name or id contains a text."""
        found: list[DirectoryEntry] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            call = self._client.users_list(limit=PAGE, cursor=cursor)
            page = await asked(call, reading=True)
            found += _matching(map(_user, page.get("members") or ()), query)
            if (cursor := _next(page)) is None or len(found) >= limit:
                break
        for _ in range(MAX_PAGES):
            if len(found) >= limit:
                break
            call = self._client.conversations_list(
                limit=PAGE,
                cursor=cursor,
                exclude_archived=True,
                types="public_channel,private_channel,mpim",
            )
            page = await asked(call, reading=True)
            found += _matching(map(_conversation, page.get("channels") or ()), query)
            if (cursor := _next(page)) is None:
                break
        return found[:limit]


def _next(page: dict[str, Any]) -> str | None:
    return (page.get("response_metadata") or {}).get("next_cursor") or None


def _name_of(user: dict[str, Any]) -> str | None:
    profile = user.get("profile") or {}
    name = profile.get("display_name") or user.get("real_name") or profile.get("real_name")
    return name or user.get("name") or None


def _user(user: dict[str, Any]) -> DirectoryEntry | None:
    if user.get("deleted") or user.get("is_bot") or user.get("id") == "USLACKBOT":
        return None
    return DirectoryEntry("user", str(user["id"]), _name_of(user), user.get("name"))


def _conversation(channel: dict[str, Any]) -> DirectoryEntry:
    kind: PeerKind = "group" if channel.get("is_mpim") else "channel"
    return DirectoryEntry(kind, str(channel["id"]), channel.get("name"))


def _matching(entries: Any, query: str) -> list[DirectoryEntry]:
    wanted = query.casefold().lstrip("@#")
    return [
        one
        for one in entries
        if one is not None
        and any(wanted in (text or "").casefold() for text in (one.id, one.name, one.handle))
    ]
