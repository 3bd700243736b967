"""Files of packages are kept and put back, with a real installed package."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portico.updates import files


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "env"
    (folder / "site").mkdir(parents=True)
    sys.path.insert(0, str(folder / "site"))
    importlib.invalidate_caches()
    yield folder
    sys.path.remove(str(folder / "site"))


def install(environment: Path, version: str, **contents: str) -> None:
    """What an installer leaves: the package, and the record of its files."""
    site = environment / "site"
    info = site / f"pigeon-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pigeon\nVersion: {version}\n")
    names = [f"pigeon/{name}.py" for name in contents]
    for name, text in contents.items():
        (site / "pigeon").mkdir(exist_ok=True)
        (site / "pigeon" / f"{name}.py").write_text(text)
    own = f"pigeon-{version}.dist-info"
    lines = [*names, f"{own}/METADATA", f"{own}/RECORD", "../../outside.txt"]
    (info / "RECORD").write_text("".join(f"{line},,\n" for line in lines))


def remove(environment: Path) -> None:
    import shutil

    for each in (environment / "site").iterdir():
        shutil.rmtree(each)


def test_the_former_version_is_there_again(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("not of this environment")
    install(environment, "1.0", a="one", gone="old")
    kept = files.keep(["pigeon"], environment=environment, folder=tmp_path / "kept")
    assert "site/pigeon/a.py" in kept.files
    assert not any("outside" in name for name in kept.files)
    remove(environment)
    install(environment, "2.0", a="two", new="new")
    files.restore(environment=environment, folder=tmp_path / "kept")
    site = environment / "site"
    assert (site / "pigeon/a.py").read_text() == "one"
    assert (site / "pigeon/gone.py").read_text() == "old"
    assert not (site / "pigeon/new.py").exists()
    assert [one.name for one in site.glob("*.dist-info")] == ["pigeon-1.0.dist-info"]
    assert (tmp_path / "outside.txt").exists()


def test_a_package_that_was_not_there_is_gone_again(environment: Path, tmp_path: Path) -> None:
    kept = files.keep(["pigeon"], environment=environment, folder=tmp_path / "kept")
    assert kept.files == ()
    install(environment, "2.0", a="two")
    files.restore(environment=environment, folder=tmp_path / "kept")
    assert not (environment / "site/pigeon/a.py").exists()


def test_nothing_kept_is_said(environment: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"manifest"):
        files.restore(environment=environment, folder=tmp_path / "kept")
