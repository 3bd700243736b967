"""`session` and `messages`: how conversations are kept apart and how a busy one queues.

Source: OpenClaw configuration reference, sections `session` and `messages`; its queue concepts.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import field_validator

from portico.config.sections.base import Section, group, setting

QueueMode = Literal["followup", "collect", "steer", "interrupt"]
DmScope = Literal["main", "per-peer", "per-channel-peer", "per-account-channel-peer"]


class PingPong(Section):
    """Agents that write to each other."""

    max_ping_pong_turns: int = setting(
        5, "How often a message may be passed on from session to session.", ge=0, le=100
    )


class SessionSettings(Section):
    """Sessions."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        groupScope heartbeatIdleMinutes identityLinks idleMinutes maintenance
        parentForkMaxTokens reset resetByChannel resetByType resetTriggers scope sendPolicy store
        threadBindings typingMode typingIntervalSeconds
        """.split()
    )

    dm_scope: DmScope = setting(
        "main", "How direct messages are kept apart; main: they share one session.", reload="hot"
    )
    main_key: str = setting("main", "Name of the main session.", min_length=1)
    agent_to_agent: PingPong = group(PingPong, "Agents that write to each other.")


class QueueSettings(Section):
    """What happens to a message while the session is busy."""

    not_used: ClassVar[frozenset[str]] = frozenset({"debounceMs", "debounceMsByChannel"})

    mode: QueueMode = setting(
        "followup",
        "followup: one turn each, in order; collect: one turn for all that waited; steer: into "
        "the running turn; interrupt: stop it and start anew.",
        reload="hot",
    )
    cap: int = setting(20, "Messages that may wait per session.", reload="hot", ge=1, le=10_000)
    drop: Literal["summarize", "old", "new"] = setting(
        "summarize", "What gives way when the queue is full.", reload="hot"
    )
    by_channel: dict[str, QueueMode] = setting(
        doc="Mode per channel.", reload="hot", default_factory=dict
    )

    @field_validator("mode", mode="before")
    @classmethod
    def _older_names(cls, value: Any) -> Any:
        return _older_mode(value)

    @field_validator("by_channel", mode="before")
    @classmethod
    def _older_names_by_channel(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {channel: _older_mode(mode) for channel, mode in value.items()}


def _older_mode(mode: Any) -> Any:
    # OpenClaw 2026.2 named steering twice more.
    return "steer" if mode in {"queue", "steer-backlog", "steer+backlog"} else mode


class Messages(Section):
    """Messages."""

    not_used: ClassVar[frozenset[str]] = frozenset(
        """
        ackReaction ackReactionScope groupChat inbound messagePrefix removeAckAfterReply
        responsePrefix statusReactions suppressToolErrors usageTemplate visibleReplies
        """.split()
    )

    queue: QueueSettings = group(QueueSettings, "The queue of a busy session.")
