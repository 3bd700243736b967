"""From the library's errors to the six a channel may raise.

Source: https://core.telegram.org/bots/api#making-requests; python-telegram-bot, `telegram.error`.
"""

from __future__ import annotations

import httpx
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    EndPointNotFound,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)

from portico.channels.contract import (
    AuthExpired,
    ChannelError,
    RateLimited,
    Rejected,
    Transient,
    Uncertain,
)

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""What goes wrong before a request has left."""

TOKEN_REFUSED = "Telegram does not accept the bot's token: get a new one from @BotFather"
TAKEN = "another program receives with this bot's token (409): stop it, or give it a bot of its own"


def classified(error: TelegramError) -> ChannelError:
    """Return what an error means for the delivery that met it."""
    match error:
        case RetryAfter():
            return RateLimited(str(error), retry_after_s=_seconds(error))
        case InvalidToken() | EndPointNotFound():
            return AuthExpired(TOKEN_REFUSED)
        case Forbidden() | BadRequest() | ChatMigrated() | Conflict():
            return Rejected(str(error))
        case NetworkError() if isinstance(error.__cause__, NOT_SENT):
            return Transient(told(error))
        case _:
            return Uncertain(told(error))


def _seconds(error: RetryAfter) -> float:
    after = error.retry_after
    return float(after) if isinstance(after, int | float) else after.total_seconds()


def told(error: TelegramError) -> str:
    """Return a sentence without the address, which has the token in it."""
    cause = error.__cause__
    return type(cause).__name__ if cause is not None else str(error)
