"""The approvals of other kinds that clients ask for: there are none here, and never will be.

Portico has neither plugins that ask for approval nor a system agent, so that nothing of theirs can
wait. Clients list them when they start, beside those of programs.

Source: OpenClaw gateway protocol, "plugin.approval.list", "openclaw.approval.list".
"""

from __future__ import annotations

from typing import Any

from portico.protocol.scopes import Scope
from portico.protocol.validation import OpenParams
from portico.rpc.call import Call
from portico.rpc.method import method


class Asked(OpenParams, frozen=True):
    """`{}`."""


class OtherApprovalMethods:
    """`plugin.approval.list` and `openclaw.approval.list`."""

    @method("plugin.approval.list", scope=Scope.APPROVALS)
    def of_plugins(self, call: Call, params: Asked) -> list[dict[str, Any]]:
        """List the approvals plugins wait for: none, since no plugin can ask for one."""
        return []

    @method("openclaw.approval.list", scope=Scope.APPROVALS)
    def of_the_system_agent(self, call: Call, params: Asked) -> list[dict[str, Any]]:
        """List the approvals the system agent waits for: none, since there is no such agent."""
        return []
