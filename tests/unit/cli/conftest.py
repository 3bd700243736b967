from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from portico.cli.main import main

AMBIENT = ("CONFIG", "STATE_DIR", "GATEWAY_URL", "GATEWAY_TOKEN", "GATEWAY_PASSWORD")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.err)["error"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of its own, and nothing of the caller's environment."""
    for name in AMBIENT:
        monkeypatch.delenv(f"PORTICO_{name}", raising=False)
        monkeypatch.delenv(f"OPENCLAW_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def portico(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command line in this process."""

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return Outcome(int(code), said.out, said.err)

    return run


@pytest.fixture
def portico_async(portico: Callable[..., Outcome]) -> Callable[..., Awaitable[Outcome]]:
    """The same beside a running fake gateway: the command has a thread and a loop of its own."""

    async def run(*arguments: str) -> Outcome:
        return await anyio.to_thread.run_sync(lambda: portico(*arguments))

    return run
