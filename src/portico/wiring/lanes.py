"""The lanes as the inbox uses them: with the queue settings of the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico.inbox.model import Admitted
from portico.store import Work
from portico.turns import background
from portico.turns.model import Enqueued, NewTurn
from portico.turns.service import Turns

if TYPE_CHECKING:
    from portico.config.sections.conversation import QueueSettings


class ConfiguredLanes:
    """Lets the inbox put turns into lanes, with the queue settings of the configuration."""

    def __init__(self, turns: Turns, queue: QueueSettings) -> None:
        self._turns = turns
        self._queue = queue

    def configure(self, queue: QueueSettings) -> None:
        """Use other queue settings for what comes from now on."""
        self._queue = queue

    def enqueue(self, message: Admitted) -> Work[Enqueued]:
        """The work that puts an admitted message's turn into its lane."""
        routing = message.routing
        configured = self._queue.by_channel.get(message.channel, self._queue.mode)
        return self._turns.enqueue(
            NewTurn(
                run_id=message.run_id,
                session_key=routing.session_key,
                agent_id=routing.agent_id,
                request=message.request,
                reply_route=message.reply_route,
                fingerprint=message.fingerprint,
                queue_mode=routing.queue_mode or configured,
                cap=self._queue.cap,
                drop=routing.drop or self._queue.drop,
                expires_at=routing.expires_at,
                task=background.kind_of(
                    message.channel, message.request, created_via=routing.created_via
                ),
                asked_by=background.asked_by(message.channel, message.reply_route),
            )
        )

    def begin(self, enqueued: Enqueued) -> None:
        """Act on what was committed."""
        self._turns.begin(enqueued)
