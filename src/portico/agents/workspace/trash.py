"""The end of a workspace: it is moved aside, never deleted.

Guarantees: one rename, so a workspace is in its place or in the trash; nothing that holds other
things of the gateway (its state, another agent's workspace) is ever moved.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

TRASH = "trash"


class CannotTrash(Exception):
    """A directory stays where it is; the text says why."""


def trash(workspace: Path, *, state_dir: Path, others: Iterable[Path], label: str) -> Path | None:
    """Move a workspace into the trash of the state directory; return where, `None`: there is none.

    Args:
        others: workspaces that are still used.
        label: makes the name in the trash unique.

    Raises:
        CannotTrash: it must not be moved, or cannot.
    """
    if not os.path.lexists(workspace):
        return None
    _check(workspace, state_dir, others)
    inside = state_dir / TRASH
    try:
        inside.mkdir(mode=0o700, exist_ok=True)
        return _moved(workspace, inside / f"{workspace.name}-{label}")
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise CannotTrash(error.strerror or str(error)) from None
    try:  # on another disk: beside itself
        return _moved(workspace, workspace.with_name(f".{workspace.name}-{label}"))
    except OSError as error:
        raise CannotTrash(error.strerror or str(error)) from None


def _moved(workspace: Path, target: Path) -> Path:
    if os.path.lexists(target):
        raise CannotTrash(f"{target} is there already")
    workspace.rename(target)
    return target


def _check(workspace: Path, state_dir: Path, others: Iterable[Path]) -> None:
    real, home = workspace.resolve(), None
    with contextlib.suppress(RuntimeError):
        home = Path.home().resolve()
    if home is not None and home.is_relative_to(real):
        raise CannotTrash("it holds the home directory")
    if state_dir.resolve().is_relative_to(real):
        raise CannotTrash("it holds the gateway's own files")
    for other in others:
        theirs = other.resolve()
        if theirs.is_relative_to(real) or real.is_relative_to(theirs):
            raise CannotTrash("another agent uses it, too")
