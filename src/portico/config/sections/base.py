"""What every settings section shares: naming, freezing, and the facts each field carries.

Guarantees: sections are immutable; the file speaks camelCase, Python snake_case, and both are
accepted on the way in; keys a section does not know are ignored here and reported by unknown.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Reload = Literal["hot", "restart", "none"]
"""hot: applied while running; restart: needs a restart; none: read anew each time it is used."""


class Section(BaseModel):
    """A frozen group of settings."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        alias_generator=to_camel,
        defer_build=True,
    )

    not_used: ClassVar[frozenset[str]] = frozenset()
    """Keys that are accepted here and not used (yet): noted, never called unknown."""

    @classmethod
    def section_named(cls, key: str) -> type[Section] | None:  # noqa: ARG003  # for those that override it
        """The section at a key that is no field, where the keys are open; `None`: there is none."""
        return None


def expand_home(path: str | None) -> str | None:
    """A path with the home directory in place of `~`."""
    # Any other path stays as it is: ./agent is not the agent that is on the path.
    return path if path is None or not path.startswith("~") else str(Path(path).expanduser())


def setting(
    default: Any = ...,
    doc: str = "",
    *,
    reload: Reload = "restart",
    secret: bool = False,
    **constraints: Any,
) -> Any:
    """Declare one field: its default, what it means, how a change takes effect, secrecy.

    Extra keywords are pydantic constraints (`ge`, `le`, `pattern`, `alias`, `default_factory` …).
    """
    if "default_factory" not in constraints:
        constraints["default"] = default
    return Field(
        description=doc,
        json_schema_extra={"reload": reload, **({"secret": True} if secret else {})},
        **constraints,
    )


def group(section: type[Section], doc: str) -> Any:
    """Declare a nested section with all its defaults."""
    return Field(default_factory=section, description=doc)
