"""What is swept away when it is old enough: one line for each kind of row or file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from portico.agents.acp import store as acp_store
from portico.nodes import waiting as node_queues
from portico.system.housekeeping import Housekeeping

if TYPE_CHECKING:
    from portico.config.live import Commit
    from portico.config.service import LoadedConfig
    from portico.wiring.conversation import Conversation
    from portico.wiring.features import Features
    from portico.wiring.ground import Ground
    from portico.wiring.kernel import Kernel
    from portico.wiring.path import MessagePath

DAY_MS = 86_400_000


def build_housekeeping(
    ground: Ground,
    kernel: Kernel,
    conversation: Conversation,
    path: MessagePath,
    features: Features,
) -> Housekeeping:
    """Construct the sweeps; nothing is forgotten while its status may still be asked for."""
    live, store, automation = ground.live, ground.store, features.automation
    kept_ms = _kept_ms(live.loaded)

    def before_ms() -> int:
        return ground.clock.now_ms() - kept_ms

    def stage(loaded: LoadedConfig) -> Commit:
        wanted_ms = _kept_ms(loaded)

        def commit() -> None:
            nonlocal kept_ms
            kept_ms = wanted_ms

        return commit

    live.follow("store.retentionDays", "gateway.messages.statusRetentionMs", stage=stage)
    return Housekeeping(
        {
            "turns": lambda: path.turns.forget(before_ms=before_ms()),
            "deliveries": lambda: path.outbox.forget(before_ms=before_ms()),
            "commands": lambda: path.orders.forget(before_ms=before_ms()),
            "messages": lambda: path.inbox.forget(before_ms=before_ms()),
            "pairing requests": lambda: path.channels.pairings.forget(before_ms=before_ms()),
            "budgets": lambda: path.budgets.forget(before_ms=before_ms()),
            "channel events": lambda: path.channels.accounts.forget(before_ms=before_ms()),
            "approvals": lambda: conversation.approvals.forget(before_ms=before_ms()),
            "questions": conversation.questions.forget,
            "acp sessions": lambda: store.write(acp_store.forget, before_ms=before_ms()),
            "node commands": lambda: features.node_parts.nodes.forget(before_ms=before_ms()),
            "node queues": lambda: store.write(node_queues.sweep, now=ground.clock.now_ms()),
            "cron.runs": lambda: automation.cron.retention.forget_runs(before_ms=before_ms()),
            "cron.sessions": automation.cron.retention.forget_sessions,
            "hook sessions": automation.hook_retention.forget_sessions,
            "media": lambda: asyncio.to_thread(path.media.files.forget),
            "attached files": path.attached.store.sweep,
            "audit": ground.audit.forget,
            "device requests": kernel.devices.forget,
        },
        tasks=ground.tasks,
    )


def _kept_ms(loaded: LoadedConfig) -> int:
    config = loaded.require()
    return max(config.store.retention_days * DAY_MS, config.gateway.messages.status_retention_ms)
