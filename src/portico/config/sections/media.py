"""`media`: the files that people attach, and how long they are kept."""

from __future__ import annotations

from pydantic import field_validator

from portico.config.sections.base import Section, expand_home, setting


class Media(Section):
    """The store of attached files."""

    dir: str | None = setting(
        None,
        "Where the files are; unset: media in the state directory. Several replicas on one "
        "database need one folder that all of them see.",
    )
    max_file_mb: float = setting(20, "Largest file of a message, in MB.", reload="hot", gt=0)
    max_message_mb: float = setting(
        50, "All files of a message together, in MB.", reload="hot", gt=0
    )
    max_per_message: int = setting(20, "Most files of a message.", reload="hot", ge=1)
    max_store_mb: float = setting(
        5_000,
        "All files together, in MB. When they are as much, and all are referred to, new ones are "
        "refused.",
        reload="hot",
        gt=0,
    )
    retention_days: float = setting(
        30,
        "How long a file is kept after a message last brought it. Deleting a conversation "
        "deletes its files sooner.",
        reload="hot",
        gt=0,
    )

    _dir_at_home = field_validator("dir")(expand_home)
