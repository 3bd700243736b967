"""The settings of a Matrix account.

Source: OpenClaw configuration reference, `channels.matrix`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import model_validator
from typing_extensions import override

from portico.channels.openclaw import ConversationRules, DirectRules, put_in_place
from portico.config.sections.base import group, setting
from portico.config.sections.channels import AccountConfig, Ids

USER_ID = r"^@[^:\s]+:\S+$"


class RoomRules(ConversationRules):
    """One room, as OpenClaw writes it."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {"account", "allowBots", "autoReply", "skills", "systemPrompt"}
    )


class DirectMessages(DirectRules):
    """Direct messages, as OpenClaw writes it."""

    not_used: ClassVar[frozenset[str]] = frozenset({"sessionScope", "threadReplies"})


class MatrixAccount(AccountConfig):
    """One user of a homeserver."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {
            "ackReaction",
            "ackReactionScope",
            "actions",
            "allowBots",
            "allowlistOnly",
            "avatarUrl",
            "blockStreaming",
            "chunkMode",
            "historyLimit",
            "initialSyncLimit",
            "network",
            "reactionNotifications",
            "responsePrefix",
            "startupVerification",
            "startupVerificationCooldownHours",
            "threadBindings",
        }
    )

    homeserver: str = setting(
        doc="The homeserver's address, such as https://matrix.example.org.",
        reload="hot",
        pattern=r"^https?://[^?#@\s]+$",
    )
    access_token: str | None = setting(
        None, "The user's access token; unset: userId and password.", reload="hot", secret=True
    )
    user_id: str | None = setting(
        None,
        "The user, as @bot:example.org; needed with a password.",
        reload="hot",
        pattern=USER_ID,
    )
    password: str | None = setting(
        None,
        "Used to log in once; the token it brings is kept in the account's folder.",
        reload="hot",
        secret=True,
    )
    device_name: str = setting(
        "Portico", "How a login with a password is called in the user's list.", reload="hot"
    )
    device_id: str | None = setting(
        None, "The device a login with a password takes; unset: a new one, kept.", reload="hot"
    )
    encryption: bool = setting(
        False,
        "Take part in encrypted rooms; the keys are kept in the account's folder.",
        reload="hot",
    )
    proxy: str | None = setting(None, "A proxy for all its requests.", reload="hot", secret=True)
    poll_seconds: int = setting(
        30, "How long one request waits for events.", reload="hot", ge=1, le=60
    )
    auto_join: Literal["always", "allowlist", "off"] | None = setting(
        None,
        "Invitations that are accepted. always: all; allowlist: from people in allowFrom or "
        "groupAllowFrom, to rooms under groups or in autoJoinAllowlist; off: none; unset: direct "
        "ones as dmPolicy says (all with pairing or open), others to rooms that may be used.",
        reload="hot",
    )
    auto_join_allowlist: Ids = setting(
        (), "Rooms, by id or alias, to which invitations are accepted.", reload="hot"
    )
    thread_replies: Literal["off", "inbound", "always"] = setting(
        "inbound",
        "inbound: what was asked in a thread is answered there; always: each question in a room "
        "begins a thread; off: threads are not told apart.",
        reload="hot",
    )
    reply_to_mode: Literal["off", "first", "all", "batched"] = setting(
        "off",
        "all: answers quote the message they answer; first and batched count as all.",
        reload="hot",
    )
    dm: DirectMessages = group(
        DirectMessages, "OpenClaw's place for dmPolicy and allowFrom; these count more."
    )
    rooms: dict[str, RoomRules] = setting(
        doc="OpenClaw's older name of groups; what is under groups counts more.",
        default_factory=dict,
        reload="hot",
    )
    catch_up_limit: int = setting(
        1000,
        "Most events of one room that are fetched after a pause; older ones are not taken in.",
        reload="hot",
        ge=0,
        le=100_000,
    )

    @model_validator(mode="before")
    @classmethod
    def _as_openclaw_writes_it(cls, given: Any) -> Any:
        """Put what is under `rooms` and `dm` where all channels have it."""
        return put_in_place(given, conversations="rooms")

    @property
    def quotes(self) -> bool:
        """Whether answers quote what they answer."""
        return self.reply_to_mode != "off"

    @property
    @override
    def missing(self) -> str | None:
        """There are two ways to log in; one is needed."""
        if self.access_token is not None or (
            self.user_id is not None and self.password is not None
        ):
            return None
        return "accessToken, or userId and password: one of them is needed to log in"
