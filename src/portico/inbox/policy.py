"""Who may talk to the agent through a door, and when a message is meant for it.

A table of rules, no I/O: each decision carries the reason that is recorded with the message.
"""

from __future__ import annotations

from dataclasses import dataclass

from portico.channels.admission import Decision, Verdict
from portico.channels.model import InboundMessage
from portico.store import Work


@dataclass(frozen=True, slots=True)
class DoorPolicy:
    """The rules of one door.

    Attributes:
        allow_senders: stable sender ids that may talk; `None`: everyone the door let in; empty:
            nobody.
        require_mention: in a group or thread, answer only when addressed.
        mention_patterns: texts that count as being addressed; compared as they are.
    """

    allow_senders: frozenset[str] | None = None
    require_mention: bool = False
    mention_patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.require_mention and not self.mention_patterns:
            raise ValueError("requireMention needs at least one entry in mentionPatterns")

    def decide(self, message: InboundMessage, *, searchable: str) -> Decision:
        """Judge a message.

        Args:
            searchable: all its text, the texts of its parts included.
        """
        if self.allow_senders is not None and message.sender not in self.allow_senders:
            return Decision(Verdict.REFUSE, "sender is not on the allowlist")
        shared = message.peer.kind != "direct" or message.thread_id is not None
        if self.require_mention and shared and not self._mentioned(message, searchable):
            return Decision(Verdict.CONTEXT, "the assistant was not mentioned")
        return Decision(Verdict.ADMIT)

    def judge(self, message: InboundMessage, *, searchable: str, now: int) -> Work[Decision]:
        """Judge a message inside its transaction; this policy looks nothing up."""
        yield from ()
        return self.decide(message, searchable=searchable)

    def _mentioned(self, message: InboundMessage, searchable: str) -> bool:
        if message.mentioned is not None:
            return message.mentioned
        return any(pattern in searchable for pattern in self.mention_patterns)


OPEN_DOOR = DoorPolicy()

__all__ = ["OPEN_DOOR", "Decision", "DoorPolicy", "Verdict"]
