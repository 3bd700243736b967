"""Trying a write again while the database is away, for what only its writer knows.

Guarantees: it ends: once the pauses between attempts add up to the patience, the last error is
raised. A cancellation ends it at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

FIRST_RETRY_S = 0.05
LONGEST_RETRY_S = 2.0


async def until_written(
    write: Callable[[], Awaitable[T]],
    *,
    patience_s: float,
    on_delay: Callable[[Exception], None],
    final: tuple[type[Exception], ...] = (),
) -> T:
    """Return what `write` returns, once it does.

    Args:
        write: may be called again after a commit whose answer was lost.
        on_delay: is told why it is tried again.
        final: errors that trying again does not mend; they are raised at once.

    Raises:
        Exception: as `write` raised it, when the patience is at its end or it is final.
    """
    waited_s, delay_s = 0.0, FIRST_RETRY_S
    while True:
        try:
            return await write()
        except final:
            raise
        except Exception as error:
            if waited_s >= patience_s:
                raise
            on_delay(error)
        await asyncio.sleep(delay_s)
        waited_s, delay_s = waited_s + delay_s, min(2 * delay_s, LONGEST_RETRY_S)
