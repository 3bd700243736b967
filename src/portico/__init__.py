"""Portico: the gateway for AI assistants. One process, one port, every door.

Guarantees: importing this package imports nothing else, so that `portico --help` stays quick.

Not here: the gateway itself (`portico.app`) and the commands (`portico.cli`).
"""

from __future__ import annotations

__version__ = "0.1.0"
