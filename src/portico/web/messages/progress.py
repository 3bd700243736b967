"""What a run does, in words for people: stages, summaries and details of tool calls.

Guarantees: a detail has at most `MAX_DETAIL` characters and never a secret, a credential in a URL,
a query string or a long path.

Source: gateway message API, "Streaming" (`stage`, `summary`, `tool_detail`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from portico.observe.redaction import is_secret_name
from portico.web.messages.model import Stage

MAX_DETAIL = 96
MAX_DETAIL_PARTS = 2
MAX_VALUE = 48

_SECRET_VALUE = re.compile(
    r"(?i)(?:sk|pk|rk)-[a-z0-9_-]{8,}|gh[pousr]_[a-z0-9]{8,}|github_pat_\w{8,}|tgit_\w{4,}"
    r"|glpat-[\w-]{8,}|xox[abprs]-[\w-]{8,}|AKIA[0-9A-Z]{12,}|eyJ[\w-]{10,}\.[\w-]+"
    r"|bearer\s+\S+|-----BEGIN"
)
_ASSIGNMENT = re.compile(
    r"""(?i)(--?)?\b[\w-]*(?:token|password|passwd|secret|api[_-]?key|authorization)\b
    [=:\s]\s*\S+""",
    re.VERBOSE,
)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_PATH = re.compile(r"(?:~|\.{1,2})?(?:/[^\s/'\"]+){3,}/?")
_ENVIRONMENT = re.compile(r"[A-Za-z_]\w*=\S*")
_TELLING = ("path", "file", "file_path", "filename", "url", "query", "pattern", "command", "name")
_SHELL_TOOLS = frozenset({"exec", "exec_command", "shell", "bash", "run_command", "terminal"})
_SHELLS = frozenset({"bash", "sh", "zsh"})
_INSPECTING = frozenset(
    {"ls", "find", "rg", "grep", "cat", "sed", "head", "tail", "pwd", "tree", "wc"}
)
_TESTERS = frozenset({"npm", "pnpm", "yarn", "bun"})


def stage_of(tool: str, arguments: Mapping[str, Any]) -> tuple[Stage, str]:
    """Return the stage and summary of a tool call."""
    name = tool.strip().lower()
    if "spreadsheet" in name or "sheet" in name.split("_"):
        return "reading_spreadsheet", f"Reading spreadsheet{_place(arguments)}"
    if "document" in name or "pdf" in name.split("_"):
        return "reading_document", f"Reading document{_place(arguments)}"
    if name in _SHELL_TOOLS:
        return "running_tool", summary_of_command(str(arguments.get("command", "")))
    return "running_tool", "Running a tool"


def summary_of_command(command: str) -> str:
    """Say what a shell command does, where that is easy to tell."""
    words = _first_command(command)
    program = words[0].rpartition("/")[2] if words else ""
    rest = words[1:]
    if program == "go" and rest[:1] == ["test"]:
        return "Running go test"
    if program == "pytest" or (program.startswith("python") and rest[:2] == ["-m", "pytest"]):
        return "Running pytest"
    if program in _TESTERS and "test" in rest[:2]:
        return "Running npm test" if program == "npm" else f"Running {program} test"
    if program == "git":
        return "Running a git command"
    return "Inspecting the workspace" if program in _INSPECTING else "Running a command"


def tool_detail(arguments: Mapping[str, Any]) -> str | None:
    """Return a short hint at a tool call's arguments; `None`: there is nothing fit to show."""
    shown: list[str] = []
    for name, value in _telling(arguments):
        text = _safe(value)
        if text:
            shown.append(text if name in _TELLING else f"{name}={text}")
        if len(shown) == MAX_DETAIL_PARTS:
            break
    return _cut(" · ".join(shown), MAX_DETAIL) or None


def _place(arguments: Mapping[str, Any]) -> str:
    for name in ("page", "row", "sheet"):
        value = arguments.get(name)
        if isinstance(value, int | str) and not isinstance(value, bool) and value:
            return f", {name} {_cut(str(value), 40)}"
    return ""


def _first_command(command: str, depth: int = 0) -> list[str]:
    """Return the words of the command that matters: behind `cd … &&`, `A=b` and `bash -lc`."""
    for piece in re.split(r"&&|;|\|\|", command):
        try:
            words = shlex.split(piece.partition("|")[0])
        except ValueError:
            words = piece.split()
        while words and (_ENVIRONMENT.fullmatch(words[0]) or words[0] in {"env", "sudo", "exec"}):
            words.pop(0)
        if not words or words[0] in {"cd", "export", "set", "source", "."}:
            continue
        if words[0].rpartition("/")[2] in _SHELLS and depth < 3:
            quoted = re.search(r"-l?c\s+(['\"])(.*)\1", command, re.DOTALL)
            return _first_command(quoted.group(2), depth + 1) if quoted else words
        return words
    return []


def _telling(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    def rank(name: str) -> int:
        return _TELLING.index(name) if name in _TELLING else len(_TELLING)

    for name in sorted(arguments, key=rank):
        value = arguments[name]
        if (
            is_secret_name(name)
            or isinstance(value, bool)
            or not isinstance(value, str | int | float)
        ):
            continue
        yield name, str(value)


def _safe(value: str) -> str:
    text = " ".join(value.split())
    if not text or _SECRET_VALUE.search(text):
        return ""
    text = _ASSIGNMENT.sub("…", text)
    text = _URL.sub(lambda match: _short_url(match.group()), text)
    text = _PATH.sub(lambda match: _short_path(match.group()), text)
    return _cut(text, MAX_VALUE)


def _short_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "…"
    return f"{host}{_short_path(parts.path)}".rstrip("/")


def _short_path(path: str) -> str:
    names = [name for name in path.split("/") if name]
    return path if len(names) <= 2 else f"…/{'/'.join(names[-2:])}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
