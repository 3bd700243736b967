"""What a channel must be able to do for the outbox.

Source: architecture, "The message path"; the errors are the six a channel may raise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from portico.channels.model import ReplyRoute


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send.

    Attributes:
        delivery_id: stable over retries; channels whose provider takes a client id send it along.
    """

    delivery_id: str
    route: ReplyRoute
    text: str
    media: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """The provider has it."""

    message_id: str
    details: dict[str, Any] = field(default_factory=dict)


class ChannelError(Exception):
    """A send that did not work."""


class NotReady(ChannelError):
    """Not connected yet; try again soon."""


class AuthExpired(ChannelError):
    """The provider no longer accepts the credentials; a person must log in again."""


class RateLimited(ChannelError):
    """Too fast; the provider says when to try again."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Transient(ChannelError):
    """It certainly was not sent; trying again may work."""


class Rejected(ChannelError):
    """The provider refuses this message for good."""


class Uncertain(ChannelError):
    """It may or may not have been sent."""


class Channel(Protocol):
    """The sending side of one channel account."""

    @property
    def keyed(self) -> bool:
        """Whether sending the same delivery id twice is harmless."""
        ...

    async def send(self, message: Outgoing) -> Receipt:
        """Send one message.

        Raises:
            ChannelError: one of the six kinds above; anything else counts as `Uncertain`.
        """
        ...
