"""An agent's instructions: the files of its workspace.

Guarantees: at most `MAX_FILE_CHARS` of each file are read, from the workspace itself and nowhere
else (a link that leads out of it is not followed); a missing file is no error, and a form nobody
has filled in says nothing.

Source: OpenClaw workspace files.
"""

from __future__ import annotations

from pathlib import Path

from portico.agents.workspace.starter import is_untouched_form

FILES = (
    *("AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "TOOLS.md", "BOOTSTRAP.md"),
    "MEMORY.md",
)
PRIVATE = frozenset({"USER.md", "MEMORY.md"})
MAX_FILE_CHARS = 20_000


def instructions(workspace: str | None, *, name: str | None, with_private: bool = True) -> str:
    """Return what the workspace tells the agent; empty when there is nothing.

    Args:
        with_private: also what the agent keeps for its operator alone.
    """
    parts = [f"Your name is {name}."] if name else []
    if workspace:
        root = Path(workspace).expanduser().resolve()
        for file in FILES:
            text = "" if file in PRIVATE and not with_private else _read(root, file)
            if text and not is_untouched_form(file, text):
                parts.append(f"# {file}\n\n{text}")
    return "\n\n".join(parts)


def _read(root: Path, name: str) -> str:
    path = root / name
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            return ""
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_FILE_CHARS + 1)
    except OSError:
        return ""
    if len(text) > MAX_FILE_CHARS:
        return f"{text[:MAX_FILE_CHARS]}\n[cut here: the file is longer]"
    return text.strip()
