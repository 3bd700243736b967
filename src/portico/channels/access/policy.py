"""Who may write to an account, and which messages are meant for the agent.

Guarantees: closed unless opened: no allowlist lets nobody in, `open` must be said twice (the policy
and a `*` in the list), ids are compared as the provider gives them, never names. Each decision
carries the reason that is recorded with the message.

Source: OpenClaw configuration reference, `dmPolicy`, `allowFrom`, `groupPolicy`, `groups`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from portico.channels.admission import Decision, Effect, Verdict
from portico.channels.model import InboundMessage, ReplyRoute
from portico.store import Work

if TYPE_CHECKING:
    from portico.config.sections.channels import AccountConfig, GroupRules

EVERYBODY = "*"
ADMITTED = Decision(Verdict.ADMIT)


def _refused(reason: str, effect: Effect | None = None) -> Decision:
    return Decision(Verdict.REFUSE, reason, effect)


class Pairing(Protocol):
    """The people an operator has approved, and those who ask."""

    def judge(self, message: InboundMessage, *, now: int) -> Work[Decision]:
        """Admit whoever was approved; let others ask."""
        ...


class NoPairing:
    """Nobody was approved, and nobody can ask."""

    def judge(self, message: InboundMessage, *, now: int) -> Work[Decision]:
        """Refuse."""
        yield from ()
        return _refused("the sender is not approved")


class ClosedPolicy:
    """The policy of accounts that have none."""

    def __init__(self, reason: str = "the account is not configured") -> None:
        self._decision = _refused(reason)

    def judge(self, message: InboundMessage, *, searchable: str, now: int) -> Work[Decision]:
        """Refuse."""
        yield from ()
        return self._decision


class AccessPolicy:
    """The rules of one account."""

    def __init__(self, config: AccountConfig, pairing: Pairing) -> None:
        self._config = config
        self._groups = config.rules_of_groups
        self._pairing = pairing
        self._called = [
            re.compile(rf"(?<!\w){re.escape(pattern)}(?!\w)", re.IGNORECASE)
            for pattern in config.mention_patterns
            if pattern
        ]

    def judge(self, message: InboundMessage, *, searchable: str, now: int) -> Work[Decision]:
        """Judge a message, inside the transaction that stores it."""
        if message.peer.kind != "direct":
            return self._in_group(message, searchable)
        config = self._config
        if config.dm_policy == "disabled":
            return _refused("direct messages are off")
        if message.sender in config.allow_from:
            return ADMITTED
        if config.dm_policy == "pairing":
            return (yield from self._pairing.judge(message, now=now))
        if config.dm_policy == "open":
            if EVERYBODY in config.allow_from:
                return ADMITTED
            return _refused('dmPolicy is open, but allowFrom does not hold "*"')
        return _refused("the sender is not on the allowlist")

    def group_rules(self, route: ReplyRoute) -> GroupRules | None:
        """Return the rules of a group: its own, or of what it is in; `None`: it is not named."""
        for place in (route.peer.id, *route.within, EVERYBODY):
            if (found := self._groups.get(place)) is not None:
                return found
        return None

    def _in_group(self, message: InboundMessage, searchable: str) -> Decision:
        config, rules = self._config, self.group_rules(message.reply_route)
        if config.group_policy == "disabled":
            return _refused("groups are off")
        if rules is None:
            if config.group_policy == "open":
                return _refused('groupPolicy is open, but groups does not hold "*"')
            return _refused("the group is not on the allowlist")
        if not rules.enabled:
            return _refused("the group is switched off")
        senders = config.group_allow_from if rules.allow_from is None else rules.allow_from
        closed = rules.allow_from is not None and not senders
        known_as = {message.sender, EVERYBODY, *(f"role:{role}" for role in message.roles)}
        if closed or (senders and not known_as & {*senders}):
            return _refused("the sender is not on the group's allowlist")
        needs_mention = rules.require_mention
        if needs_mention is None:
            needs_mention = config.require_mention
        if needs_mention and not self._is_mentioned(message, searchable):
            return Decision(Verdict.CONTEXT, "the assistant was not mentioned")
        return ADMITTED

    def _is_mentioned(self, message: InboundMessage, searchable: str) -> bool:
        return bool(message.mentioned) or any(one.search(searchable) for one in self._called)
