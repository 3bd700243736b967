"""The settings of a Discord bot.

Source: OpenClaw configuration reference, `channels.discord`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import model_validator
from typing_extensions import override

from portico.config.sections.base import Section, group, setting
from portico.config.sections.channels import (
    EVERY_GROUP,
    AccountConfig,
    DmPolicy,
    GroupRules,
    Ids,
)
from portico.config.sections.tools import ToolRules

API = "https://discord.com/api/v10"
SNOWFLAKE = r"^\d{1,20}$"


class DmSettings(Section):
    """The older place of dmPolicy and allowFrom."""

    not_used: ClassVar[frozenset[str]] = frozenset({"groupEnabled", "groupChannels"})

    enabled: bool = setting(True, "false: direct messages are refused.", reload="hot")
    policy: DmPolicy | None = setting(None, "As dmPolicy, where that is unset.", reload="hot")
    allow_from: Ids = setting((), "As allowFrom, where that is not written.", reload="hot")


class Room(Section):
    """One channel of a server, with its threads; or `*` for those not named."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {"skills", "systemPrompt", "includeThreadStarter", "autoThread", "ignoreOtherMentions"}
    )

    allow: bool = setting(True, "false: its messages are refused.", reload="hot")
    enabled: bool = setting(True, "As allow.", reload="hot")
    require_mention: bool | None = setting(
        None, "Answer only when addressed; unset: as the server says.", reload="hot"
    )
    users: Ids | None = setting(None, "People who may talk here, by id.", reload="hot")
    roles: Ids | None = setting(None, "Roles that may talk here, by id.", reload="hot")
    agent: str | None = setting(None, "The agent that answers here.", reload="hot")
    tools: ToolRules = group(ToolRules, "Tools in this channel.")


class Server(Room):
    """One server (guild), or `*` for those not named."""

    not_used: ClassVar[frozenset[str]] = Room.not_used | {"slug", "reactionNotifications"}

    channels: dict[str, Room] = setting(
        doc="Its allowed channels by id; `*`: all of them. Empty: all of them.",
        reload="hot",
        default_factory=dict,
    )


class Intents(Section):
    """Privileged intents; each must be switched on in the developer portal, too."""

    not_used: ClassVar[frozenset[str]] = frozenset({"presence"})

    message_content: bool = setting(
        True,
        "Text of messages that do not mention the bot. Without it, servers need requireMention.",
        reload="hot",
    )
    guild_members: bool = setting(False, "Record who joins and leaves servers.", reload="hot")


class SlashCommand(Section):
    """The bot's commands, for those who do not like to type mentions."""

    not_used: ClassVar[frozenset[str]] = frozenset({"ephemeral"})

    enabled: bool = setting(True, "Offer them.", reload="hot")
    name: str = setting(
        "ask",
        "The command that carries a message.",
        reload="hot",
        pattern=r"^[a-z0-9_-]{1,32}$",
    )


class DiscordAccount(AccountConfig):
    """One bot."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {
            "actions",
            "activity",
            "activityType",
            "activityUrl",
            "agentComponents",
            "ackReaction",
            "ackReactionScope",
            "applicationId",
            "autoPresence",
            "blockStreaming",
            "capabilities",
            "chunkMode",
            "commands",
            "configWrites",
            "dmHistoryLimit",
            "dms",
            "draftChunk",
            "eventQueue",
            "execApprovals",
            "heartbeat",
            "historyLimit",
            "markdown",
            "maxLinesPerMessage",
            "pluralkit",
            "responsePrefix",
            "retry",
            "status",
            "threadBindings",
            "ui",
            "voice",
        }
    )

    token: str = setting(
        doc="The bot's token, from the developer portal.",
        secret=True,
        reload="hot",
        pattern=r"^[\w-]+\.[\w-]+\.[\w-]+$",
    )
    api_url: str = setting(
        API, "Discord's API, or a proxy of it.", reload="hot", pattern=r"^https?://[^?#]+$"
    )
    proxy: str | None = setting(
        None, "An HTTP proxy for all its connections.", reload="hot", secret=True
    )
    guilds: dict[str, Server] = setting(
        doc="Allowed servers by id, with their rules; `*`: all of them. `groups` goes before it.",
        reload="hot",
        default_factory=dict,
    )
    dm: DmSettings = group(DmSettings, "Direct messages, as older files have them.")
    intents: Intents = group(Intents, "What Discord tells the bot.")
    slash_command: SlashCommand = group(SlashCommand, "Slash commands.")
    reply_to_mode: Literal["off", "first", "all"] = setting(
        "off", "Whether answers quote the message they answer, or their first part.", reload="hot"
    )
    allow_bots: bool | Literal["mentions"] = setting(
        False, "Answer other bots, too; mentions: when they mention this one.", reload="hot"
    )
    catch_up_hours: float = setting(
        24,
        "After a longer absence, how far back messages are fetched; 0: they are not.",
        reload="hot",
        ge=0,
        le=24 * 14,
    )

    @model_validator(mode="before")
    @classmethod
    def _from_the_older_place(cls, written: Any) -> Any:
        """Take older spellings: `dm`, where its newer places are not written, and `streaming`."""
        if not isinstance(written, Mapping):
            return written
        if "streaming" in written:
            written = {**written, "streaming": _streaming(written["streaming"])}
        given = written.get("dm")
        if not isinstance(given, Mapping):
            return written
        dm = DmSettings.model_validate(given)
        lifted: dict[str, Any] = {}
        if dm.policy is not None:
            lifted["dmPolicy"] = dm.policy
        if dm.allow_from:
            lifted["allowFrom"] = list(dm.allow_from)
        forced = {} if dm.enabled else {"dmPolicy": "disabled"}
        return {**lifted, **written, **forced}

    @property
    @override
    def stream(self) -> str:
        """A token begins with the bot's id, encoded."""
        return self.token.partition(".")[0]

    @cached_property
    def _rules(self) -> dict[str, GroupRules]:
        found: dict[str, GroupRules] = {}
        for server_id, server in self.guilds.items():
            named = dict(server.channels)
            rest = named.pop(EVERY_GROUP, None)
            if rest is not None:
                found[server_id] = _rules_of(rest, server)
            else:
                found[server_id] = _rules_of(server, server, is_open=not named)
            found |= {room_id: _rules_of(room, server) for room_id, room in named.items()}
        return {**found, **self.groups}

    @property
    @override
    def rules_of_groups(self) -> Mapping[str, GroupRules]:
        """Ids of servers and channels never clash: one table holds them all."""
        return self._rules


def _streaming(written: Any) -> Any:
    """Return OpenClaw's ways to show an answer while it grows as one of the two there are."""
    if isinstance(written, Mapping):
        written = written.get("mode", "partial")
    if isinstance(written, bool):
        return "partial" if written else "off"
    return "partial" if written in {"block", "progress"} else written


def _rules_of(room: Room, server: Server, *, is_open: bool = True) -> GroupRules:
    needs = server.require_mention if room.require_mention is None else room.require_mention
    users = server.users if room.users is None else room.users
    roles = server.roles if room.roles is None else room.roles
    allowed = None
    if users is not None or roles is not None:
        allowed = (*(users or ()), *(f"role:{role}" for role in roles or ()))
    return GroupRules(
        enabled=is_open and room.allow and room.enabled,
        require_mention=needs,
        agent=room.agent or server.agent,
        allow_from=allowed,
        tools=room.tools if "tools" in room.model_fields_set else server.tools,
    )
