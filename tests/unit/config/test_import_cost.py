"""What importing and loading drags in; times are not asserted, modules are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("pydantic", "pyjson5", "json5", "difflib", "tempfile", "asyncio")
PROGRAM = """
import sys
from portico.config import LoadedConfig, load, resolve_paths, set_value, import_openclaw
print([name for name in {heavy!r} if name in sys.modules])
loaded = load(resolve_paths(env={{}}, config=sys.argv[1]), env={{}})
print(len(loaded.warnings), "json5" in sys.modules)
"""


def test_importing_is_light_and_loading_needs_no_editor(tmp_path: Path) -> None:
    config = tmp_path / "c.json"
    config.write_text('{gateway: {auth: {token: "abc"}}, telemetry: {}}')
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(heavy=HEAVY), str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stdout.split("\n")[:2] == ["[]", "1 False"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    import portico.config

    with pytest.raises(AttributeError):
        _ = portico.config.nothing_of_the_sort
    assert all(hasattr(portico.config, name) for name in portico.config.__all__)
