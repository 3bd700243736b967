"""The settings of a Slack app.

Source: OpenClaw configuration reference, `channels.slack`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import model_validator
from typing_extensions import override

from portico.channels.model import PeerKind
from portico.channels.openclaw import ConversationRules, DirectRules, put_in_place
from portico.config.sections.base import group, setting
from portico.config.sections.channels import AccountConfig

API = "https://slack.com/api/"
ReplyToMode = Literal["off", "first", "all", "batched"]


class ChannelRules(ConversationRules):
    """One channel, as OpenClaw writes it."""

    not_used: ClassVar[frozenset[str]] = frozenset({"skills", "systemPrompt", "allowBots"})


class DirectMessages(DirectRules):
    """Direct messages, as OpenClaw writes it."""

    not_used: ClassVar[frozenset[str]] = frozenset({"groupEnabled", "groupChannels", "replyToMode"})


class SlackAccount(AccountConfig):
    """One app in one workspace."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {
            "webhookPath",
            "userToken",
            "userTokenReadOnly",
            "reactionNotifications",
            "reactionAllowlist",
            "actions",
            "slashCommand",
            "commands",
            "thread",
            "historyLimit",
            "dmHistoryLimit",
            "dms",
            "chunkMode",
            "nativeStreaming",
            "ackReaction",
            "socketMode",
        }
    )

    bot_token: str = setting(
        doc="The bot's token, from OAuth & Permissions.",
        secret=True,
        reload="hot",
        pattern=r"^xox\S+$",
    )
    app_token: str | None = setting(
        None,
        "The app-level token with connections:write; needed in mode socket.",
        reload="hot",
        secret=True,
        pattern=r"^xapp-\S+$",
    )
    signing_secret: str | None = setting(
        None,
        "What Slack signs with, from Basic Information; needed in mode http.",
        reload="hot",
        secret=True,
        min_length=8,
    )
    mode: Literal["socket", "http"] = setting(
        "socket",
        "socket: Socket Mode, no public address needed; http: Slack posts to this gateway.",
        reload="hot",
    )
    api_url: str = setting(API, "The Web API.", reload="hot", pattern=r"^https?://")
    proxy: str | None = setting(None, "A proxy for all its requests.", reload="hot", secret=True)
    ping_seconds: float = setting(
        10,
        "How often the socket is asked whether it is alive; in mode http, Slack half as often.",
        reload="hot",
        ge=0.05,
        le=25,
    )
    reply_to_mode: ReplyToMode = setting(
        "off",
        "all: answers go into a thread under the message; off: only where there is one already. "
        "first and batched count as all.",
        reload="hot",
    )
    reply_to_mode_by_chat_type: dict[PeerKind, ReplyToMode] = setting(
        doc="replyToMode for direct messages (direct), group messages (group), channels (channel).",
        default_factory=dict,
        reload="hot",
    )
    allow_bots: bool = setting(
        False, "Whether messages of other bots are taken as messages.", reload="hot"
    )
    unfurl_links: bool | None = setting(
        None, "Whether links in answers are previewed; unset: as Slack does.", reload="hot"
    )
    unfurl_media: bool | None = setting(
        None, "Whether media in answers are previewed; unset: as Slack does.", reload="hot"
    )
    typing_reaction: str | None = setting(
        None,
        "An emoji's name, shown on a message while it is answered.",
        reload="hot",
        pattern=r"^[\w'+-]+$",
    )
    dm: DirectMessages = group(
        DirectMessages, "OpenClaw's place for dmPolicy and allowFrom; these count more."
    )
    channels: dict[str, ChannelRules] = setting(
        doc="OpenClaw's name of groups; what is under groups counts more.",
        default_factory=dict,
        reload="hot",
    )

    @model_validator(mode="before")
    @classmethod
    def _as_openclaw_writes_it(cls, given: Any) -> Any:
        """Put what is under `channels` and `dm` where all channels have it."""
        return put_in_place(given, conversations="channels")

    @property
    @override
    def exclusive(self) -> bool:
        """Requests of Slack may come to any replica."""
        return self.mode == "socket"

    @property
    @override
    def missing(self) -> str | None:
        """Each mode needs a secret of its own."""
        if self.mode == "socket" and self.app_token is None:
            return "appToken: Socket Mode needs an app-level token (xapp-…)"
        if self.mode == "http" and self.signing_secret is None:
            return "signingSecret: without it anybody could speak for Slack"
        return None

    def replies_in_thread(self, kind: PeerKind) -> bool:
        """Whether answers go into a thread under the message."""
        return self.reply_to_mode_by_chat_type.get(kind, self.reply_to_mode) != "off"
