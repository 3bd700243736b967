"""Commands of those who run the gateway: approvals, a restart.

Source: OpenClaw, slash commands (`/approve <id> <decision>`, `/restart`).
"""

from __future__ import annotations

from typing import Protocol

from portico.approvals.life import Decision, Outcome
from portico.approvals.model import Approval, Reviewer
from portico.approvals.service import Approvals
from portico.chat.commands.book import command
from portico.chat.commands.model import Arg, Asked, Refused, Reply
from portico.chat.commands.rules import CommandRules
from portico.protocol.errors import ApprovalNotFound
from portico.protocol.scopes import Scope

MAX_LISTED = 10
_DECISIONS: dict[str, Decision] = {
    "allow-once": "allow-once",
    "once": "allow-once",
    "allow": "allow-once",
    "allow-always": "allow-always",
    "always": "allow-always",
    "deny": "deny",
}
_ENDS = {
    Outcome.CONFLICT: "It was decided otherwise already.",
    Outcome.OVER: "It is over: its time was up, or its run has ended.",
}


class Restart(Protocol):
    """Who restarts the gateway."""

    @property
    def supported(self) -> bool:
        """Whether it can be done."""
        ...

    def request(self, reason: str) -> object:
        """Ask for it; returns at once."""
        ...


class OperatingCommands:
    """`/approve`, `/restart`."""

    def __init__(self, *, approvals: Approvals, restarts: Restart, rules: CommandRules) -> None:
        self._approvals = approvals
        self._restarts = restarts
        self._rules = rules

    @command(
        "approve",
        "Show what waits for approval, or decide it.",
        category="management",
        args=(
            Arg("id", "Which approval"),
            Arg("decision", "What is decided", ("allow-once", "allow-always", "deny")),
        ),
        scope=Scope.APPROVALS,
        audience="owner",
        is_audited=True,
    )
    async def approve(self, asked: Asked) -> str:
        """Decide an approval in the name of whoever gives the command."""
        giver, words = asked.giver, asked.text.split()
        by = Reviewer(giver.scopes, giver.device_id, giver.name or giver.subject, giver.subject)
        if not words:
            return _listed(await self._approvals.list_pending(by))
        decision = _DECISIONS.get(words[1].lower()) if len(words) == 2 else None
        if decision is None:
            raise Refused("Use: /approve <id> allow-once, allow-always or deny")
        try:
            _, outcome = await self._approvals.resolve(words[0], decision, by)
        except ApprovalNotFound:
            raise Refused(f"No approval {words[0]} waits.") from None
        if outcome in _ENDS:
            raise Refused(_ENDS[outcome])
        return f"{'Denied' if decision == 'deny' else 'Allowed'}: {words[0]} ({decision})."

    @command(
        "restart",
        "Restart the gateway.",
        category="management",
        scope=Scope.ADMIN,
        audience="owner",
        is_audited=True,
    )
    async def restart(self, asked: Asked) -> Reply:
        """Ask for a restart, once the answer is on disk."""
        if not self._rules.settings.may_restart:
            raise Refused("`commands.restart` does not allow it.")
        if not self._restarts.supported:
            raise Refused("This gateway was not started in a way that it can restart itself.")
        reason = f"/restart from {asked.giver.subject}"

        def begin() -> None:
            self._restarts.request(reason)

        return Reply(text="Restarting.", afterwards=begin)


def _listed(pending: list[Approval]) -> str:
    if not pending:
        return "Nothing waits for approval."
    lines = [f"- `{one.approval_id}` {one.request.get('command', '')}" for one in pending]
    more = [f"- and {len(lines) - MAX_LISTED} more"] if len(lines) > MAX_LISTED else []
    return "\n".join([*lines[:MAX_LISTED], *more, "", "Decide with /approve <id> <decision>"])
