"""What the property tests share."""

from __future__ import annotations

import pytest
import structlog


@pytest.fixture(autouse=True)
def quiet(logging_as_before: None) -> None:
    """No log: rendering thousands of planted failures takes longer than finding one."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
