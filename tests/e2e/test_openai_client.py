"""The official OpenAI client for JavaScript, unchanged, against a real gateway."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from typing import Any

import pytest

from tests.e2e.gateway import GatewayProcess, Operator
from tests.e2e.node_client import FOLDER, find_node
from tests.fakes.provider import FakeProvider, vector_of

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(
        not (FOLDER / "node_modules" / "openai").exists()
        and "PORTICO_REQUIRE_CLIENTS" not in os.environ,
        reason="the JavaScript clients are not installed: `make e2e` or `make test` does it",
    ),
]
DOORS = {"endpoints": {"chatCompletions": {"enabled": True}, "responses": {"enabled": True}}}
TOKEN = "0123456789abcdef0123456789abcdef"
CONFIG = {"gateway": {"auth": {"mode": "token", "token": TOKEN}, "http": DOORS}}
WAIT_S = 40


def what_the_client_saw(gateway: GatewayProcess, script: str = "openai.mjs") -> dict[str, Any]:
    done = subprocess.run(
        [find_node(), script, f"{gateway.url}/v1", gateway.token],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_the_official_client_is_content(start_gateway: Any) -> None:
    gateway = start_gateway(CONFIG)
    seen = what_the_client_saw(gateway)
    assert seen["models"] == ["portico", "portico/default", "portico/main"]
    assert seen["chat"] == {"text": "Echo: hello", "finish": "stop", "usage": 3}
    assert seen["stream"] == seen["chat"]
    assert seen["tools"] == "Echo: sunny in Rome"
    assert seen["responses"] == {"texts": ["Echo: one", "Echo: two"], "follows": True}
    assert seen["events"] == {"last": "response.completed", "text": "Echo: three"}
    assert seen["errors"] == {
        "model": ["NotFoundError", 404, "model_not_found"],
        "request": ["BadRequestError", 400, None],
        "agent": ["RateLimitError", 429, "rate_limit_exceeded"],
        "embeddings": ["BadRequestError", 400, "embeddings_not_available"],
        "key": ["AuthenticationError", 401, "invalid_api_key"],
        "stream": ["APIError", None, "internal_error"],
    }
    the_run_of_the_caller_that_left_is_cancelled(gateway)


def the_run_of_the_caller_that_left_is_cancelled(gateway: GatewayProcess) -> None:
    with Operator(gateway) as operator:
        deadline = time.monotonic() + WAIT_S
        while True:
            shown = operator.call("sessions.list")["sessions"]
            (left,) = [s for s in shown if s["key"] == "agent:main:openai-user:leaver"]
            if left.get("status") not in {None, "running"}:
                break
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
    assert left["status"] == "killed"


@pytest.mark.anyio
async def test_the_official_client_makes_embeddings(start_gateway: Any) -> None:
    async with FakeProvider() as provider:
        lab = {"baseUrl": provider.url, "apiKey": "k", "models": [{"id": "m"}]}
        defaults = {"model": "lab/m", "embeddingModel": "lab/vectors"}
        models = {"providers": {"lab": lab}}
        gateway = start_gateway({**CONFIG, "models": models, "agents": {"defaults": defaults}})
        seen = await asyncio.to_thread(what_the_client_saw, gateway, "embeddings.mjs")
    assert seen == {
        "vectors": [vector_of("one two"), vector_of("three")],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
        "short": vector_of("x", 2),
    }
