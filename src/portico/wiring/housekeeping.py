"""What is swept away when it is old enough: one line for each kind of row or file."""

from __future__ import annotations

import asyncio

from portico.agents.acp import store as acp_store
from portico.approvals.questions.service import Questions
from portico.approvals.service import Approvals
from portico.audit.service import Audit
from portico.auth.devices import Devices
from portico.automation.cron.assembly import Cron
from portico.automation.hooks.retention import HookRetention
from portico.budgets.service import Budgets
from portico.chat.commands.orders import Orders
from portico.clock import Clock
from portico.config.live import Commit, LiveConfig
from portico.config.service import LoadedConfig
from portico.inbox.service import Inbox
from portico.media.files import MediaFiles
from portico.media.store.service import MediaStore
from portico.nodes import waiting as node_queues
from portico.nodes.service import Nodes
from portico.outbox.service import Outbox
from portico.store import Store
from portico.system.housekeeping import Housekeeping
from portico.tasks import Tasks
from portico.turns.service import Turns
from portico.wiring.channels import ChannelParts

DAY_MS = 86_400_000


def build_housekeeping(
    live: LiveConfig,
    *,
    approvals: Approvals,
    attached: MediaStore,
    audit: Audit,
    budgets: Budgets,
    channels: ChannelParts,
    clock: Clock,
    cron: Cron,
    hook_retention: HookRetention,
    devices: Devices,
    inbox: Inbox,
    media_files: MediaFiles,
    nodes: Nodes,
    orders: Orders,
    outbox: Outbox,
    questions: Questions,
    store: Store,
    tasks: Tasks,
    turns: Turns,
) -> Housekeeping:
    """Construct the sweeps; nothing is forgotten while its status may still be asked for."""
    kept_ms = _kept_ms(live.loaded)

    def before_ms() -> int:
        return clock.now_ms() - kept_ms

    def stage(loaded: LoadedConfig) -> Commit:
        wanted_ms = _kept_ms(loaded)

        def commit() -> None:
            nonlocal kept_ms
            kept_ms = wanted_ms

        return commit

    live.follow("store.retentionDays", "gateway.messages.statusRetentionMs", stage=stage)
    return Housekeeping(
        {
            "turns": lambda: turns.forget(before_ms=before_ms()),
            "deliveries": lambda: outbox.forget(before_ms=before_ms()),
            "commands": lambda: orders.forget(before_ms=before_ms()),
            "messages": lambda: inbox.forget(before_ms=before_ms()),
            "pairing requests": lambda: channels.pairings.forget(before_ms=before_ms()),
            "budgets": lambda: budgets.forget(before_ms=before_ms()),
            "channel events": lambda: channels.accounts.forget(before_ms=before_ms()),
            "approvals": lambda: approvals.forget(before_ms=before_ms()),
            "questions": questions.forget,
            "acp sessions": lambda: store.write(acp_store.forget, before_ms=before_ms()),
            "node commands": lambda: nodes.forget(before_ms=before_ms()),
            "node queues": lambda: store.write(node_queues.sweep, now=clock.now_ms()),
            "cron.runs": lambda: cron.retention.forget_runs(before_ms=before_ms()),
            "cron.sessions": cron.retention.forget_sessions,
            "hook sessions": hook_retention.forget_sessions,
            "media": lambda: asyncio.to_thread(media_files.forget),
            "attached files": attached.sweep,
            "audit": audit.forget,
            "device requests": devices.forget,
        },
        tasks=tasks,
    )


def _kept_ms(loaded: LoadedConfig) -> int:
    config = loaded.require()
    return max(config.store.retention_days * DAY_MS, config.gateway.messages.status_retention_ms)
