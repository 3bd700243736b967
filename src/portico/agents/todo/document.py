"""TASKS.md: a list of checkboxes people may edit by hand, with an id at the end of each.

    # Tasks

    - [ ] Book the flight · due 2026-05-01 ^t12
    - [x] Call Ann · done 2026-04-27 ^t11

    <!-- next task: t13 -->

Guarantees: what is not a task (headings, notes, other lists) stays as it is, word for word; an id
is given once and never again, even when its task is taken away; a task somebody wrote by hand gets
its id the next time the file is written.

Not here: the file (list.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

MAX_TEXT_CHARS = 500
HEADING = "# Tasks"
FROM_OUTSIDE = "from outside"

_TASK = re.compile(r"^(?P<indent>\s*)[-*] \[(?P<mark>[ xX])\] (?P<rest>.*?)\s*$")
_ID = re.compile(r"\s*\^(t\d{1,9})$")
_FACT = re.compile(r" · (?:(due|done) (\d{4}-\d{2}-\d{2})|(from outside))$")
_NEXT = re.compile(r"^<!-- next task: t(\d{1,9}) -->$")


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    Attributes:
        due, done: days, as `2026-05-01`.
        is_from_outside: somebody the operator does not vouch for had a part in its text.
    """

    id: str
    text: str
    is_done: bool = False
    due: str | None = None
    done: str | None = None
    is_from_outside: bool = False
    indent: str = ""

    def line(self) -> str:
        """Return it as it stands in the file."""
        facts = (
            f" · due {self.due}" if self.due else "",
            f" · done {self.done}" if self.done else "",
            f" · {FROM_OUTSIDE}" if self.is_from_outside else "",
        )
        mark = "x" if self.is_done else " "
        return f"{self.indent}- [{mark}] {self.text}{''.join(facts)} ^{self.id}"


@dataclass(slots=True)
class TaskList:
    """A file's lines: text that stays, and tasks."""

    lines: list[str | Task] = field(default_factory=list)
    next_number: int = 1

    @classmethod
    def parse(cls, text: str) -> TaskList:
        """Read a file; tasks without an id, or with one that is taken, get a new one."""
        found = cls()
        lines = text.splitlines()
        markers = [int(known[1]) for line in lines if (known := _NEXT.match(line.strip()))]
        found.lines = [_task(line) or line for line in lines if not _NEXT.match(line.strip())]
        numbers = [int(task.id[1:]) + 1 for task in found.tasks() if task.id]
        found.next_number = max([1, *markers, *numbers])
        taken: set[str] = set()
        for index, task in enumerate(found.lines):
            if isinstance(task, Task):
                named = task if task.id and task.id not in taken else found._named(task)
                taken.add(named.id)
                found.lines[index] = named
        return found

    def tasks(self) -> list[Task]:
        """Return the tasks, in the order of the file."""
        return [line for line in self.lines if isinstance(line, Task)]

    def add(self, task: Task) -> Task:
        """Put a task after the last one; return it with its id."""
        added = self._named(task)
        last = max((i for i, line in enumerate(self.lines) if isinstance(line, Task)), default=None)
        if last is not None:
            self.lines.insert(last + 1, added)
            return added
        while self.lines and self.lines[-1] == "":
            self.lines.pop()
        if not self.lines:
            self.lines.append(HEADING)
        self.lines += ["", added]
        return added

    def change(self, changed: Iterable[Task]) -> None:
        """Put other states of tasks in their places."""
        by_id = {task.id: task for task in changed}
        self.lines = [
            by_id.get(line.id, line) if isinstance(line, Task) else line for line in self.lines
        ]

    def text(self) -> str:
        """Return the file."""
        lines = [line.line() if isinstance(line, Task) else line for line in self.lines]
        while lines and not lines[-1]:
            lines.pop()
        return "\n".join([*lines, "", f"<!-- next task: t{self.next_number} -->", ""])

    def _named(self, task: Task) -> Task:
        named = replace(task, id=f"t{self.next_number}")
        self.next_number += 1
        return named


def one_line(text: str) -> str:
    """Return a text as a task can have it: on one line, and no longer than may be."""
    line = " ".join(text.split())
    line = _ID.sub("", line)  # what looks like an id is not one
    return line if len(line) <= MAX_TEXT_CHARS else f"{line[: MAX_TEXT_CHARS - 1]}…"


def _task(line: str) -> Task | None:
    """Return the task in a line; its id is empty when it has none."""
    found = _TASK.match(line)
    if found is None:
        return None
    rest, known = found["rest"], _ID.search(found["rest"])
    if known is not None:
        rest = rest[: known.start()]
    facts: dict[str, str] = {}
    while (fact := _FACT.search(rest)) is not None:
        facts[fact[1] or fact[3]] = fact[2] or "yes"
        rest = rest[: fact.start()]
    return Task(
        id=known[1] if known else "",
        text=rest.strip(),
        is_done=found["mark"] != " ",
        due=facts.get("due"),
        done=facts.get("done"),
        is_from_outside=FROM_OUTSIDE in facts,
        indent=found["indent"],
    )
