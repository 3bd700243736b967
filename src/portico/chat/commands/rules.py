"""Who may give commands on a channel: no I/O.

Source: OpenClaw, slash commands ("Configuration"): `commands.text`, `allowFrom`, `ownerAllowFrom`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from portico.channels.model import InboundMessage
from portico.inbox.model import Giver
from portico.protocol.scopes import ALL_SCOPES, Scope, expand

ANYBODY = "*"
SENDER_SCOPES = expand([Scope.WRITE])


@dataclass(frozen=True, slots=True)
class CommandSettings:
    """What is configured of commands.

    Attributes:
        text: whether messages can be commands.
        in_menus: whether channels show them, where they have a menu.
        may_restart: whether `/restart` does something.
        owners: `<channel>:<sender>` of those who may do everything.
        allowed: by channel (or `*`), who may give commands at all; empty: who may write.
    """

    text: bool = True
    in_menus: bool = True
    may_restart: bool = True
    owners: frozenset[str] = frozenset()
    allowed: Mapping[str, frozenset[str]] = field(default_factory=dict)


class CommandRules:
    """Judges by what is configured now.

    Args:
        is_channel: whether people write through a channel: the doors of programs take no commands.
    """

    def __init__(self, settings: CommandSettings, *, is_channel: Callable[[str], bool]) -> None:
        self.settings = settings
        self._is_channel = is_channel

    def configure(self, settings: CommandSettings) -> None:
        """Judge by other settings from now on."""
        self.settings = settings

    def giver_of(self, message: InboundMessage) -> Giver | None:
        """Return who gives commands with a message; `None`: what it says is for the agent."""
        if not self.settings.text or not self._is_channel(message.channel):
            return None
        subject = f"{message.channel}:{message.sender}"
        # A sender that the channel itself does not believe is nobody's owner.
        is_owner = subject in self.settings.owners and message.is_untrusted is not True
        if not is_owner and not self._is_allowed(message.channel, message.sender):
            return None
        return Giver(
            subject=subject,
            scopes=ALL_SCOPES if is_owner else SENDER_SCOPES,
            name=message.sender_name or "",
            is_sender=True,
            is_alone=message.peer.kind == "direct",
        )

    def _is_allowed(self, channel: str, sender: str) -> bool:
        allowed = self.settings.allowed
        if not allowed:
            return True
        names = allowed.get(channel, allowed.get(ANYBODY, frozenset()))
        return not names.isdisjoint({ANYBODY, sender, f"{channel}:{sender}", f"user:{sender}"})
