"""RPC methods of the inbox: every message and what was decided about it. Portico's own additions.

A message that was refused or only kept, or whose run went wrong, can be answered after all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import msgspec

from portico.agents.runtime import TurnRequest
from portico.inbox import console
from portico.inbox.console import MessageRow, MessageState
from portico.inbox.service import Inbox
from portico.protocol.errors import InvalidRequest
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method
from portico.store import Store

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
SHOWN_CHARS = 200
DISCARDED = "discarded by an operator"


class RunRow(Protocol):
    """A turn, as far as the console shows it."""

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        ...

    @property
    def state(self) -> Any:
        """Its state; `succeeded` needs no second try."""
        ...

    @property
    def request(self) -> TurnRequest:
        """What it was asked."""
        ...


class Runs(Protocol):
    """The turns, as far as the console needs them."""

    async def find_all(self, run_ids: list[str]) -> Mapping[str, RunRow | None]:
        """Return turns by run id."""
        ...

    async def cancel(self, run_id: str, reason: str) -> bool:
        """Cancel a turn, waiting or running."""
        ...


class InboxList(Params, frozen=True, kw_only=True):
    """`{state?, channel?, accountId?, limit?}`."""

    state: MessageState | None = None
    channel: str | None = None
    account_id: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class MessageOf(Params, frozen=True, kw_only=True):
    """`{messageId}` or `{runId}`."""

    message_id: NonEmpty | None = None
    run_id: NonEmpty | None = None


class MessageShown(Result, frozen=True, kw_only=True):
    """One message.

    Attributes:
        run_state: how its run is, when there is one.
    """

    message_id: str
    channel: str
    account_id: str
    peer: dict[str, str]
    sender: str
    state: str
    text: str = msgspec.field()
    received_at: int = msgspec.field()
    sender_name: str | None = None
    thread_id: str | None = None
    reason: str | None = None
    session_key: str | None = None
    run_id: str | None = None
    run_state: str | None = None


class MessagesShown(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The newest messages, and how many there are by state."""

    messages: list[MessageShown]
    counts: dict[str, int]


class Retried(Result, frozen=True, kw_only=True, omit_defaults=False):
    """A message will be answered (again)."""

    message_id: str
    run_id: str


class Discarded(Result, frozen=True, kw_only=True, omit_defaults=False):
    """Whether a message's run was cancelled."""

    message_id: str
    discarded: bool


class InboxMethods:
    """`inbox.*`."""

    def __init__(self, *, inbox: Inbox, runs: Runs, store: Store) -> None:
        self._inbox = inbox
        self._runs = runs
        self._store = store

    @method("inbox.list", scope=Scope.READ)
    async def list(self, call: Call, params: InboxList) -> MessagesShown:
        """List messages, newest first, with what was decided about each."""
        found = await self._store.scan(
            console.list_messages,
            state=params.state or "",
            channel=params.channel or "",
            account=params.account_id or "",
            limit=params.limit,
        )
        runs = await self._runs.find_all([one.run_id for one in found if one.run_id])
        counts = await self._store.scan(console.counts)
        shown = [_shown(one, runs.get(one.run_id or ""), whole=False) for one in found]
        return MessagesShown(messages=shown, counts=counts)

    @method("inbox.get", scope=Scope.READ)
    async def get(self, call: Call, params: MessageOf) -> MessageShown:
        """Show one message, by its id or its run's."""
        message, run = await self._find(params)
        return _shown(message, run, whole=True)

    @method("inbox.retry", scope=Scope.WRITE)
    async def retry(self, call: Call, params: MessageOf) -> Retried:
        """Answer a message that was not answered."""
        message, run = await self._find(params)
        if run is not None and run.is_open:
            raise InvalidRequest(f"message {message.message_id} is being answered")
        if run is not None and run.state == "succeeded":
            raise InvalidRequest(f"message {message.message_id} was answered")
        asked = None if run is None else run.request
        run_id = await self._inbox.answer_after_all(
            message, asked, reason=f"retried by {call.principal.subject}"
        )
        return Retried(message_id=message.message_id, run_id=run_id)

    @method("inbox.discard", scope=Scope.WRITE)
    async def discard(self, call: Call, params: MessageOf) -> Discarded:
        """Do not answer a message that waits, or is being answered."""
        message, run = await self._find(params)
        if message.run_id is None or run is None or not run.is_open:
            raise InvalidRequest(f"message {message.message_id} does not wait for an answer")
        discarded = await self._runs.cancel(message.run_id, DISCARDED)
        return Discarded(message_id=message.message_id, discarded=discarded)

    async def _find(self, params: MessageOf) -> tuple[MessageRow, RunRow | None]:
        if params.message_id is not None:
            message = await self._store.read(console.find, params.message_id)
        elif params.run_id is not None:
            message = await self._store.read(console.find_by_run, params.run_id)
        else:
            raise InvalidRequest("messageId or runId required")
        if message is None:
            raise InvalidRequest(f"unknown message: {params.message_id or params.run_id}")
        if message.run_id is None:
            return message, None
        return message, (await self._runs.find_all([message.run_id])).get(message.run_id)


def _shown(message: MessageRow, run: RunRow | None, *, whole: bool) -> MessageShown:
    text = str(message.body.get("text", ""))
    return MessageShown(
        message_id=message.message_id,
        channel=message.channel,
        account_id=message.account,
        peer={"kind": message.peer_kind, "id": message.peer_id},
        thread_id=message.thread_id,
        sender=message.sender,
        sender_name=message.body.get("senderName"),
        text=text if whole else text[:SHOWN_CHARS],
        state=message.state,
        reason=message.reason,
        session_key=message.session_key,
        run_id=message.run_id,
        run_state=None if run is None else str(run.state),
        received_at=message.received_at,
    )
