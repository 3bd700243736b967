"""Import libraries without what they would bring along and an idle gateway never uses.

structlog imports rich with pygments (for coloured tracebacks) and twisted (for its loggers)
whenever they are installed: 8 MB for nothing in a gateway, whose tracebacks go to a file. uvicorn
imports watchfiles for its own reloading: 4 MB.
"""

from __future__ import annotations

import importlib
import sys
from typing import cast

LEAN = {"structlog": ("rich", "twisted"), "uvicorn": ("watchfiles",)}


def import_lean() -> None:
    """Import each library as if those were not installed; who wants them later has them."""
    for name, unused in LEAN.items():
        _import_without(name, unused)


def _import_without(name: str, unused: tuple[str, ...]) -> None:
    if name in sys.modules:
        return
    modules = cast("dict[str, object]", sys.modules)
    hidden = [one for one in unused if one not in modules]
    for one in hidden:
        modules[one] = None  # Python's own way to say: there is no such module
    try:
        importlib.import_module(name)
    finally:
        for one in hidden:
            del modules[one]
