"""Where the notes are, and what a search finds.

skills: { entries: { "qmd-brain": { config: { folder: "~/notes", collection: "notes" } } } }
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]


class BrainConfig(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What is configured.

    Attributes:
        folder: the notes.
        collection: what qmd calls them; without it qmd is not asked.
        mode: how qmd searches: words, meaning, or both with a ranking of its own (slow).
        engine: auto: qmd where it is installed, else our own.
    """

    folder: str
    collection: Name | None = None
    mode: Literal["search", "vsearch", "query"] = "search"
    engine: Literal["auto", "qmd", "built-in"] = "auto"

    @property
    def path(self) -> Path:
        """Where the notes are."""
        return Path(self.folder).expanduser()


class NoteFound(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A passage of a note.

    Attributes:
        path: within the folder.
        docid: qmd's name of the note.
    """

    path: str
    line: int
    snippet: str
    title: str | None = None
    docid: str | None = None
    score: float | None = None


class NotesUnavailable(Exception):
    """They cannot be searched; the text says why and is fit for the person."""


def config_of(given: Mapping[str, Any]) -> BrainConfig:
    """Return the configuration of a skill's `config`.

    Raises:
        NotesUnavailable: there is none, or it makes no sense.
    """
    if not given:
        raise NotesUnavailable(
            'No folder of notes is configured: skills.entries["qmd-brain"].config.folder.'
        )
    try:
        return msgspec.convert(dict(given), BrainConfig)
    except msgspec.ValidationError as error:
        raise NotesUnavailable(f'skills.entries["qmd-brain"].config: {error}.') from None
