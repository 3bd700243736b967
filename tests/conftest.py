"""What every test shares: asynchronous tests run on the gateway's own event loop, uvloop."""

from __future__ import annotations

import pytest

from tests.support.databases import database_url, postgres_server, sqlite_store, store
from tests.support.synapse import synapse

__all__ = ["database_url", "postgres_server", "sqlite_store", "store", "synapse"]


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"use_uvloop": True}
