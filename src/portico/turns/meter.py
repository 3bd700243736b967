"""What the model calls of a run have used, those that were cut off included."""

from __future__ import annotations

import structlog

from portico.agents.runtime import (
    AgentEvent,
    ModelAnswering,
    ModelUsed,
    TextDelta,
    ThinkingDelta,
    Usage,
)

log = structlog.get_logger()


class Meter:
    """Adds calls up.

    Attributes:
        calls: how many calls were completed.
        provider, model: who answered last.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.provider: str | None = None
        self.model: str | None = None
        self._used = Usage()
        self._open: ModelAnswering | None = None
        self._chars = 0  # of the open call's answer

    def note(self, event: AgentEvent) -> None:
        """Take in what a runtime yielded."""
        match event:
            case ModelAnswering(_, provider, model):
                self._used = self.used  # one that is still open has broken off
                self._open, self._chars = event, 0
                self.provider, self.model = provider, model
            case TextDelta(text) | ThinkingDelta(text):
                self._chars += len(text)
            case ModelUsed(usage, provider, model):
                self._used += usage
                self._open = None
                self.calls += 1
                self.provider, self.model = provider, model
            case _:
                return

    @property
    def used(self) -> Usage:
        """What all calls have used until now."""
        return self._used if self._open is None else self._used + self._so_far(self._open)

    def _so_far(self, call: ModelAnswering) -> Usage:
        try:
            return call.so_far(self._chars)
        except Exception as error:  # the end of a turn does not depend on an estimate
            log.error("turn.estimate_failed", model=call.model, exc_info=error)
            return Usage()
