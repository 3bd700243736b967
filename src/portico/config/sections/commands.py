"""`commands`: messages that the gateway answers itself.

Source: OpenClaw configuration reference, section `commands`; its slash commands.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from portico.config.sections.base import Section, setting
from portico.config.sections.channels import Ids


class Commands(Section):
    """What begins with a slash."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        bash bashForegroundMs config debug mcp nativeSkills ownerDisplay ownerDisplaySecret plugins
        useAccessGroups
        """.split()
    )

    text: bool = setting(
        True, "Answer messages such as /status; false: they go to the agent.", reload="hot"
    )
    native: Literal["auto", True, False] = setting(
        "auto",
        "Whether channels with a menu of commands (Telegram) show them there; auto: yes. Counts "
        "from an account's next start.",
        reload="hot",
    )
    restart: bool = setting(True, "Whether /restart restarts the gateway.", reload="hot")
    owner_allow_from: Ids = setting(
        (),
        "Who may use every command from a channel: `<channel>:<sender>`, such as telegram:12345. "
        "Without a channel before it, a sender is nobody's.",
        reload="hot",
    )
    allow_from: dict[str, Ids] = setting(
        doc="Who may use commands at all: senders by channel, or for all channels under `*`; the "
        "sender `*` is everybody. Empty: whoever may write.",
        reload="hot",
        default_factory=dict,
    )
