"""`channels`: the accounts people write to, who may, and what happens when one breaks.

`Channels` knows the settings all channels share; the keys beside them are channels, and their
settings are declared by the channel itself: a subclass of `AccountConfig` that its manifest names
(see channels.py one folder up, which finds and checks them).

Source: OpenClaw configuration reference, section `channels`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict

from portico.config.sections.base import Section, group, setting
from portico.config.sections.tools import ToolRules

DmPolicy = Literal["pairing", "allowlist", "open", "disabled"]
GroupPolicy = Literal["disabled", "allowlist", "open"]
EVERY_GROUP = "*"


def _texts(value: Any) -> Any:
    """Ids are often written as numbers; they are compared as texts."""
    if isinstance(value, (list, tuple)):
        return [str(item) if type(item) is int else item for item in value]
    return value


Ids = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class GroupRules(Section):
    """One group, or `*` for those not named."""

    enabled: bool = setting(True, "false: its messages are refused.", reload="hot")
    require_mention: bool | None = setting(
        None, "Answer only when addressed; unset: as the account says.", reload="hot"
    )
    agent: str | None = setting(None, "The agent that answers here.", reload="hot")
    allow_from: Ids | None = setting(
        None,
        "Senders who may talk here, and `role:<id>` where senders have roles; unset: "
        "groupAllowFrom of the account.",
        reload="hot",
    )
    tools: ToolRules = group(ToolRules, "Tools in this group.")


class AccountConfig(Section):
    """What every account of every channel can be told. A channel's own settings come on top."""

    enabled: bool = setting(True, "false: the account is not started.", reload="hot")
    name: str | None = setting(None, "How the account is shown.", reload="hot")
    agent: str | None = setting(None, "The agent that answers; unset: the default.", reload="hot")
    dm_policy: DmPolicy = setting(
        "pairing",
        "Who may write directly. pairing: whoever an operator approves; allowlist: allowFrom; "
        'open: everybody, and allowFrom must hold "*" too; disabled: nobody.',
        reload="hot",
    )
    allow_from: Ids = setting((), "Stable ids of the senders who may write.", reload="hot")
    group_policy: GroupPolicy = setting(
        "allowlist",
        "allowlist: the groups under groups; open: every group; disabled: none.",
        reload="hot",
    )
    group_allow_from: Ids = setting(
        (), "Senders who may talk in groups; empty: everybody in an allowed group.", reload="hot"
    )
    groups: dict[str, GroupRules] = setting(
        doc="Allowed groups by id, with their rules; `*`: all of them.",
        reload="hot",
        default_factory=dict,
    )
    require_mention: bool = setting(
        True, "In groups, answer only when addressed; the rest is kept as context.", reload="hot"
    )
    mention_patterns: tuple[str, ...] = setting(
        (), "Words that count as being addressed, besides a mention of the account.", reload="hot"
    )
    text_chunk_limit: int | None = setting(
        None, "Longest message in characters; unset: what the channel takes.", reload="hot", ge=64
    )
    streaming: Literal["partial", "off"] = setting(
        "partial",
        "partial: where the channel can, answers are shown while they grow.",
        reload="hot",
    )
    media_max_mb: float = setting(20, "Largest file, either way, in MB.", reload="hot", gt=0)

    @property
    def exclusive(self) -> bool:
        """Whether only one replica at a time may receive. A webhook may be received by all."""
        return True

    @property
    def rules_of_groups(self) -> Mapping[str, GroupRules]:
        """The rules of groups, by the id of a group, of what it is a part of, or `*`."""
        return self.groups

    @property
    def stream(self) -> str | None:
        """Whose stream a stored cursor belongs to, in one line; `None`: it is always the same.

        When it changes (another bot's token, another mailbox) the cursor is forgotten.
        """
        return None

    @property
    def missing(self) -> str | None:
        """What is still to be set before the account can start, for the operator; `None`: all is.

        Use it for what may come later (a login); what is always needed is a required field.
        """
        return None


class Restarts(Section):
    """How an account that failed is started again."""

    first_ms: int = setting(1_000, "Wait after the first failure.", reload="hot", ge=10)
    longest_ms: int = setting(300_000, "Longest wait; it doubles until then.", reload="hot", ge=10)
    break_after: int = setting(
        10, "Failures in a row after which it is tried only now and then.", reload="hot", ge=1
    )
    break_ms: int = setting(900_000, "How long that pause is.", reload="hot", ge=10)
    healthy_ms: int = setting(
        60_000, "How long it must receive before earlier failures are forgotten.", reload="hot"
    )
    connect_ms: int = setting(
        60_000, "How long it may take to connect before that is a failure.", reload="hot", ge=100
    )
    teardown_ms: int = setting(
        10_000, "How long the old connection may take to close.", reload="hot", ge=10
    )


class Retries(Section):
    """How what could not be sent is tried again."""

    first_ms: int = setting(1_000, "Wait after the first attempt.", ge=10, reload="hot")
    longest_ms: int = setting(300_000, "Longest wait; it doubles until then.", ge=10, reload="hot")
    attempts: int = setting(
        50,
        "Attempts with a provider; waiting for an account that is away does not count.",
        ge=1,
        reload="hot",
    )
    expire_ms: int = setting(
        3_600_000,
        "A message that waited for so long is shown, and not sent any more.",
        ge=1_000,
        reload="hot",
    )
    resend_unknown: bool = setting(
        False,
        "Send again what may have arrived, on channels whose provider cannot tell: it may arrive "
        "twice.",
        reload="hot",
    )


class PairingLimits(Section):
    """What strangers may cost."""

    code_minutes: int = setting(60, "How long a pairing code is good.", reload="hot", ge=1)
    pending: int = setting(10, "Requests of one account that may wait.", reload="hot", ge=1)
    per_hour: int = setting(30, "New requests of one account in an hour.", reload="hot", ge=1)
    wrong_codes: int = setting(
        5, "Wrong codes in a row that lock approving by code.", reload="hot", ge=1
    )
    lock_minutes: int = setting(60, "How long it is locked.", reload="hot", ge=1)
    rejected_hours: int = setting(
        24, "How long a rejected person is not answered.", reload="hot", ge=0
    )


class Notify(Section):
    """Where lifecycle notices go: a chat of the operator on one of the channels."""

    channel: str | None = setting(None, "The channel; unset: notices only go to the log.")
    account: str = setting("default", "Its account.")
    to: str = setting("", "The chat's id.")
    thread_id: str | None = setting(None, "A thread in it.")
    after_failures: int = setting(3, "Failures in a row before an account is said to be down.")


class ChannelDefaults(Section):
    """What holds for all channels."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        {"heartbeat", "contextVisibility", "botLoopProtection", "implicitMentions"}
    )

    dm_policy: DmPolicy | None = setting(None, "dmPolicy where an account sets none.", reload="hot")
    group_policy: GroupPolicy | None = setting(
        None, "groupPolicy where an account sets none.", reload="hot"
    )
    pairing: PairingLimits = group(PairingLimits, "Strangers who ask to write.")
    restart: Restarts = group(Restarts, "Starting again after a failure.")
    retry: Retries = group(Retries, "Sending again.")
    notify: Notify = group(Notify, "Telling the operator.")
    lease_ms: int = setting(
        30_000, "How long a replica that is gone keeps an account from the others.", ge=500
    )
    stall_ms: int | None = setting(
        None,
        "Silence of the receiving side after which an account is restarted; unset: as each "
        "channel says.",
        ge=100,
        reload="hot",
    )


class Channels(Section):
    """The channels. Keys beside these settings are channels: `channels.telegram.botToken`."""

    model_config = ConfigDict(extra="allow")

    not_used: ClassVar[frozenset[str]] = frozenset({"modelByChannel"})

    defaults: ChannelDefaults = group(ChannelDefaults, "What holds for all channels.")

    @classmethod
    def section_named(cls, key: str) -> type[Section] | None:  # type: ignore[explicit-override]  # typing has it since 3.12
        """The settings of the channel of that name; `None`: there is no such channel."""
        from portico.config.channels import channel_section

        return None if key in cls.not_used else channel_section(key)

    def sections(self) -> dict[str, Any]:
        """What is written per channel, as it stands in the file."""
        extra = self.model_extra or {}
        return {name: value for name, value in extra.items() if name not in self.not_used}
