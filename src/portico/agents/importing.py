"""Importing what an agent needs when it is first needed, off the event loop.

Guarantees: one import at a time in the whole process. Two threads that import libraries with
circular imports at once may see modules half made: Python prefers that to a deadlock.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from types import ModuleType

_ONE_AT_A_TIME = threading.Lock()  # as the modules are, the process's


def import_one(name: str) -> ModuleType:
    """Import a module, in the thread that calls.

    Raises:
        ImportError: it is not there, or not installed.
    """
    with _ONE_AT_A_TIME:
        return importlib.import_module(name)


async def import_off_loop(name: str) -> ModuleType:
    """Import a module in a thread of its own.

    Raises:
        ImportError: it is not there, or not installed.
    """
    return await asyncio.to_thread(import_one, name)
