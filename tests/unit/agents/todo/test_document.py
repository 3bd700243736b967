"""TASKS.md, as people and agents write it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portico.agents.todo.document import MAX_TEXT_CHARS, Task, TaskList, one_line

WRITTEN = """# Home

Some words about it.

- [ ] Book the flight · due 2026-05-01 ^t12
- [x] Call Ann · done 2026-04-27 ^t11
  - [ ] with a hat · from outside ^t13
- no task

## Later

* [X] By hand

<!-- next task: t20 -->
"""


def test_tasks_are_read_with_their_facts() -> None:
    tasks = TaskList.parse(WRITTEN).tasks()
    assert tasks == [
        Task("t12", "Book the flight", due="2026-05-01"),
        Task("t11", "Call Ann", is_done=True, done="2026-04-27"),
        Task("t13", "with a hat", is_from_outside=True, indent="  "),
        Task("t20", "By hand", is_done=True),
    ]


def test_what_is_no_task_stays_word_for_word() -> None:
    text = TaskList.parse(WRITTEN).text()
    assert text == WRITTEN.replace("* [X] By hand", "- [x] By hand ^t20").replace(
        "next task: t20", "next task: t21"
    )
    assert TaskList.parse(text).text() == text


def test_an_id_is_never_given_twice() -> None:
    tasks = TaskList()
    assert [tasks.add(Task("", text)).id for text in ("a", "b")] == ["t1", "t2"]
    without = TaskList.parse(tasks.text().replace("- [ ] b ^t2\n", ""))
    assert without.add(Task("", "c")).id == "t3"
    twins = TaskList.parse("- [ ] a ^t5\n- [ ] b ^t5\n")
    assert [task.id for task in twins.tasks()] == ["t5", "t6"]


def test_a_new_list_and_one_with_other_text() -> None:
    fresh = TaskList()
    fresh.add(Task("", "a"))
    assert fresh.text() == "# Tasks\n\n- [ ] a ^t1\n\n<!-- next task: t2 -->\n"
    notes = TaskList.parse("# Mine\nnotes\n\n\n")
    notes.add(Task("", "a"))
    assert notes.text().startswith("# Mine\nnotes\n\n- [ ] a ^t1\n")


def test_a_text_is_one_line_without_an_id_of_its_own() -> None:
    assert one_line("  a\n- [ ] b ^t9 ") == "a - [ ] b"
    assert len(one_line("x" * 2_000)) == MAX_TEXT_CHARS


@given(st.lists(st.text(min_size=1, max_size=60), max_size=6), st.booleans())
def test_whatever_is_written_is_read_again(texts: list[str], done: bool) -> None:
    tasks = TaskList()
    lines = [line for line in map(one_line, texts) if line]
    for line in lines:
        tasks.add(Task("", line, is_done=done))
    again = TaskList.parse(tasks.text())
    assert len(again.tasks()) == len(lines)
    assert [task.id for task in again.tasks()] == [task.id for task in tasks.tasks()]
    assert again.text() == tasks.text()


@given(st.text(alphabet="-*[] xX^t19·due\n2026-0", max_size=120))
def test_any_file_can_be_read_and_settles(text: str) -> None:
    once = TaskList.parse(text).text()
    assert TaskList.parse(once).text() == once
