"""The tool with which an agent keeps its people's tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from portico.agents.todo import list as task_list
from portico.agents.todo.document import MAX_TEXT_CHARS, Task
from portico.agents.todo.list import CannotKeep, UnknownTask
from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, ToolOutput, tool
from portico.clock import Clock

MAX_AT_ONCE = 50
MAX_SHOWN = 200
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4 * MAX_TEXT_CHARS)]
Id = Annotated[str, msgspec.Meta(pattern=r"^\^?t[0-9]{1,9}$")]


class TasksArgs(ToolArgs, frozen=True, kw_only=True):
    """What `tasks` takes."""

    action: Annotated[
        Literal["add", "list", "done", "reopen"],
        msgspec.Meta(description="add: needs texts. done, reopen: need ids. list: show them."),
    ]
    texts: Annotated[
        tuple[Text, ...],
        msgspec.Meta(max_length=MAX_AT_ONCE, description="One task each, as an instruction."),
    ] = ()
    due: Annotated[
        str | None, msgspec.Meta(description="Day they are due, as 2026-05-01; of all texts.")
    ] = None
    ids: Annotated[tuple[Id, ...], msgspec.Meta(max_length=MAX_AT_ONCE)] = ()
    show: Annotated[
        Literal["open", "done", "all"], msgspec.Meta(description="Which ones to list.")
    ] = "open"
    search: Annotated[str | None, msgspec.Meta(description="Only those with these words.")] = None


class TaskShown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task."""

    id: str
    text: str
    done: bool = False
    due: str | None = None
    done_on: str | None = None


class TasksShown(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks, and how many are open in all."""

    tasks: list[TaskShown]
    open: int


class TodoTools:
    """`tasks`.

    Args:
        workspace_of: from an agent's id to its folder.
    """

    def __init__(self, *, workspace_of: Callable[[str], str | None], clock: Clock) -> None:
        self._workspace_of = workspace_of
        self._clock = clock

    @tool("tasks", group="memory")
    async def tasks(self, call: ToolCall, args: TasksArgs) -> ToolOutput:
        """Keep the person's list of tasks, TASKS.md: add, list, mark as done, open again.

        Every task has an id that stays. Adding what is on the list already changes nothing.
        """
        if call.is_among_strangers:
            raise ToolError("The list is private: it is not for a conversation with strangers.")
        workspace = self._workspace(call)
        due = _day(args.due)
        try:
            touched = await asyncio.to_thread(self._act, workspace, call, args, due)
            every = await asyncio.to_thread(task_list.listed, workspace)
        except UnknownTask as error:
            raise ToolError(f"There is no task {error}.") from None
        except CannotKeep as error:
            raise ToolError(str(error)) from None
        shown = _chosen(every, args) if touched is None else touched
        result = TasksShown(
            tasks=[_shown(task) for task in shown[:MAX_SHOWN]],
            open=sum(not task.is_done for task in every),
        )
        return ToolOutput(result, is_untrusted=any(task.is_from_outside for task in shown))

    def _act(
        self, workspace: Path, call: ToolCall, args: TasksArgs, due: str | None
    ) -> list[Task] | None:
        """Change what is to be changed, and return it."""
        if args.action == "add":
            if not args.texts:
                raise CannotKeep("Say what to add: texts.")
            return task_list.add(workspace, args.texts, due=due, from_outside=call.is_untrusted)
        if args.action in {"done", "reopen"}:
            if not args.ids:
                raise CannotKeep("Say which tasks: ids.")
            today = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).date().isoformat()
            return task_list.mark(workspace, args.ids, is_done=args.action == "done", day=today)
        return None

    def _workspace(self, call: ToolCall) -> Path:
        given = self._workspace_of(call.agent_id)
        if not given:
            raise ToolError("This agent has no workspace, so it keeps no tasks.")
        return Path(given).expanduser()


def _day(given: str | None) -> str | None:
    if given is None:
        return None
    try:
        return date.fromisoformat(given).isoformat()
    except ValueError:
        raise ToolError("due is a day, written as 2026-05-01.") from None


def _chosen(tasks: Sequence[Task], args: TasksArgs) -> list[Task]:
    words = (args.search or "").casefold().split()
    return [
        task
        for task in tasks
        if (args.show == "all" or task.is_done is (args.show == "done"))
        and all(word in task.text.casefold() for word in words)
    ]


def _shown(task: Task) -> TaskShown:
    return TaskShown(id=task.id, text=task.text, done=task.is_done, due=task.due, done_on=task.done)
