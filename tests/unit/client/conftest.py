from __future__ import annotations

import pytest

from tests.support import ports


@pytest.fixture
def unused_port() -> int:
    return ports.unused_port()
