"""What would be run to get a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portico.agents.skills.installing.installers import (
    InstallerSettings,
    Option,
    options,
    run_option,
)
from portico.agents.skills.model import Document, Gating, Installer, Skill
from portico.process.programs import ProgramMissing


def offered(*given: Installer, **settings: Any) -> list[Option]:
    gating = Gating(install=given)
    skill = Skill(Document("hat", "d", gating), Path("/skills/hat"), "openclaw-bundled")
    return options(skill, InstallerSettings(**settings), "linux")


EVERY = (
    Installer(kind="node", package="@acme/hat@2"),
    Installer(kind="go", module="example.org/hat@latest"),
    Installer(kind="uv", package="hat==1.0"),
    Installer(kind="brew", formula="acme/tap/hat", id="b", label="Hat", bins=("hat",)),
    Installer(kind="brew", formula="hat", os=("darwin",)),
    Installer(kind="download"),
)


def test_the_commands_in_order_of_preference() -> None:
    assert [option.command for option in offered(*EVERY)] == [
        "brew install acme/tap/hat",
        "uv tool install hat==1.0",
        "npm install -g --ignore-scripts @acme/hat@2",
        "go install example.org/hat@latest",
    ]
    assert offered(*EVERY, prefer_brew=False)[-1].kind == "brew"
    assert offered(EVERY[0], node_manager="pnpm")[0].argv[:2] == ("pnpm", "add")


def test_ids_and_labels() -> None:
    named, unnamed = offered(EVERY[3], EVERY[2])
    assert (named.id, named.label, named.bins) == ("b", "Hat", ("hat",))
    assert (unnamed.id, unnamed.label) == ("uv-1", "Install hat==1.0 (uv)")


@pytest.mark.parametrize(
    "name",
    ["", "-g", "--index-url=x", "a b", "a;b", "$(a)", "file:a", "https://x/y", "./a", "a" * 300],
)
def test_what_is_not_plainly_a_name_is_not_offered(name: str) -> None:
    assert offered(Installer(kind="node", package=name)) == []


async def test_an_installer_is_run_as_it_is_shown(tmp_path: Path) -> None:
    (tmp_path / "uv").write_text('#!/bin/sh\necho "$0 $*"; echo trouble >&2; exit 3\n')
    (tmp_path / "uv").chmod(0o755)
    (option,) = offered(EVERY[2])
    done = await run_option(option, {"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout_s=60)
    assert done.code == 3
    assert done.stdout.decode() == f"{tmp_path}/uv tool install hat==1.0\n"
    assert done.stderr == b"trouble\n"


async def test_a_package_manager_that_is_not_here(tmp_path: Path) -> None:
    (option,) = offered(EVERY[3])
    with pytest.raises(ProgramMissing, match="brew"):
        await run_option(option, {"PATH": str(tmp_path)}, timeout_s=60)
