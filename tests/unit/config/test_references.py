from __future__ import annotations

from pathlib import Path
from typing import Any

from portico.config.issues import Severity
from portico.config.references import Resolver, has_variable, is_secret_ref


def resolver(env: dict[str, str], base: Path = Path("/nowhere"), *, used: bool = True) -> Resolver:
    return Resolver(env, lambda _: used, lambda _: base)


def test_variables_are_replaced_and_dollars_escaped() -> None:
    tree: dict[str, Any] = {"a": "x-${HOST}-${HOST}", "b": ["$${HOST}", 5, None], "c": "$HOST ${}"}
    found = resolver({"HOST": "h"})
    assert found.resolve(tree) == {"a": "x-h-h", "b": ["${HOST}", 5, None], "c": "$HOST ${}"}
    assert found.issues == []


def test_each_missing_variable_is_reported_with_its_path() -> None:
    found = resolver({})
    found.resolve({"a": {"b": ["${ONE}", "${TWO}"]}})
    assert [(issue.path, issue.code, issue.severity) for issue in found.issues] == [
        ("a.b[0]", "env.missing", Severity.ERROR),
        ("a.b[1]", "env.missing", Severity.ERROR),
    ]
    assert "ONE" in found.issues[0].message


def test_what_is_missing_in_an_unused_section_is_not_missed() -> None:
    found = resolver({}, used=False)
    found.resolve({"channels": {"telegram": {"botToken": "${BOT}"}}})
    assert found.issues == []


def test_a_secret_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from file\n")
    found = resolver({"T": "from env", "HOME": str(tmp_path)}, tmp_path)
    tree = {
        "a": {"source": "env", "provider": "default", "id": "T"},
        "b": {"source": "file", "id": "token"},
        "c": {"source": "file", "id": "~/token"},
    }
    assert found.resolve(tree) == {"a": "from env", "b": "from file", "c": "from file"}
    assert found.secret_paths == {("a",), ("b",), ("c",)}


def test_only_programs_that_are_named_as_providers_are_run() -> None:
    found = resolver({})
    assert found.resolve({"t": {"source": "exec", "id": "rm -rf /"}}) == {"t": None}
    (issue,) = found.issues
    assert issue.code == "secret.unavailable"
    assert "there is no secrets.providers.default with source exec" in issue.message
    assert "secrets reload" in issue.next_step


def test_an_unreadable_secret_file_says_why(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    found = resolver({}, tmp_path)
    for name in ("none", "big", "binary"):
        found.resolve({name: {"source": "file", "id": name}})
    messages = [issue.message for issue in found.issues]
    assert "No such file" in messages[0]
    assert "larger than" in messages[1]
    assert "not UTF-8" in messages[2]


def test_an_ordinary_object_is_not_a_reference() -> None:
    assert not is_secret_ref({"source": "env", "id": "X", "other": 1})
    assert not is_secret_ref({"source": "web", "id": "X"})
    assert not is_secret_ref("env")
    assert has_variable("a${B}")
    assert not has_variable("$${B}")
