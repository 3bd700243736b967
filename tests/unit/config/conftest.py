"""A private home for each test, and a way to write its config file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from portico.config import ConfigPaths, LoadedConfig, load, resolve_paths

Write = Callable[[str], ConfigPaths]
Load = Callable[..., LoadedConfig]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


@pytest.fixture
def paths(env: dict[str, str]) -> ConfigPaths:
    return resolve_paths(env=env)


@pytest.fixture
def write(paths: ConfigPaths) -> Write:
    def write_text(text: str) -> ConfigPaths:
        paths.config_file.parent.mkdir(parents=True, exist_ok=True)
        paths.config_file.write_text(text, encoding="utf-8")
        return paths

    return write_text


@pytest.fixture
def load_text(write: Write, env: dict[str, str]) -> Load:
    """Write a text and load it; keywords are environment variables."""

    def load_written(text: str, **variables: str) -> LoadedConfig:
        return load(write(text), env={**env, **variables})

    return load_written
