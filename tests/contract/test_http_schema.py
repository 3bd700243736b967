"""The HTTP side is what its OpenAPI document says, whatever is sent (schemathesis)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.http import TOKEN, house, listening
from tests.support.http import settings as gateway_settings

EVERY_DOOR = gateway_settings(
    {"http": {"endpoints": {"chatCompletions": {"enabled": True}, "responses": {"enabled": True}}}}
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway in a thread of its own, because schemathesis calls and waits."""
    folder: Path = tmp_path_factory.mktemp("schema")
    started: list[str] = []
    ready, stop = threading.Event(), threading.Event()

    async def run() -> None:
        async with house(folder, EVERY_DOOR) as inside, listening(inside.gateway) as url:
            started.append(url)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(30)
    yield started[0]
    stop.set()
    thread.join(30)


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_every_operation_answers_as_documented(address: str) -> None:
    api = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [found.ok() for found in api.get_all_operations() if isinstance(found, Ok)]
    documented = {
        f"{method.upper()} {path}"
        for path, way in api.raw_schema["paths"].items()
        for method in way
    }
    assert {o.label for o in operations} >= documented - {"GET /openapi.json"}
    for operation in operations:
        check_operation(operation)


def check_operation(operation: Any) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    def check(case: schemathesis.Case) -> None:
        headers = {"authorization": f"Bearer {TOKEN}"}
        answer = case.call(headers=headers)
        case.validate_response(answer, checks=CHECKS, headers=headers)

    check()


def test_the_document_names_everything_there_is(address: str) -> None:
    api = schemathesis.openapi.from_url(f"{address}/openapi.json")
    raw = api.raw_schema
    assert raw["openapi"] == "3.1.0"
    assert set(raw["paths"]) >= {
        "/v1/gateway/messages",
        "/v1/gateway/messages:stream",
        "/v1/gateway/status",
        "/v1/gateway/cancel",
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/embeddings",
        "/health",
        "/ready",
        "/metrics",
        "/openapi.json",
    }
    send = raw["paths"]["/v1/gateway/messages"]["post"]
    assert send["security"] == [{"bearer": []}]
    assert {"200", "400", "401", "403", "409", "413", "429", "500", "503"} <= set(send["responses"])
    fields = raw["components"]["schemas"]["MessageRequest"]["properties"]
    assert {"from", "request_id", "content_parts", "request_late_context_prompt"} <= set(fields)
