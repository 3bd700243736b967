"""What is configured of one model agent."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_CONTEXT_TOKENS = 128_000  # of a model nobody said anything about


@dataclass(frozen=True, slots=True)
class AgentModel:
    """How one agent uses models.

    Attributes:
        primary: `provider/model` or an alias; `None`: the agent has no model, and says so.
        fallbacks: who is asked when the primary cannot answer.
        embedding: the model that makes vectors; `None`: there is none.
        context_tokens: a smaller context than the models have.
        reserve_tokens: what of the context is left for the answer.
        keep_recent_tokens: how much of the end of a conversation a compaction leaves as it is.
    """

    primary: str | None
    fallbacks: tuple[str, ...] = ()
    embedding: str | None = None
    name: str | None = None
    workspace: str | None = None
    thinking: str | None = None
    context_tokens: int | None = None
    reserve_tokens: int = 16_384
    keep_recent_tokens: int = 20_000

    def window(self, known: int | None) -> int:
        """Return how many tokens the conversation may have, of a model's context window."""
        return min(filter(None, (self.context_tokens, known or DEFAULT_CONTEXT_TOKENS)))

    def budget(self, known: int | None) -> int:
        """Return how many tokens may be sent."""
        window = self.window(known)
        return window - min(self.reserve_tokens, window // 4)

    def keep(self, known: int | None) -> int:
        """Return how many of the newest tokens a compaction keeps."""
        return min(self.keep_recent_tokens, self.budget(known) // 3)
