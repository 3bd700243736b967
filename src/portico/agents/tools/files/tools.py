"""Tools for the files of the workspace: read, write, edit.

Guarantees: only files of the agent's own workspace, without links and hidden names; a file is
written whole or stays as it was; sizes are bounded.

Source: OpenClaw, `read`, `write` and `edit` tools.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from portico.agents.tools.contract import ToolArgs, ToolCall, ToolError, ToolOutput, tool
from portico.agents.tools.files.workspaces import Workspaces
from portico.agents.tools.memory.notes import NoteFile, is_of_memory
from portico.agents.workspace.tree import Tree, UnsafePath
from portico.protocol.scopes import Scope

MAX_READ_BYTES = 5_000_000
MAX_WRITE_CHARS = 1_000_000
MAX_LINES = 2_000
MAX_SHOWN_CHARS = 40_000
MAX_LISTED = 500

PathArg = Annotated[
    str, msgspec.Meta(max_length=1_000, description="Path, relative to the workspace.")
]


class ReadArgs(ToolArgs, frozen=True, kw_only=True):
    """What `read` takes."""

    path: PathArg = ""
    offset: Annotated[int, msgspec.Meta(ge=1, description="The first line to show.")] = 1
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LINES, description="How many lines.")] = (
        MAX_LINES
    )


class WriteArgs(ToolArgs, frozen=True, kw_only=True):
    """What `write` takes."""

    path: PathArg
    content: Annotated[str, msgspec.Meta(max_length=MAX_WRITE_CHARS)]


class EditArgs(ToolArgs, frozen=True, kw_only=True):
    """What `edit` takes."""

    path: PathArg
    old_text: Annotated[
        str, msgspec.Meta(min_length=1, description="Text of the file, letter by letter.")
    ]
    new_text: Annotated[str, msgspec.Meta(max_length=MAX_WRITE_CHARS)]
    replace_all: Annotated[
        bool, msgspec.Meta(description="Wherever it stands; else it must stand there once.")
    ] = False


class FileTools:
    """`read`, `write` and `edit`."""

    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    @tool("read", group="fs", changes=False)
    async def read(self, call: ToolCall, args: ReadArgs) -> ToolOutput:
        """Read a text file of the workspace, or list a directory of it."""

        def work(tree: Tree, path: str) -> ToolOutput:
            entry = tree.stat(path) if path else None
            if not path or (entry is not None and entry.kind == "directory"):
                return ToolOutput(_listed(tree, path))
            found = tree.read(path, limit=MAX_READ_BYTES)
            if found is None:
                raise ToolError(f"There is no file {args.path[:200]} in the workspace.")
            text = _text(found.data, path)
            is_outside = is_of_memory(path) and any(NoteFile(path, text).outside())
            return ToolOutput(_lines(path, text, args), is_untrusted=is_outside)

        return await self._workspaces.work(call.agent_id, args.path, work)

    @tool("write", group="fs", scope=Scope.ADMIN)
    async def write(self, call: ToolCall, args: WriteArgs) -> dict[str, Any]:
        """Write a text file of the workspace, in place of what is there."""
        data = args.content.encode("utf-8", "replace")

        def work(tree: Tree, path: str) -> dict[str, Any]:
            _make_room(tree, path)
            with tree.lock():
                is_new = tree.stat(path) is None
                tree.write(path, data)
            return {"path": path, "bytes": len(data), "created": is_new}

        return await self._workspaces.work(call.agent_id, args.path, work)

    @tool("edit", group="fs", scope=Scope.ADMIN)
    async def edit(self, call: ToolCall, args: EditArgs) -> dict[str, Any]:
        """Replace a piece of a text file of the workspace."""

        def work(tree: Tree, path: str) -> dict[str, Any]:
            if not path:
                raise UnsafePath("it is a directory")
            tree.create()
            with tree.lock():
                found = tree.read(path, limit=MAX_READ_BYTES)
                if found is None:
                    raise ToolError(f"There is no file {args.path[:200]} in the workspace.")
                text, count = _replaced(_text(found.data, path), args)
                tree.write(path, text.encode())
            return {"path": path, "replaced": count}

        return await self._workspaces.work(call.agent_id, args.path, work)


def _make_room(tree: Tree, path: str) -> None:
    """Make the directories on the way to a file."""
    if not path:
        raise UnsafePath("it is a directory")
    folder = path.rpartition("/")[0]
    if folder:
        tree.make(folder)
    else:
        tree.create()


def _listed(tree: Tree, path: str) -> dict[str, Any]:
    entries = tree.list(path) or []
    shown = [f"{e.name}/" if e.kind == "directory" else e.name for e in entries[:MAX_LISTED]]
    return {"path": path or ".", "entries": shown, "truncated": len(entries) > MAX_LISTED}


def _text(data: bytes, path: str) -> str:
    if b"\0" in data[:8_192]:
        raise ToolError(f"{path} is not a text file. Pictures and PDFs have tools of their own.")
    return data.decode("utf-8", "replace")


def _lines(path: str, text: str, args: ReadArgs) -> dict[str, Any]:
    lines = text.splitlines(keepends=True)
    wanted = lines[args.offset - 1 : args.offset - 1 + args.limit]
    shown = "".join(wanted)
    is_cut = len(shown) > MAX_SHOWN_CHARS
    return {
        "path": path,
        "text": shown[:MAX_SHOWN_CHARS],
        "startLine": args.offset,
        "lines": len(wanted),
        "totalLines": len(lines),
        "truncated": is_cut or args.offset - 1 + len(wanted) < len(lines),
    }


def _replaced(text: str, args: EditArgs) -> tuple[str, int]:
    count = text.count(args.old_text)
    if count == 0:
        raise ToolError("oldText does not stand in the file; read it again.")
    if count > 1 and not args.replace_all:
        raise ToolError(f"oldText stands in the file {count} times: name more of it.")
    changed = text.replace(args.old_text, args.new_text)
    if len(changed) > MAX_READ_BYTES:
        raise ToolError("The file would become too large.")
    return changed, count
