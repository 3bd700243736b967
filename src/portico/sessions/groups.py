"""The groups that a person sorts sessions into, in their order, and what new sessions in them have.

A session's group is its `category`; this is the list of groups, empty ones included.

Guarantees: names are unique; to rename or delete a group changes the sessions in it, in the same
transaction.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import bindparam, select, update

from portico.sessions.tables import sessions
from portico.store import Work, documents, statement

OWNER = "sessions.groups"
DOCUMENT = "catalogue"
MAX_GROUPS = 200

c = sessions.c
_HOLDING = statement(
    select(c.key, c.settings).where(c.settings.like(bindparam("holds"), escape="\\"))
)
_WRITE = statement(
    update(sessions).where(c.key == bindparam("k")).values(settings=bindparam("whole"))
)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One group.

    Attributes:
        cwd, worktree: what a new session in it begins with, as the client keeps it.
    """

    name: str
    cwd: str | None = None
    worktree: bool | None = None


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Every group, and the order of the sections around them."""

    groups: tuple[Group, ...] = ()
    section_order: tuple[str, ...] | None = None

    def find(self, name: str) -> Group | None:
        """Return a group."""
        return next((one for one in self.groups if one.name == name), None)


class TooManyGroups(ValueError):
    """There may not be so many groups."""


class NoSuchGroup(LookupError):
    """There is no group of that name."""


class GroupExists(ValueError):
    """There is a group of that name already."""


def read() -> Work[Catalogue]:
    """Return the groups."""
    found = yield from documents.find(OWNER, DOCUMENT)
    return Catalogue() if found is None else msgspec.convert(found, Catalogue)


def put(names: list[str], section_order: list[str] | None, *, now: int) -> Work[Catalogue]:
    """Replace the list; groups that stay keep what new sessions in them have.

    Raises:
        TooManyGroups: of them.
    """
    known = yield from read()
    unique = list(dict.fromkeys(names))
    if len(unique) > MAX_GROUPS or len(section_order or ()) > 2 * MAX_GROUPS:
        raise TooManyGroups
    order = known.section_order if section_order is None else tuple(section_order)
    return (
        yield from _keep(
            Catalogue(
                groups=tuple(known.find(name) or Group(name=name) for name in unique),
                section_order=order,
            ),
            now=now,
        )
    )


def rename(name: str, to: str, *, now: int) -> Work[tuple[Catalogue, list[str]]]:
    """Give a group another name, also in its sessions; return their keys.

    Raises:
        NoSuchGroup, GroupExists: that is why it cannot.
    """
    known = yield from read()
    if known.find(to) is not None and to != name:
        raise GroupExists(to)
    moved = yield from _recategorise(name, to)
    if known.find(name) is None and not moved:
        raise NoSuchGroup(name)
    groups = known.groups if known.find(name) else (*known.groups, Group(name=name))
    renamed = tuple(
        msgspec.structs.replace(one, name=to) if one.name == name else one for one in groups
    )
    kept = yield from _keep(
        msgspec.structs.replace(known, groups=renamed, section_order=_swapped(known, name, to)),
        now=now,
    )
    return kept, moved


def delete(name: str, *, now: int) -> Work[tuple[Catalogue, list[str]]]:
    """Take a group away, and its sessions out of it; return their keys."""
    known = yield from read()
    moved = yield from _recategorise(name, None)
    left = tuple(one for one in known.groups if one.name != name)
    kept = yield from _keep(
        msgspec.structs.replace(known, groups=left, section_order=_swapped(known, name, None)),
        now=now,
    )
    return kept, moved


def set_defaults(name: str, *, cwd: str | None, worktree: bool, now: int) -> Work[Catalogue]:
    """Say what a new session in a group begins with.

    Raises:
        NoSuchGroup: there is none.
    """
    known = yield from read()
    if known.find(name) is None:
        raise NoSuchGroup(name)
    changed = Group(name=name, cwd=cwd, worktree=worktree or None)
    groups = tuple(changed if one.name == name else one for one in known.groups)
    return (yield from _keep(msgspec.structs.replace(known, groups=groups), now=now))


def _keep(catalogue: Catalogue, *, now: int) -> Work[Catalogue]:
    yield from documents.put(OWNER, DOCUMENT, msgspec.to_builtins(catalogue), now=now)
    return catalogue


def _swapped(known: Catalogue, name: str, to: str | None) -> tuple[str, ...] | None:
    if known.section_order is None:
        return None
    changed = (to if one == name else one for one in known.section_order)
    return tuple(one for one in changed if one is not None)


def _recategorise(name: str, to: str | None) -> Work[list[str]]:
    written = msgspec.json.encode(name).decode()
    holds = written.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    moved = []
    for row in (yield _HOLDING(holds=f'%"category":{holds}%')):
        settings: dict[str, Any] = msgspec.json.decode(row["settings"])
        if settings.get("category") != name:
            continue
        if to is None:
            del settings["category"]
        else:
            settings["category"] = to
        yield _WRITE(k=row["key"], whole=msgspec.json.encode(settings).decode())
        moved.append(str(row["key"]))
    return moved
