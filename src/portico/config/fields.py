"""Finding the declared field of a path: the base of masking, reload plans, hints and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portico.config.unknown import section_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from portico.config.keypath import KeyPath
    from portico.config.sections.base import Section


def field_at(path: KeyPath) -> FieldInfo | None:
    """The field a path ends at; None inside free-form values and for unknown keys."""
    found = _walk(path)
    return found[-1] if found and found[-1] is not None else None


def is_group(path: KeyPath) -> bool:
    """Whether a path is a section that is there anyway: an empty object there sets nothing."""
    info = field_at(path)
    return info is not None and info.default_factory is section_in(info.annotation)[0] is not None


def fields_on(path: KeyPath) -> list[FieldInfo]:
    """The fields met on the way to `path`, outermost first."""
    return [info for info in _walk(path) if info is not None]


def _walk(path: KeyPath) -> list[FieldInfo | None]:
    from portico.config.model import PorticoConfig

    current: type[Section] | None = PorticoConfig
    how = "one"
    found: list[FieldInfo | None] = []
    for step in path:
        if how != "one":
            how = "one"
            found.append(None)
            continue
        info = _field_of(current, str(step)) if current is not None else None
        if info is None and current is not None and (named := current.section_named(str(step))):
            found.append(None)
            current = named
            continue
        found.append(info)
        current, how = section_in(info.annotation) if info is not None else (None, "one")
    return found


def _field_of(section: type[Section], key: str) -> FieldInfo | None:
    for name, info in section.model_fields.items():
        if key in {info.alias, name}:
            return info
    return None


def all_fields() -> Iterator[tuple[str, FieldInfo, type[Section] | None]]:
    """Every field with its written path (`agents.list[].id`, `agents.entries.*.id`)."""
    from portico.config.model import PorticoConfig

    yield from _fields_below(PorticoConfig, "")


def _fields_below(
    section: type[Section], prefix: str
) -> Iterator[tuple[str, FieldInfo, type[Section] | None]]:
    for name, info in section.model_fields.items():
        inner, how = section_in(info.annotation)
        path = f"{prefix}.{info.alias or name}".lstrip(".")
        yield path, info, inner
        if inner is not None:
            yield from _fields_below(inner, path + {"list": "[]", "map": ".*", "one": ""}[how])


def extra_of(info: FieldInfo) -> dict[str, Any]:
    """The facts Portico keeps on a field: `reload`, `secret`."""
    return dict(info.json_schema_extra) if isinstance(info.json_schema_extra, dict) else {}
