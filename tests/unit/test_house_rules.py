"""Rules of the house that the linters cannot say per file: who reads the clock, starts tasks, …"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "portico"
MODULES = sorted(SOURCE.rglob("*.py"))

# What is named on the left may be used only in the files and rooms on the right.
ALLOWED = {
    "asyncio.create_task": {"tasks.py"},
    "asyncio.ensure_future": {"tasks.py"},
    "datetime.now": {"clock.py"},
    "datetime.utcnow": {"clock.py"},
    "os.environ": {"app.py", "cli", "config"},
    "os.getenv": {"app.py", "cli", "config"},
    "time.monotonic": {"clock.py"},
    "time.time": {"clock.py"},
    "uuid.uuid4": {"ids.py"},
}
# Methods of an event loop or a task group start tasks too, whatever the object is called.
TASK_STARTERS = {"create_task", "ensure_future"}

# An exception says so, and why, on its line.
EXCUSED = "# noqa: TID251 - "


def dotted(node: ast.Attribute) -> str:
    return f"{node.value.id}.{node.attr}" if isinstance(node.value, ast.Name) else node.attr


def offences(source: str, room: str) -> list[str]:
    found = []
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute) or EXCUSED in lines[node.lineno - 1]:
            continue
        allowed = ALLOWED.get(dotted(node))
        if allowed is not None and room not in allowed:
            found.append(f"line {node.lineno}: {dotted(node)}")
        elif node.attr in TASK_STARTERS and room != "tasks.py":
            found.append(f"line {node.lineno}: .{node.attr}")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_uses_only_what_its_room_may_use(module: Path) -> None:
    room = module.relative_to(SOURCE).parts[0]
    assert offences(module.read_text(encoding="utf-8"), room) == []


def test_the_rule_sees_an_offence() -> None:
    assert offences("import time\nnow = time.time()\n", "rpc") == ["line 2: time.time"]
    assert offences("loop.create_task(work())\n", "turns") == ["line 1: .create_task"]
    assert offences("import time\nnow = time.time()\n", "clock.py") == []


def test_importing_the_package_imports_nothing_else() -> None:
    program = (
        "import sys; before = set(sys.modules); import portico; "
        "print(sorted(set(sys.modules) - before - {'__future__', 'portico'}))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert shown.stdout.strip() == "[]"
