"""What every test shares: asynchronous tests run on the gateway's own event loop, uvloop."""

from __future__ import annotations

import signal

import pytest

from tests.support.databases import database_url, postgres_server, sqlite_store, store
from tests.support.synapse import synapse

__all__ = ["database_url", "postgres_server", "sqlite_store", "store", "synapse"]

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would the programs
# that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"use_uvloop": True}
