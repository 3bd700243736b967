"""Ports for what has to know its own before it listens, or comes back to it.

Not from the range of which the system gives away: whoever asks it for any port, or opens a
connection, would get one that is free only for a moment. Tests that run side by side have a part
of the range each.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

FIRST, PARTS, EACH = 20_000, 12, 1_000


def unused_port() -> int:
    """Return a port of this machine on which nobody listens."""
    for port in _candidates():
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a cycle does not end")


@cache
def _candidates() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = FIRST + worker % PARTS * EACH
    # Another run on this machine begins elsewhere.
    turn = random.SystemRandom().randrange(EACH)
    return itertools.cycle([first + (turn + number) % EACH for number in range(EACH)])
