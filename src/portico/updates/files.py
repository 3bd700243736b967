"""The files of installed packages: kept before they are replaced, put back when that went wrong.

Guarantees: needs no network and no package manager; files outside the environment are not touched.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

MANIFEST = "manifest.json"


class Kept(msgspec.Struct, frozen=True):
    """What is kept: packages by name, and the files they had, below the environment's folder."""

    packages: tuple[str, ...]
    files: tuple[str, ...]


def keep(packages: Sequence[str], *, environment: Path, folder: Path) -> Kept:
    """Copy the files of packages as they are now; those not installed have none."""
    shutil.rmtree(folder, ignore_errors=True)
    files = []
    for name in packages:
        for file in files_of(name, environment):
            there = folder / "files" / file
            there.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copy2(environment / file, there)
            files.append(str(file))
    kept = Kept(tuple(packages), tuple(files))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(kept))
    return kept


def restore(*, environment: Path, folder: Path) -> Kept:
    """Put back what was kept, in place of what the packages have now.

    Raises:
        OSError: nothing is kept, or it cannot be put back.
        msgspec.MsgspecError: the manifest is broken.
    """
    kept = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Kept)
    wanted = set(kept.files)
    for name in kept.packages:
        for file in files_of(name, environment):
            if str(file) not in wanted:
                (environment / file).unlink(missing_ok=True)
    for former in kept.files:
        there = environment / former
        there.parent.mkdir(parents=True, exist_ok=True)
        beside = there.with_name(f".{there.name}.restored")
        shutil.copy2(folder / "files" / former, beside)
        beside.replace(there)
    for name in kept.packages:
        _forget_leftovers(name, environment, wanted)
    return kept


def files_of(name: str, environment: Path) -> Iterator[Path]:
    """Yield the files of an installed package, relative to the environment."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return
    root = environment.resolve()
    for file in found.files or ():
        path = Path(str(found.locate_file(file))).resolve()
        if path.is_file() and path.is_relative_to(root):
            yield path.relative_to(root)


def _forget_leftovers(name: str, environment: Path, wanted: set[str]) -> None:
    """Remove descriptions of other versions of a package: the one that was put back counts."""
    normal = name.replace("-", "_").lower()
    for described in {(environment / one).parent for one in wanted if "dist-info" in one}:
        if not described.name.lower().startswith(f"{normal}-"):
            continue
        for other in described.parent.glob(f"{normal}-*.dist-info"):
            if other != described:
                shutil.rmtree(other, ignore_errors=True)
