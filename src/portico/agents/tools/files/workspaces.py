"""The workspaces tools reach into: from what a model writes as a path to a file that is there.

Guarantees: those of `agents.workspace.tree`: nothing outside of the workspace, no links, nothing
hidden. What is wrong is said in a way that a model can act on.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from portico.agents.tools.contract import ToolError
from portico.agents.workspace.tree import TooLarge, Tree, UnsafePath

T = TypeVar("T")
MAX_PATH_CHARS = 1_000


class Workspaces:
    """Every agent's workspace.

    Args:
        workspace_of: returns an agent's workspace; `None`: it has none.
    """

    def __init__(self, workspace_of: Callable[[str], Path | None]) -> None:
        self._workspace_of = workspace_of

    def tree(self, agent_id: str) -> Tree:
        """Return an agent's files.

        Raises:
            ToolError: it has none.
        """
        root = self._workspace_of(agent_id)
        if root is None:
            raise ToolError("This agent has no workspace.")
        return Tree(root)

    async def work(self, agent_id: str, path: str, do: Callable[[Tree, str], T]) -> T:
        """Do something with a path of a workspace, in a thread.

        Raises:
            ToolError: the path is not one of the workspace, or it cannot be done.
        """
        tree = self.tree(agent_id)
        return await asyncio.to_thread(_do, tree, path, do)

    async def load(self, agent_id: str, path: str, *, max_bytes: int) -> bytes | None:
        """Return a file's content; `None`: there is none.

        Raises:
            ToolError: it is not a file of the workspace, or too large.
        """

        def read(tree: Tree, relative: str) -> bytes | None:
            found = tree.read(relative, limit=max_bytes) if relative else None
            return None if found is None else found.data

        return await self.work(agent_id, path, read)


def _do(tree: Tree, path: str, do: Callable[[Tree, str], T]) -> T:
    try:
        return do(tree, relative_path(tree.root, path))
    except UnsafePath as error:
        raise ToolError(f"{path[:200]}: {error}.") from None
    except TooLarge as error:
        raise ToolError(f"{path[:200]} is too large: {error}.") from None
    except IsADirectoryError:
        raise ToolError(f"{path[:200]} is a directory.") from None
    except OSError as error:
        raise ToolError(f"{path[:200]}: {error.strerror or 'cannot be had'}.") from None


def relative_path(root: Path, path: str) -> str:
    """Return a path as the tree takes it; empty: the workspace itself.

    Raises:
        UnsafePath: it leads out of the workspace.
    """
    if len(path) > MAX_PATH_CHARS or "\0" in path:
        raise UnsafePath("not a path")
    if path.startswith(("/", "~")):
        for top in (root, root.resolve()):
            inside = posixpath.normpath(path)
            if inside == str(top) or inside.startswith(f"{top}/"):
                path = inside[len(str(top)) :].lstrip("/")
                break
        else:
            raise UnsafePath("it is not in the workspace; name it relative to that")
    plain = posixpath.normpath(path or ".")
    if plain == ".." or plain.startswith("../"):
        raise UnsafePath("it leads out of the workspace")
    return "" if plain == "." else plain
