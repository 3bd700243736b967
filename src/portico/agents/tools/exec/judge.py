"""Whether a command may run: by the configuration, by the policy of this machine, by a person.

Theory of operation: on this machine itself the stricter of `tools.exec` and the policy file counts.
In the sandbox the file does not (it is about this machine), but for its allowlist where that is
asked for. What must be asked waits for a person; without an answer the file says what then.

Guarantees: nothing runs that the configuration or the policy file forbids, whatever a person says;
no answer is a no, unless the policy file says otherwise, and always in a turn that has read
untrusted text.

Source: OpenClaw, "Exec approvals".
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from typing import Literal, Protocol

from portico.agents.tools.contract import ToolCall, ToolError
from portico.agents.tools.exec.model import Ask, Command, ExecSettings, Security
from portico.approvals.model import ApprovalAsked, Decided

Verdict = Literal["allow", "ask", "deny"]

WARNING = "The agent has read text from outside in this turn: it may have been talked into this."
_WHY_NOT = {
    None: "it was refused",
    "expired": "nobody answered in time",
    "no-approval-route": "nobody could be asked",
    "cancelled": "the question was withdrawn",
    "overloaded": "too many questions wait already",
    "too-large": "the command is too long to be asked about",
}


class Policy(Protocol):
    """What may run on this machine without asking."""

    def check(self, agent_id: str, argv: Sequence[str], *, security: Security, ask: Ask) -> Verdict:
        """Say whether an agent may run a command, must ask, or may not. Reads a file."""
        ...

    def when_unanswered(self, agent_id: str, argv: Sequence[str]) -> Literal["allow", "deny"]:
        """Say what holds when nobody answered. Reads a file."""
        ...


class Asks(Protocol):
    """Asks a person."""

    async def ask(self, asked: ApprovalAsked, *, timeout_s: float) -> Decided:
        """Wait for a decision."""
        ...


class Judge:
    """Decides about commands.

    Args:
        patience_s: how long a person has to answer.
    """

    def __init__(self, *, policy: Policy, approvals: Asks, patience_s: float) -> None:
        self._policy = policy
        self._approvals = approvals
        self._patience_s = patience_s

    async def check(self, call: ToolCall, command: Command, settings: ExecSettings) -> None:
        """Return when a command may run.

        Raises:
            ToolError: it may not.
        """
        verdict = await asyncio.to_thread(self._verdict, call.agent_id, command.argv, settings)
        if verdict == "ask":
            await self._ask(call, command, settings)
        elif verdict == "deny":
            raise ToolError(f"This agent may not run: {command.text[:500]}")

    def _verdict(self, agent_id: str, argv: Sequence[str], settings: ExecSettings) -> Verdict:
        security, ask = settings.security, settings.ask
        if settings.host == "sandbox" and security == "full":
            return "ask" if ask == "always" else "allow"
        if settings.in_container:  # the policy file lists programs of this machine, not of an image
            return "deny" if ask == "off" else "ask"
        return self._policy.check(agent_id, argv, security=security, ask=ask)

    async def _ask(self, call: ToolCall, command: Command, settings: ExecSettings) -> None:
        asked = ApprovalAsked(
            command=command.text,
            command_argv=command.argv,
            cwd=str(command.cwd),
            host=settings.host,
            agent_id=call.agent_id,
            session_key=call.session_key,
            session_id=call.session_id,
            run_id=call.run_id,
            tool_call_id=call.call_id,
            warning=WARNING if call.is_untrusted else None,
        )
        decided = await self._approvals.ask(asked, timeout_s=self._patience_s)
        if decided.is_allowed:
            return
        if decided.decision is None and not call.is_untrusted:
            fallback = await asyncio.to_thread(
                self._policy.when_unanswered, call.agent_id, command.argv
            )
            if fallback == "allow":
                return
        why = _WHY_NOT.get(decided.reason, "it was refused")
        raise ToolError(f"A person must allow this command, and {why}: {command.text[:500]}")


def as_text(argv: Sequence[str]) -> str:
    """Return a command as a person reads it, and a shell would."""
    return shlex.join(argv)
