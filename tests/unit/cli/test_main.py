from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

from portico import __version__
from portico.cli import exit as exit_codes
from portico.cli.main import COMMANDS, GROUPS

COMMAND_WORDS = [[word for word in entry[:2] if word] for entry in COMMANDS]


@pytest.mark.parametrize("words", [*COMMAND_WORDS, *([group[0]] for group in GROUPS), []], ids=str)
def test_help_of_every_command_shows_an_example(portico, words) -> None:
    shown = portico(*words, "--help")
    assert shown.code == 0
    assert "Usage: portico" in shown.out
    assert "Examples:\n    " in shown.out
    assert "portico " + " ".join(words) in shown.out.partition("Examples:")[2]


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: f"{entry[0]} {entry[1]}".strip())
def test_summary_in_the_table_is_the_docstring_of_the_command(entry) -> None:
    _, name, where, summary = entry
    module, _, attribute = where.partition(":")
    app = getattr(importlib.import_module(f"portico.cli.commands.{module}"), attribute)
    assert (inspect.getdoc(app.default_command) or "").partition("\n")[0] == summary
    assert app.name[0] == name


@pytest.mark.parametrize("words", COMMAND_WORDS, ids=str)
def test_every_command_takes_json(portico, words) -> None:
    assert "--json" in portico(*words, "--help").out


def test_help_imports_nothing_of_the_gateway() -> None:
    program = (
        "import sys; from portico.cli.main import main; main(['--help']); "
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    imported = set(shown.stderr.split())
    heavy = {
        "alembic", "asyncio", "cryptography", "msgspec", "pydantic", "pyjson5", "sqlalchemy",
        "starlette", "structlog", "uvicorn", "uvloop", "websockets", "rich.markdown",
    }  # fmt: skip
    assert not heavy & imported
    assert not {name for name in imported if name.startswith("portico.cli.commands.")}


def test_calling_a_gateway_imports_no_server(tmp_path) -> None:
    program = (
        "import sys; from portico.cli.main import main; "
        "code = main(['health', '--url', 'ws://127.0.0.1:1', '--token', 'x']); "
        "print('\\n'.join(sys.modules)); sys.exit(code)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={"HOME": str(tmp_path)},
    )
    assert shown.returncode == 3
    heavy = {"alembic", "pydantic", "sqlalchemy", "starlette", "uvicorn", "uvloop"}
    assert not heavy & set(shown.stdout.split())


def test_version(portico) -> None:
    assert portico("--version").out.strip() == __version__


@pytest.mark.parametrize(
    "line",
    [
        ["nonsense"],
        ["gateway", "fly"],
        ["run", "--port", "many"],
        ["config", "get", "--color", "red"],
        ["agent"],
        ["call", "health", "--params", "{"],
        ["call"],
        ["health", "--url", "ftp://example.org"],
        ["config", "get", "a..b"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_understood_is_usage(portico, line) -> None:
    shown = portico(*line)
    assert shown.code == exit_codes.ExitCode.USAGE
    assert shown.out == ""
    assert shown.err.startswith("Error: ")
    assert "Next: " in shown.err


def test_usage_error_as_json(portico) -> None:
    shown = portico("gateway", "fly", "--json")
    assert shown.code == 2
    assert shown.error["code"] == "usage"
    assert shown.error["next_step"] == "portico gateway --help"


def test_table_of_exit_codes_is_complete() -> None:
    table = inspect.getdoc(exit_codes) or ""
    for code in exit_codes.ExitCode:
        assert f"| {code.value:<4} | {code.name:<12} |" in table


def test_module_runs_as_a_program() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "portico", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert shown.stdout.strip() == __version__
