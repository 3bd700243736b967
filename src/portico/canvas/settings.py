"""What is configured of the canvas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CanvasSettings:
    """How pages are served.

    Attributes:
        root: the default agent's pages, where they are not in its workspace.
        has_live_reload: open pages are loaded again when their files change.
        max_file_bytes: the largest file that is served or written.
        max_watched: folders that are watched at the same time.
        max_viewers: open pages that wait for changes at the same time.
    """

    root: Path | None = None
    has_live_reload: bool = True
    max_file_bytes: int = 10_000_000
    max_watched: int = 16
    max_viewers: int = 64
