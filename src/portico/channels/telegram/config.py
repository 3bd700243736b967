"""The settings of a Telegram bot.

Source: OpenClaw configuration reference, `channels.telegram`.
"""

from __future__ import annotations

from typing import Literal

from typing_extensions import override

from portico.config.sections.base import Section, setting
from portico.config.sections.channels import AccountConfig

API = "https://api.telegram.org"


class Command(Section):
    """One entry of the bot's menu."""

    command: str = setting(
        doc="Its name, without the slash.", reload="hot", pattern=r"^[a-z0-9_]{1,32}$"
    )
    description: str = setting(doc="What it does.", reload="hot", min_length=1, max_length=256)


class TelegramAccount(AccountConfig):
    """One bot."""

    bot_token: str = setting(
        doc="The bot's token, from @BotFather.",
        secret=True,
        reload="hot",
        pattern=r"^\d+:[\w-]+$",
    )
    api_root: str = setting(API, "The Bot API server.", reload="hot", pattern=r"^https?://")
    proxy: str | None = setting(None, "A proxy for all its requests.", reload="hot", secret=True)
    poll_seconds: int = setting(
        30, "How long one request waits for updates.", reload="hot", ge=1, le=50
    )
    webhook_url: str | None = setting(
        None,
        "Public https address of this gateway: updates come by webhook instead of polling.",
        reload="hot",
        pattern=r"^https?://",
    )
    webhook_secret: str | None = setting(
        None,
        "What Telegram proves itself with; needed with webhookUrl.",
        reload="hot",
        secret=True,
        pattern=r"^[A-Za-z0-9_-]{16,256}$",
    )
    reply_to_mode: Literal["off", "all"] = setting(
        "off", "all: answers quote the message they answer.", reload="hot"
    )
    link_preview: bool = setting(True, "Whether links in answers are previewed.", reload="hot")
    custom_commands: tuple[Command, ...] = setting(
        (), "The bot's menu, besides the gateway's own commands.", reload="hot"
    )

    @property
    @override
    def exclusive(self) -> bool:
        """Updates of a webhook may come to any replica."""
        return self.webhook_url is None

    @property
    @override
    def stream(self) -> str:
        """Updates are numbered for each bot."""
        return self.bot_token.partition(":")[0]

    @property
    @override
    def missing(self) -> str | None:
        """A webhook without a secret would believe anybody."""
        if self.webhook_url is not None and self.webhook_secret is None:
            return "webhookSecret: a webhook needs one"
        return None
