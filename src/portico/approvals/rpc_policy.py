"""RPC methods of the policy file: what agents may run on this machine without asking.

Source: OpenClaw gateway protocol, `exec.approvals.get`, `exec.approvals.set`.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec

from portico.approvals.policy import ExecPolicy, effective
from portico.approvals.policy_file import BrokenFile, PolicyFile, Version, without_secrets
from portico.protocol.errors import Outcome, Unavailable
from portico.protocol.scopes import Scope
from portico.protocol.validation import Empty, Params, Result
from portico.rpc.call import Call
from portico.rpc.method import method

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class ExecApprovalsSet(Params, frozen=True, kw_only=True):
    """`{file, baseHash?}`."""

    file: PolicyFile
    base_hash: NonEmpty | None = None


class ExecApprovals(Result, frozen=True, kw_only=True, omit_defaults=False):
    """The file, and what holds where it says nothing."""

    path: str
    exists: bool
    hash: str
    file: PolicyFile
    resolved_defaults: dict[str, Any]


class PolicyMethods:
    """`exec.approvals.*`."""

    def __init__(self, policy: ExecPolicy) -> None:
        self._policy = policy

    @method("exec.approvals.get", scope=Scope.ADMIN)
    async def get(self, call: Call, params: Empty) -> ExecApprovals:
        """Show the policy file of this machine."""
        try:
            return self._shown(await asyncio.to_thread(self._policy.read))
        except BrokenFile as error:
            raise Unavailable(
                f"exec approvals file is broken, nothing may run: {error}; mend or remove it",
                outcome=Outcome.NOT_STARTED,
            ) from error

    @method("exec.approvals.set", scope=Scope.ADMIN, audit="approvals.policy_set")
    async def set(self, call: Call, params: ExecApprovalsSet) -> ExecApprovals:
        """Replace the policy file, unless it has changed since it was read."""
        replaced = await asyncio.to_thread(
            self._policy.replace, params.file, base_hash=params.base_hash
        )
        return self._shown(replaced)

    def _shown(self, version: Version) -> ExecApprovals:
        rules = effective(version.file, None)
        return ExecApprovals(
            path=str(self._policy.path),
            exists=version.exists,
            hash=version.hash,
            file=without_secrets(version.file),
            resolved_defaults={
                "security": rules.security,
                "ask": rules.ask,
                "askFallback": rules.ask_fallback,
                "autoAllowSkills": rules.auto_allow_skills,
            },
        )
