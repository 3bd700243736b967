"""From what a caller names to the route of a message: a channel, an account, somebody.

Guarantees: a route leads to an account that is there.
"""

from __future__ import annotations

from portico.channels.model import Peer, ReplyRoute
from portico.channels.registry import ChannelRegistry
from portico.protocol.errors import InvalidRequest, Outcome

DEFAULT_CHANNEL = "webchat"


def route_to(
    senders: ChannelRegistry,
    *,
    to: str,
    channel: str | None = None,
    account: str | None = None,
    thread_id: str | None = None,
    reply_to_id: str | None = None,
) -> ReplyRoute:
    """Return the route to somebody.

    Raises:
        InvalidRequest: there is no such channel or account; nothing was done.
    """
    channel = channel or DEFAULT_CHANNEL
    if not senders.is_known(channel):
        raise refused(f"unsupported channel: {channel}")
    account = account or senders.default_account(channel)
    if senders.find(channel, account) is None:
        raise refused(f"unknown account of {channel}: {account}")
    return ReplyRoute(
        channel=channel,
        account=account,
        peer=Peer("direct", to),
        thread_id=thread_id,
        context={} if reply_to_id is None else {"replyToId": reply_to_id},
    )


def refused(message: str) -> InvalidRequest:
    """Return a refusal after which an idempotency key may be used again: nothing happened."""
    return InvalidRequest(message, outcome=Outcome.NOT_STARTED)
