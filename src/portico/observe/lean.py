"""Import structlog without what it would bring along and the gateway never uses.

structlog imports rich with pygments (for coloured tracebacks) and twisted (for its loggers)
whenever they are installed. In a gateway, whose tracebacks go to a file, that is 8 MB for nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import cast

UNUSED = ("rich", "twisted")


def import_structlog() -> None:
    """Import structlog as if they were not installed. Does nothing when it is imported already."""
    if "structlog" in sys.modules:
        return
    modules = cast("dict[str, object]", sys.modules)
    hidden = [name for name in UNUSED if name not in modules]
    for name in hidden:
        modules[name] = None  # Python's own way to say: there is no such module
    try:
        importlib.import_module("structlog")
    finally:
        for name in hidden:
            del modules[name]
