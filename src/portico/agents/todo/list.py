"""The task lists of agents, on disk.

Guarantees: a change is written whole or not at all; two at a time, also of other processes, lose
nothing of each other; no link is followed, so nothing outside the workspace is read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from portico.agents.todo.document import Task, TaskList, one_line
from portico.agents.workspace.tree import TooLarge, Tree, UnsafePath

FILE = "TASKS.md"
MAX_FILE_BYTES = 1_000_000
MAX_OPEN = 1_000
T = TypeVar("T")


class CannotKeep(Exception):
    """The list cannot be read or written; the text says why and is fit for the person."""


class UnknownTask(Exception):
    """There is no task of this id."""


def listed(workspace: Path) -> list[Task]:
    """Return the tasks in an agent's workspace.

    Raises:
        CannotKeep: the list cannot be read.
    """
    return _read(Tree(workspace)).tasks()


def add(
    workspace: Path, texts: Sequence[str], *, due: str | None, from_outside: bool
) -> list[Task]:
    """Add tasks; one whose text stands there open already is that one.

    Raises:
        CannotKeep: the list cannot be read or written, or is full.
    """

    def change(tasks: TaskList) -> list[Task]:
        known = {task.text.casefold(): task for task in tasks.tasks() if not task.is_done}
        added: list[Task] = []
        for text in map(one_line, texts):
            task = known.get(text.casefold())
            if task is None:
                new = Task("", text, due=due, is_from_outside=from_outside)
                task = known[text.casefold()] = tasks.add(new)
            added.append(task)
        if len(known) > MAX_OPEN:
            raise CannotKeep(f"{FILE} has {MAX_OPEN} open tasks: no more are added.")
        return added

    return _change(workspace, change)


def mark(workspace: Path, ids: Sequence[str], *, is_done: bool, day: str) -> list[Task]:
    """Mark tasks as done on a day, or as open again.

    Raises:
        UnknownTask: one of them is not there; none was changed.
        CannotKeep: the list cannot be read or written.
    """

    def change(tasks: TaskList) -> list[Task]:
        by_id = {task.id: task for task in tasks.tasks()}
        missing = [given for given in ids if given.lstrip("^") not in by_id]
        if missing:
            raise UnknownTask(missing[0])
        found = [by_id[given.lstrip("^")] for given in dict.fromkeys(ids)]
        changed = [
            task
            if task.is_done is is_done
            else replace(task, is_done=is_done, done=day if is_done else None)
            for task in found
        ]
        tasks.change(changed)
        return changed

    return _change(workspace, change)


def _change(workspace: Path, change: Callable[[TaskList], T]) -> T:
    tree = Tree(workspace)
    try:
        tree.create()
        with tree.lock():
            tasks = _read(tree)
            result = change(tasks)
            data = tasks.text().encode()
            if len(data) > MAX_FILE_BYTES:
                raise CannotKeep(f"{FILE} would be larger than {MAX_FILE_BYTES} bytes.")
            tree.write(FILE, data)
    except UnsafePath as error:
        raise CannotKeep(f"{FILE} cannot be written: {error}.") from None
    except OSError as error:
        raise CannotKeep(f"{FILE} cannot be written: {error.strerror or error}.") from None
    return result


def _read(tree: Tree) -> TaskList:
    try:
        found = tree.read(FILE, limit=MAX_FILE_BYTES)
        return TaskList() if found is None else TaskList.parse(found.data.decode())
    except UnicodeDecodeError:
        raise CannotKeep(f"{FILE} is not UTF-8 text.") from None
    except TooLarge:
        raise CannotKeep(f"{FILE} is larger than {MAX_FILE_BYTES} bytes.") from None
    except UnsafePath as error:
        raise CannotKeep(f"{FILE} cannot be read: {error}.") from None
    except OSError as error:
        raise CannotKeep(f"{FILE} cannot be read: {error.strerror or error}.") from None
