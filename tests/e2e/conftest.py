"""Gateways for the end-to-end tests. None may leave a traceback in its log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import GatewayProcess
from tests.e2e.pages import browser, open_page

__all__ = ["browser", "gateway", "open_page", "start_gateway"]

StartGateway = Callable[..., GatewayProcess]


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[StartGateway]:
    """Start gateways; they are stopped, and their logs read, when the test is over."""
    started: list[GatewayProcess] = []

    def start(config: dict[str, Any] | None = None, **env: str) -> GatewayProcess:
        gateway = GatewayProcess(tmp_path / f"gateway-{len(started)}", config=config, env=env)
        started.append(gateway.start())
        return gateway

    yield start
    codes = [gateway.stop() for gateway in started]
    assert [gateway.tracebacks() for gateway in started] == [[]] * len(started)
    assert codes == [0] * len(codes)


@pytest.fixture
def gateway(start_gateway: StartGateway) -> GatewayProcess:
    """A gateway with the configuration of a first run."""
    return start_gateway()
