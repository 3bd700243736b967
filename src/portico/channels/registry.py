"""The channel accounts there are: known from the start, whether or not they can send now.

Guarantees: a mailbox channel's answers are read from the transcript by whoever asked; the outbox
never sends them, though somebody may be sent a message there.
"""

from __future__ import annotations

from portico.channels.contract import Channel, RunningAccount
from portico.channels.text.split import split_markdown

MAILBOXES = frozenset({"webchat", "http", "openai", "agent", "cron", "hook", "node"})
DEFAULT_ACCOUNT = "default"


class ChannelRegistry:
    """Finds the sending side of an account."""

    def __init__(self, *, mailboxes: frozenset[str] = MAILBOXES) -> None:
        self._mailboxes = mailboxes
        self._accounts: dict[tuple[str, str], Channel] = {}

    def register(self, channel: str, account: str, sender: Channel) -> None:
        """Make an account known. It raises `NotReady` while it cannot send."""
        self._accounts[channel, account] = sender

    def unregister(self, channel: str, account: str) -> None:
        """Remove an account. Unknown ones are ignored."""
        self._accounts.pop((channel, account), None)

    def find(self, channel: str, account: str) -> Channel | None:
        """Return the account's sender; `None` when it is not configured."""
        return self._accounts.get((channel, account))

    def default_account(self, channel: str) -> str:
        """Return the account that is meant when none is named: `default`, or the first there is."""
        accounts = [account for name, account in self._accounts if name == channel]
        if DEFAULT_ACCOUNT in accounts or not accounts:
            return DEFAULT_ACCOUNT
        return accounts[0]

    def pieces(self, channel: str, account: str, text: str) -> list[str]:
        """Return a text as the messages it takes on an account."""
        limit = getattr(self._accounts.get((channel, account)), "text_limit", None)
        if limit is None or len(text) <= limit:
            return [text]
        return split_markdown(text, limit) or [text]

    def takes_polls(self, channel: str, account: str) -> bool:
        """Whether polls can be sent through an account."""
        return bool(getattr(self._accounts.get((channel, account)), "takes_polls", False))

    def live(self, channel: str, account: str) -> RunningAccount | None:
        """Return an account's run while it is connected; built-in channels have none."""
        found: RunningAccount | None = getattr(self._accounts.get((channel, account)), "live", None)
        return found

    def is_kept(self, channel: str, account: str) -> bool:
        """Whether an account is one that connects and may be away; built-in ones are not."""
        return hasattr(self._accounts.get((channel, account)), "live")

    def is_known(self, channel: str) -> bool:
        """Whether the channel has any account."""
        return any(name == channel for name, _ in self._accounts)

    def is_mailbox(self, channel: str) -> bool:
        """Whether answers on this channel are read from the transcript, not sent."""
        return channel in self._mailboxes
