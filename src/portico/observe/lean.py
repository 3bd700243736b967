"""Import structlog without what it would bring along and the gateway never uses.

structlog imports rich and pygments whenever they are installed (the CLI needs them), for coloured
tracebacks. In a gateway, whose tracebacks go to a file, that is 5 MB and 40 ms for nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import cast


def import_structlog() -> None:
    """Import structlog as if rich were not installed. Does nothing when either is imported."""
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    modules = cast("dict[str, object]", sys.modules)
    modules["rich"] = None  # Python's own way to say: there is no such module
    try:
        importlib.import_module("structlog")
    finally:
        del modules["rich"]
