"""What became of a change of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from portico.config.issues import Issue
    from portico.config.service import LoadedConfig

NoticeKind = Literal["changed", "refused", "rolled_back"]


@dataclass(frozen=True, slots=True)
class Notice:
    """A change that is in force, was refused, or was taken back.

    Attributes:
        config: the configuration in question.
        kept: where the refused text is.
    """

    kind: NoticeKind
    config: LoadedConfig
    issues: tuple[Issue, ...] = ()
    kept: str | None = None
