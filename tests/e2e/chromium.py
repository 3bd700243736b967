"""Which Chromium the browser tests drive: the one on this machine, else the one packaged in npm."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from tests.e2e.node_client import find_node

PACKAGE = Path(__file__).parent / "browser"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# A container's root has no sandbox and a small /dev/shm; colours and fonts are to be the same
# everywhere.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
)


def find_chromium() -> str | None:
    """Return the program to start, or None when there is none."""
    if chosen := os.environ.get("PORTICO_TEST_CHROMIUM"):
        return chosen
    on_path = next((path for name in NAMES if (path := shutil.which(name))), None)
    return on_path or _packaged()


def _packaged() -> str | None:
    if not (PACKAGE / "node_modules").exists():
        return None
    # Tests that run side by side would unpack it over each other.
    with (PACKAGE / "node_modules" / ".unpacking").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = subprocess.run(
            [find_node(), "unpack.mjs"],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    return told.stdout.strip().splitlines()[-1]
