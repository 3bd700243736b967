"""`system.execApprovals.*`: the policy file of this machine, seen and changed from the gateway.

Guarantees: a change names the version it was made from; nobody is shown the file's secrets.
Source: OpenClaw gateway protocol, `system.execApprovals.get`, `system.execApprovals.set`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from portico.approvals.policy import ExecPolicy, effective
from portico.approvals.policy_file import BrokenFile, PolicyFile, Version, without_secrets
from portico.node_host.model import CommandError, Invoked, text_param
from portico.protocol.errors import GatewayError


class ExecApprovals:
    """The two commands."""

    def __init__(self, policy: ExecPolicy) -> None:
        self._policy = policy

    async def get(self, invoked: Invoked) -> dict[str, Any]:
        """Show the file; with `includeResolvedDefaults`, also what holds where it says nothing."""
        wants_defaults = invoked.params.get("includeResolvedDefaults")
        if not isinstance(wants_defaults, bool | None):
            message = "INVALID_REQUEST: includeResolvedDefaults must be boolean"
            raise CommandError("INVALID_REQUEST", message)
        try:
            version = await asyncio.to_thread(self._policy.read)
        except BrokenFile as error:
            raise CommandError("UNAVAILABLE", f"the policy file is broken: {error}") from None
        shown = self._shown(version)
        return {**shown, "resolvedDefaults": _defaults(version)} if wants_defaults else shown

    async def set(self, invoked: Invoked) -> dict[str, Any]:
        """Replace the file, unless it has changed since it was read."""
        try:
            file = msgspec.convert(invoked.params.get("file"), PolicyFile)
        except msgspec.ValidationError as error:
            message = f"INVALID_REQUEST: exec approvals file: {error}"
            raise CommandError("INVALID_REQUEST", message) from None
        base_hash = text_param(invoked.params, "baseHash")
        try:
            version = await asyncio.to_thread(self._policy.replace, file, base_hash=base_hash)
        except GatewayError as error:
            raise CommandError(error.code.value, error.message) from None
        return self._shown(version)

    def _shown(self, version: Version) -> dict[str, Any]:
        return {
            "path": str(self._policy.path),
            "exists": version.exists,
            "hash": version.hash,
            "file": msgspec.to_builtins(without_secrets(version.file)),
        }


def _defaults(version: Version) -> dict[str, Any]:
    rules = effective(version.file, None)
    return {
        "security": rules.security,
        "ask": rules.ask,
        "askFallback": rules.ask_fallback,
        "autoAllowSkills": rules.auto_allow_skills,
    }
