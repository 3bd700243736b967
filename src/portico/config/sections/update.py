"""`update`: newer versions of the gateway.

Source: OpenClaw configuration reference, section `update`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import field_validator

from portico.config.sections.base import Section, expand_home, setting


class Update(Section):
    """Newer versions of the gateway. Nothing is installed unless somebody asks for it."""

    not_used: ClassVar[frozenset[str]] = frozenset({"auto"})

    allow: bool = setting(
        False, "Let operators install a newer version (update.run).", reload="hot"
    )
    check_on_start: bool = setting(False, "Look for a newer version at the start.", reload="none")
    channel: Literal["stable", "extended-stable", "beta", "dev"] = setting(
        "stable", "beta and dev take versions that are not released yet, too.", reload="hot"
    )
    wheels: str | None = setting(
        None, "Folder of wheels to install from; unset: the index pip is set up for.", reload="hot"
    )
    timeout_ms: int = setting(
        600_000, "Longest time an installation may take.", ge=1_000, reload="hot"
    )

    _wheels_at_home = field_validator("wheels")(expand_home)
