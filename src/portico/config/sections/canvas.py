"""`canvasHost`: the pages that agents write, and the second port they may be served on."""

from __future__ import annotations

from pydantic import field_validator

from portico.config.sections.base import Section, expand_home, setting


class CanvasHost(Section):
    """The canvas. The gateway's own port serves it in any case."""

    enabled: bool = setting(False, "Serve the canvas on a port of its own as well.")
    port: int = setting(18793, "That port.", ge=0, le=65535)
    root: str | None = setting(
        None, "The default agent's pages; unset: the folder canvas in its workspace."
    )
    live_reload: bool = setting(True, "Load open pages again when their files change.")
    max_file_mb: float = setting(10, "Largest file that is served or written, in MB.", gt=0)
    max_watched: int = setting(16, "Folders that are watched at the same time.", ge=0)
    max_viewers: int = setting(64, "Open pages that wait for changes at the same time.", ge=0)

    _root_at_home = field_validator("root")(expand_home)
