"""Wheels of this tree under other version numbers, and an environment to install them into."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.gateway import ROOT


def build_wheel(
    version: str,
    folder: Path,
    *,
    scratch: Path,
    spoil: str = "",
    files: Mapping[str, str] | None = None,
) -> Path:
    """Build a wheel that says it is a version; with `spoil` at the end of its `server.py`.

    Args:
        files: what other files of the tree hold.
    """
    tree = scratch / version
    ignored = shutil.ignore_patterns("__pycache__", "static")
    shutil.copytree(ROOT / "src", tree / "src", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tree / name)
    package = tree / "src" / "portico"
    package.joinpath("__init__.py").write_text(f'__version__ = "{version}"\n')
    if spoil:
        with package.joinpath("server.py").open("a") as server:
            server.write(spoil)
    for name, text in (files or {}).items():
        (tree / name).write_text(text)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=tree,
        check=True,
        capture_output=True,
        timeout=120,
    )
    return next(folder.glob(f"portico-{version}-*.whl"))


def environment(folder: Path) -> Path:
    """Make an environment with pip that borrows what Portico depends on; return its Python."""
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run(
        [python, "-c", asked], check=True, capture_output=True, text=True, timeout=60
    )
    borrowed = sysconfig.get_path("purelib")
    (Path(done.stdout.strip()) / "borrowed.pth").write_text(borrowed + "\n")
    return python


def install(python: Path, wheel: Path) -> None:
    """Install one wheel, from no index."""
    words = ("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel))
    subprocess.run([python, *words], check=True, capture_output=True, timeout=120)
