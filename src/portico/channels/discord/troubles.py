"""From the library's errors to the six a channel may raise, and to what an operator reads.

Source: https://docs.discord.com/developers/topics/opcodes-and-status-codes
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
import discord

from portico.channels.contract import (
    AuthExpired,
    ChannelError,
    Misconfigured,
    RateLimited,
    Rejected,
    Transient,
    Uncertain,
)
from portico.channels.discord.client import Failed5xx, Refused429

TROUBLES = (discord.DiscordException, aiohttp.ClientError, OSError, Refused429, Failed5xx)
"""What a request may raise."""
LONGEST_WAIT_S = 30.0
TOKEN_REFUSED = (
    "Discord does not accept the bot's token: reset it in the developer portal (Bot, Reset Token) "
    "and write the new one into the configuration"
)
INTENTS_REFUSED = (
    "Discord refuses an intent this account asks for (4014): in the developer portal, under Bot, "
    "Privileged Gateway Intents, switch on {wanted}; or do without: {without}"
)
SHARDS_NEEDED = (
    "this bot is in more servers than one connection may serve (4011); sharding is not supported"
)
_NOT_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientProxyConnectionError,
    aiohttp.ConnectionTimeoutError,
)
_INVALID_SETTINGS = {
    4010: SHARDS_NEEDED,
    4011: SHARDS_NEEDED,
    4012: "Discord no longer speaks this version of its gateway (4012): update Portico",
    4013: "Discord does not know the intents this account asks for (4013): update Portico",
}


T = TypeVar("T")


class Unreachable(ConnectionError):
    """There is no connection; the text says why, to the operator."""


def classified(error: BaseException) -> ChannelError:
    """Return what an error means for the delivery that met it."""
    match error:
        case ChannelError():
            return error
        case Refused429():
            return RateLimited(str(error), retry_after_s=error.retry_after_s)
        case discord.RateLimited():
            return RateLimited("Discord's limit is used up", retry_after_s=error.retry_after)
        case discord.HTTPException() if error.status == 401:
            return AuthExpired(TOKEN_REFUSED)
        case discord.HTTPException():
            return Rejected(f"Discord refuses it: {_said(error)}")
        case _ if isinstance(error, _NOT_SENT):
            return Transient(type(error).__name__)
        case Failed5xx():
            return Uncertain(str(error))
        case _:
            return Uncertain(type(error).__name__)


async def told(ask: Callable[[], Awaitable[T]]) -> T | None:
    """Return what Discord says; `None`: there is no such thing, or not for this bot.

    Raises:
        Unreachable: it does not say it now. Deciding without it could refuse a message for good.
    """
    while True:
        try:
            return await ask()
        except (discord.Forbidden, discord.NotFound):
            return None
        except (Refused429, discord.RateLimited) as error:
            wait_s = error.retry_after_s if isinstance(error, Refused429) else error.retry_after
            await asyncio.sleep(min(wait_s, LONGEST_WAIT_S))
        except TROUBLES as error:
            raise Unreachable(f"Discord does not answer: {classified(error)}") from error


def closed(code: int | None, *, content: bool, members: bool) -> Exception:
    """Return what a closed connection means for the account.

    Args:
        content, members: the privileged intents it asks for.
    """
    if code == 4004:
        return AuthExpired(TOKEN_REFUSED)
    if code == 4014:
        asked = [
            ("Message Content Intent", "intents.messageContent: false", content),
            ("Server Members Intent", "intents.guildMembers: false", members),
        ]
        wanted = " and ".join(name for name, _, is_asked in asked if is_asked)
        without = ", ".join(way for _, way, is_asked in asked if is_asked)
        return Misconfigured(INTENTS_REFUSED.format(wanted=wanted, without=without))
    if code in _INVALID_SETTINGS:
        return Misconfigured(_INVALID_SETTINGS[code])
    return Unreachable(f"Discord closed the connection ({code})")


def _said(error: discord.HTTPException) -> str:
    """Return Discord's words and its code; never an address, which may have a token in it."""
    return f"{error.text or error.status} ({error.code or error.status})"
