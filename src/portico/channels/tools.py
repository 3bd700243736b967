"""The tool that shows an agent which channel accounts there are to send through."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, tool


class ChannelsList(ToolArgs, frozen=True):
    """What `channels_list` takes: nothing."""


class AccountShown(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One account.

    Attributes:
        state: `connected`, or what is wrong.
    """

    channel: str
    account_id: str
    label: str
    state: str
    name: str | None = None


class ChannelTools:
    """`channels_list`.

    Args:
        accounts: returns every account there is now.
    """

    def __init__(self, accounts: Callable[[], Iterable[AccountShown]]) -> None:
        self._accounts = accounts

    @tool("channels_list", group="messaging", changes=False)
    async def list_channels(
        self, call: ToolCall, args: ChannelsList
    ) -> dict[str, list[AccountShown]]:
        """List the channel accounts that messages can be sent through, and how they are."""
        return {"channels": [*self._accounts()]}
