"""Does a command fit an entry of the allowlist? Decided on the program that will really start.

Theory of operation. `locate` finds the file that `argv[0]` names, as `execvp` would: a bare name
through the search path, an absolute path as it is, nothing else. An entry fits when

- its pattern is that path, letter by letter, or has wildcards (`*` within a folder, `**` across,
  `?`) that match both the path and the file it leads to through links;
- its argument pattern, when it has one, matches all arguments, each of them ended by a NUL, so that
  `["a b"]` and `["a", "b"]` are two things;
- it was made by `allow-always`: the path still leads to the same file.

A program that runs other programs (a shell, `env`, `xargs`, an interpreter) is judged as itself:
what it runs is never looked at. Wildcards do not reach it, and without an argument pattern an entry
does not allow it.

Guarantees: reads the file system, changes nothing; takes linear time in the arguments, whatever the
pattern; a pattern that cannot be understood matches nothing.

Source: OpenClaw docs, "Exec approvals", allowlist; POSIX `execvp`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

MAX_PATTERN_CHARS = 4_096
MAX_ARGUMENTS_CHARS = 131_072
_WILDCARD = re.compile(r"[*?]")
_GLOB = re.compile(r"\*\*/?|\*|\?")
NOTHING = "(?!)"
_NO_ARGUMENTS = "\0\0"

# Shells, interpreters and what exists to start another program, by their names without version
# numbers: python3.12 is python. A list of the well known, not a wall: an entry names one program.
_RUNNERS = (
    "ash bash busybox csh dash fish ksh mksh nu pwsh rbash rksh sh tcsh toybox yash zsh "
    "awk bun deno expect gawk groovy guile java jshell julia lua luajit mawk nawk node nodejs "
    "osascript perl php pypy python rscript ruby tclsh wish "
    "at batch bunx chpst chroot chrt daemonize doas entr env faketime fakeroot find firejail "
    "flock gdb gosu ionice ltrace nice nohup npx nsenter numactl parallel pipx pkexec "
    "proot proxychains run0 runcon runuser script setarch setpriv setsid setuidgid ssh sshpass "
    "start-stop-daemon stdbuf strace su sudo systemd-run taskset time timeout torsocks tsocks "
    "unbuffer unshare uvx valgrind watch xargs xvfb-run"
)
RUNNERS = frozenset(_RUNNERS.split())
_VERSION = re.compile(r"[-.]?\d[\d.]*$")


@dataclass(frozen=True, slots=True)
class Program:
    """The file that will start: by its name, and what that leads to."""

    path: str
    real: str

    @property
    def is_runner(self) -> bool:
        """Whether it is known to run other programs."""
        names = (_plain_name(self.path), _plain_name(self.real))
        return any(name in RUNNERS or name.startswith("ld-linux") for name in names)


def locate(argv: Sequence[str], search_path: str) -> Program | None:
    """Find the program of a command; `None`: there is none that can be named for certain.

    A relative path is never certain: it means another file in another folder.
    """
    name = argv[0] if argv else ""
    if not name or "\0" in name:
        return None
    if "/" in name:
        return _program(name)
    for folder in search_path.split(os.pathsep):
        found = _program(f"{folder.rstrip('/') or '/'}/{name}".replace("//", "/"))
        if found is not None:
            return found
    return None


def _program(path: str) -> Program | None:
    if not path.startswith("/") or os.path.normpath(path) != path:
        return None
    try:
        if not (Path(path).is_file() and os.access(path, os.X_OK)):
            return None
        return Program(path, os.path.realpath(path, strict=True))
    except (OSError, ValueError):
        return None


def fits(
    program: Program,
    arguments: Sequence[str],
    *,
    pattern: str,
    arg_pattern: str | None,
    bound_to: str | None = None,
) -> bool:
    """Say whether a command fits an entry.

    Args:
        bound_to: the file the path led to when the entry was made; `None`: any.
    """
    if program.is_runner and arg_pattern is None:
        return False
    if bound_to is not None and program.real != bound_to:
        return False
    if not _path_fits(program, _at_home(pattern)):
        return False
    return arg_pattern is None or _arguments_fit(arguments, arg_pattern)


def exactly(arguments: Sequence[str]) -> str:
    """Return the argument pattern that these arguments alone match.

    Two empty arguments cannot be told from none: theirs matches nothing.
    """
    text = _joined(arguments)
    return NOTHING if arguments and text == _NO_ARGUMENTS else f"^{_escape(text)}$"


def _at_home(pattern: str) -> str:
    if not pattern.startswith("~"):
        return pattern
    try:
        return str(Path(pattern).expanduser())
    except RuntimeError:  # nobody by that name: then it is no path
        return pattern


def _path_fits(program: Program, pattern: str) -> bool:
    if not _WILDCARD.search(pattern):
        return pattern == program.path
    if program.is_runner or not pattern.startswith("/"):
        return False
    glob = _as_regex(pattern)
    return _matches(glob, program.path) and _matches(glob, program.real)


def _as_regex(pattern: str) -> str:
    parts: list[str] = []
    at = 0
    for found in _GLOB.finditer(pattern):
        parts.append(_escape(pattern[at : found.start()]))
        parts.append({"**/": "(?:[^/]+/)*", "**": "(?s:.*)", "*": "[^/]*"}.get(found[0], "[^/]"))
        at = found.end()
    return "".join(parts) + _escape(pattern[at:])


def _joined(arguments: Sequence[str]) -> str:
    return "".join(f"{one}\0" for one in arguments) or _NO_ARGUMENTS


def _arguments_fit(arguments: Sequence[str], pattern: str) -> bool:
    if any("\0" in one for one in arguments):
        return False
    if "\0" in pattern:
        text = _joined(arguments)
        if text == _NO_ARGUMENTS and arguments:
            return False  # two empty arguments would read as none
    elif any(re.search(r"\s", one) or not one for one in arguments):
        return False  # joined with spaces it could be read in two ways
    else:
        text = " ".join(arguments)
    return len(text) <= MAX_ARGUMENTS_CHARS and _matches(pattern, text)


def _matches(pattern: str, text: str) -> bool:
    validator = _whole(pattern)
    if validator is None:
        return False
    try:
        validator.validate_python(text)
    except ValueError:  # also what UTF-8 cannot say
        return False
    return True


@lru_cache(maxsize=1024)
def _whole(pattern: str) -> Any:
    """Return a validator of texts that a pattern matches from end to end; `None`: no pattern.

    The engine is the one pydantic brings: it takes linear time, so no pattern can hang the gateway.
    """
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    if len(pattern) > MAX_PATTERN_CHARS:
        return None
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern))  # alone: it closes no group
        whole = core_schema.str_schema(pattern=rf"\A(?:{pattern})\z", strict=True)
        return SchemaValidator(whole)
    except (SchemaError, UnicodeEncodeError):
        return None


def _escape(text: str) -> str:
    return re.sub(r"[.^$*+?()\[\]{}|\\&~#\-]", lambda found: f"\\{found[0]}", text)


def _plain_name(path: str) -> str:
    return _VERSION.sub("", path.rpartition("/")[2].lower().removesuffix(".exe"))
