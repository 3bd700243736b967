"""Words about tool calls: telling, short, and without secrets."""

from __future__ import annotations

import pytest

from portico.web.messages.progress import MAX_DETAIL, stage_of, summary_of_command, tool_detail


@pytest.mark.parametrize(
    ("command", "summary"),
    [
        ("go test ./...", "Running go test"),
        ("cd src && go test ./...", "Running go test"),
        ("pytest -q", "Running pytest"),
        ("python -m pytest tests", "Running pytest"),
        ("CI=1 DEBUG=x pytest", "Running pytest"),
        ("bash -lc 'cd /a/b && npm test'", "Running npm test"),
        ("pnpm run test", "Running pnpm test"),
        ("git status", "Running a git command"),
        ("/usr/bin/git log", "Running a git command"),
        ("ls -la", "Inspecting the workspace"),
        ("cat a.txt | head", "Inspecting the workspace"),
        ("rm -rf build", "Running a command"),
        ("", "Running a command"),
        ("echo 'unbalanced", "Running a command"),
    ],
)
def test_commands_are_recognised(command: str, summary: str) -> None:
    assert summary_of_command(command) == summary


@pytest.mark.parametrize(
    ("tool", "arguments", "stage", "summary"),
    [
        ("read_document", {"page": 3}, "reading_document", "Reading document, page 3"),
        ("read_spreadsheet", {}, "reading_spreadsheet", "Reading spreadsheet"),
        (
            "read_spreadsheet",
            {"sheet": "Q1"},
            "reading_spreadsheet",
            "Reading spreadsheet, sheet Q1",
        ),
        ("exec_command", {"command": "pytest"}, "running_tool", "Running pytest"),
        ("weather", {"city": "Graz"}, "running_tool", "Running a tool"),
    ],
)
def test_stages(tool: str, arguments: dict[str, object], stage: str, summary: str) -> None:
    assert stage_of(tool, arguments) == (stage, summary)


@pytest.mark.parametrize(
    "arguments",
    [
        {"token": "abcdef123456"},
        {"apiKey": "abcdef123456"},
        {"header": "Authorization: Bearer abcdef123456"},
        {"command": "curl -H 'X-Token: abcdef123456' --token abcdef123456"},
        {"text": "sk-abcdef123456789"},
        {"text": "ghp_abcdef123456"},
        {"text": "tgit_abcdef123456"},
        {"url": "https://ann:abcdef123456@files.example/a?token=abcdef123456"},
        {"password": "abcdef123456", "x": "y"},
    ],
)
def test_details_never_hold_secrets(arguments: dict[str, object]) -> None:
    assert "abcdef123456" not in (tool_detail(arguments) or "")


def test_details_are_short() -> None:
    assert tool_detail({"path": "/home/ann/papers/notes/today.md"}) == "…/notes/today.md"
    assert tool_detail({"url": "https://files.example/a/b/c?q=1"}) == "files.example…/b/c"
    detail = tool_detail({"query": "x" * 500, "b": "y" * 500, "c": "z"})
    assert detail is not None
    assert len(detail) <= MAX_DETAIL
    assert "z" not in detail
    assert tool_detail({}) is None
    assert tool_detail({"flag": True, "deep": {"a": 1}}) is None
