"""What every test shares: asynchronous tests run on the gateway's own event loop, uvloop.

How hard hypothesis tries: `ci` in every run, the same examples each time; `deep` by hand, always
others: HYPOTHESIS_PROFILE=deep pytest tests/property
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.support.databases import database_url, postgres_server, sqlite_store, store
from tests.support.synapse import synapse

__all__ = ["database_url", "postgres_server", "sqlite_store", "store", "synapse"]

# None of these says more than that the machine is slow.
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "ci", max_examples=60, deadline=None, suppress_health_check=_SLOW, derandomize=True
)
settings.register_profile("deep", max_examples=5_000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would the programs
# that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# What starts a server or a browser for all its tests is for one of the processes side by side.
TOGETHER = ("synapse", "browser")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in TOGETHER:
            if name in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(name))


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A gateway in this process sets up what all share; the next test may look at its log, too."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    before = structlog.get_config()
    yield
    root.handlers, root.level = handlers, level
    structlog.configure(**before)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"use_uvloop": True}
