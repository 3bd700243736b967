"""RPC methods that change which accounts there are, in the file and at once.

`channels.add` and `channels.remove` are Portico's own additions.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from portico.config.issues import ConfigError
from portico.config.live import Decide, LiveConfig
from portico.protocol.errors import InvalidRequest, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
AccountId = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[\w.@+-]+$")]
DEFAULT_ACCOUNT = "default"


class Add(Params, frozen=True, kw_only=True):
    """`{channel, accountId?, settings?}`."""

    channel: NonEmpty
    account_id: AccountId = DEFAULT_ACCOUNT
    settings: dict[str, Any] = msgspec.field(default_factory=dict)


class Remove(Params, frozen=True, kw_only=True):
    """`{channel, accountId?}`."""

    channel: NonEmpty
    account_id: NonEmpty = DEFAULT_ACCOUNT


class Configured(Result, frozen=True, kw_only=True, omit_defaults=False):
    """What was changed."""

    channel: str
    account_id: str
    path: str
    hash: str | None


class ChannelConfigMethods:
    """`channels.add` and `channels.remove`."""

    def __init__(self, live: LiveConfig) -> None:
        self._live = live

    @method("channels.add", scope=Scope.ADMIN, throttled=True, audit="channel.added")
    async def add(self, call: Call, params: Add) -> Configured:
        """Add an account of a channel, or change its settings, in the file; and follow that."""
        from portico.config.channel_edits import adding

        return await self._edit(
            params.channel,
            params.account_id,
            lambda now: adding(now, params.channel, params.account_id, params.settings),
        )

    @method("channels.remove", scope=Scope.ADMIN, throttled=True, audit="channel.removed")
    async def remove(self, call: Call, params: Remove) -> Configured:
        """Take an account of a channel out of the file, and stop it."""
        from portico.config.channel_edits import removing

        return await self._edit(
            params.channel,
            params.account_id,
            lambda now: removing(now, params.channel, params.account_id),
        )

    async def _edit(self, channel: str, account: str, decide: Decide) -> Configured:
        try:
            loaded = await self._live.edit(decide)
        except ConfigError as error:
            first = error.issues[0]
            where = f"{first.path}: " if first.path else ""
            raise InvalidRequest(
                f"invalid config: {where}{first.message}",
                details={
                    "code": "INVALID_CONFIG",
                    "issues": [issue.to_wire() for issue in error.issues],
                },
            ) from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise Unavailable(f"the config file cannot be written: {reason}") from None
        return Configured(
            channel=channel,
            account_id=account,
            path=str(loaded.paths.config_file),
            hash=loaded.hash,
        )
