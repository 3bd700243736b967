"""What is done to a message that is there already: react to it, change it, take it back, read it.

Theory of operation: unlike a message, an action is not queued. It is tried once, at once, on the
account as it is connected now, and whoever asked is told what became of it: doing it again later,
by itself, would surprise people who have gone on talking.

Guarantees: every failure is one of the protocol's errors, with a code in `details` and what is
known of the outcome; nothing waits longer than `TIMEOUT_S`.

Not here: sending (service.py); who may ask for what (rpc_actions.py, tools.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import structlog

from portico.channels.contract import (
    AuthExpired,
    Deletes,
    Edits,
    MarksRead,
    NotReady,
    RateLimited,
    Reacts,
    Rejected,
    RunningAccount,
    Transient,
)
from portico.channels.model import ReplyRoute
from portico.channels.registry import ChannelRegistry
from portico.protocol.errors import GatewayError, InvalidRequest, Outcome, Unavailable

log = structlog.get_logger()

TIMEOUT_S = 20.0


class MessageActions:
    """Acts on messages through the accounts that are connected."""

    def __init__(self, senders: ChannelRegistry) -> None:
        self._senders = senders

    async def react(
        self, route: ReplyRoute, message_id: str, emoji: str, *, remove: bool = False
    ) -> None:
        """Add or remove a reaction.

        Raises:
            InvalidRequest: the channel has no reactions, or refuses this one.
            Unavailable: it cannot be reached, or nobody knows whether it was done.
        """
        account = self._account(route, "react")
        if not isinstance(account, Reacts):
            raise cannot(route, "react")
        await _done(route, account.react(route, message_id, emoji, remove=remove))

    async def edit(self, route: ReplyRoute, message_id: str, text: str) -> None:
        """Change a message's text. Raises as `react`."""
        account = self._account(route, "edit")
        if not isinstance(account, Edits):
            raise cannot(route, "edit")
        if len(self._senders.pieces(route.channel, route.account, text)) > 1:
            raise InvalidRequest(
                "the text is too long for one message",
                details={"code": "TEXT_TOO_LONG"},
                outcome=Outcome.NOT_STARTED,
            )
        await _done(route, account.edit(route, message_id, text))

    async def delete(self, route: ReplyRoute, message_id: str) -> None:
        """Take a message back. Raises as `react`."""
        account = self._account(route, "delete")
        if not isinstance(account, Deletes):
            raise cannot(route, "delete")
        await _done(route, account.delete(route, message_id))

    async def mark_read(self, route: ReplyRoute, message_id: str) -> None:
        """Mark a message as read. Raises as `react`."""
        account = self._account(route, "read")
        if not isinstance(account, MarksRead):
            raise cannot(route, "read")
        await _done(route, account.mark_read(route, message_id))

    def _account(self, route: ReplyRoute, action: str) -> RunningAccount:
        live = self._senders.live(route.channel, route.account)
        if live is not None:
            return live
        if not self._senders.is_kept(route.channel, route.account):
            raise cannot(route, action)
        raise _told(route, NotReady("it is not connected"))


def cannot(route: ReplyRoute, action: str) -> InvalidRequest:
    """Return what is said of a channel that has no such action."""
    return InvalidRequest(
        f"{route.channel} cannot {action}",
        details={"code": "ACTION_UNSUPPORTED", "channel": route.channel, "action": action},
        outcome=Outcome.NOT_STARTED,
    )


async def _done(route: ReplyRoute, action: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await action
    except Exception as error:
        log.warning("channel.action_failed", channel=route.channel, error=type(error).__name__)
        raise _told(route, error) from error


def _told(route: ReplyRoute, error: Exception) -> GatewayError:
    """Return what an account raised, as the protocol says it."""
    text = f"{route.channel}:{route.account}: {error}"
    nothing = Outcome.NOT_STARTED
    match error:
        case Rejected():
            return InvalidRequest(text, details={"code": "CHANNEL_REJECTED"}, outcome=nothing)
        case AuthExpired():
            return Unavailable(text, details={"code": "CHANNEL_LOGGED_OUT"}, outcome=nothing)
        case RateLimited():
            return Unavailable(
                text,
                details={"code": "CHANNEL_RATE_LIMITED"},
                retryable=True,
                retry_after_ms=int(error.retry_after_s * 1000),
                outcome=nothing,
            )
        case NotReady() | Transient():
            details = {"code": "CHANNEL_NOT_CONNECTED"}
            return Unavailable(text, details=details, retryable=True, outcome=nothing)
        case _:
            # What an account raises against the contract may hold anything; its kind is enough.
            return Unavailable(
                f"{route.channel}:{route.account}: nobody knows whether it was done "
                f"({type(error).__name__})",
                details={"code": "CHANNEL_OUTCOME_UNKNOWN"},
                outcome=Outcome.UNCERTAIN,
            )
