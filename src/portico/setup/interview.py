"""The course of a wizard, without I/O: what is asked next, and what an answer does.

Theory of operation: the questions are a list that follows from the answers so far. What is asked
next is the first of the list that applies and has no answer. An answer is read, which may refuse
it: then nothing has changed and the same question stands. Nothing else is remembered, so that the
order in which answers come in cannot leave anything behind.

Guarantees: a refused answer changes nothing; an answer to another step than the one that is asked
is refused; answers to questions that no longer apply are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from portico.setup.model import Check, Checked, Facts, Known, Question, Step, Unacceptable

Item = Question | Check
Agenda = Callable[[Known], Sequence[Item]]
MAX_STEPS = 200
"""Asking again and again ends somewhere."""


class Interview:
    """One person's way through the questions."""

    def __init__(self, agenda: Agenda, facts: Facts) -> None:
        self._agenda = agenda
        self._facts = facts
        self._answers: dict[str, Any] = {}
        self._steps = 0

    @property
    def known(self) -> Known:
        """The facts and the answers."""
        return Known(self._facts, dict(self._answers))

    def next(self) -> Item | None:
        """Return what comes next; `None`: everything is answered."""
        known = Known(self._facts, {})
        kept: dict[str, Any] = {}
        for item in self._walk():
            known = Known(self._facts, kept)
            if not item.applies(known):
                continue
            if item.id not in self._answers:
                self._answers = kept
                return item
            kept[item.id] = self._answers[item.id]
        self._answers = kept
        return None

    def _walk(self) -> Sequence[Item]:
        return self._agenda(Known(self._facts, self._answers))

    def step(self) -> Step | None:
        """Return what the person is shown now; `None`: nothing is asked."""
        item = self.next()
        return item.show(self.known) if isinstance(item, Question) else None

    def answer(self, step_id: str, value: Any) -> None:
        """Take an answer.

        Raises:
            Unacceptable: it is none to what is asked, or not one that can be taken.
        """
        item = self.next()
        if not isinstance(item, Question) or item.id != step_id:
            raise Unacceptable("Another step is asked now; this answer was not taken.")
        if self._steps >= MAX_STEPS:
            raise Unacceptable("There were too many answers. Cancel, and begin anew.")
        self._steps += 1
        self._answers[item.id] = item.read(value, self.known)
        if item.again is not None and self._answers[item.id] == item.again[0]:
            self._forget(item.again[1])

    def back(self) -> None:
        """Take the last answer back, and what was looked up because of it."""
        self.next()  # from here on the answers are in the order of the questions
        questions = {item.id for item in self._walk() if isinstance(item, Question)}
        while self._answers:
            name, _ = self._answers.popitem()
            if name in questions:
                return

    def checked(self, check: Check, result: Checked) -> None:
        """Take what a check has found."""
        self._answers[check.id] = result

    def _forget(self, beginnings: tuple[str, ...]) -> None:
        self._answers = {
            name: value for name, value in self._answers.items() if not name.startswith(beginnings)
        }
