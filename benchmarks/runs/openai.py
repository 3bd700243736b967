"""`/v1/chat/completions` with a language model behind it, beside the provider asked directly.

The provider is a process of its own, so what is counted is what the gateway adds. LiteLLM's proxy
is measured in the same run when PORTICO_BENCH_LITELLM names a Python that has `litellm[proxy]`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.load import Cost
from benchmarks.process import Server, environment, running
from benchmarks.servers import TOKEN, Bench, load, median

CONNECTIONS = 8
SHORT, LONG = 8, 136  # words of an answer
PATH = "/v1/chat/completions"
LITELLM = "PORTICO_BENCH_LITELLM"
LITELLM_READY_S = 120.0


def measure(bench: Bench) -> list[Figure]:
    """Ask whole answers, short and long streams, of each server in turn."""
    arguments = ["-m", "benchmarks.provider"]
    with contextlib.ExitStack() as stack:
        log = bench.folder / "provider.log"
        provider = stack.enter_context(running(arguments, log=log, env=environment()))
        write_config(bench.state_dir("openai"), provider.port)
        servers = {"direct": provider, "portico": stack.enter_context(bench.gateway("openai"))}
        if python := os.environ.get(LITELLM):
            servers["litellm"] = stack.enter_context(litellm(python, bench.folder, provider.port))
        else:
            print(f"openai: LiteLLM is not measured; {LITELLM} names no Python", file=sys.stderr)
        return figures(costs(bench, servers))


def costs(bench: Bench, servers: dict[str, Server]) -> dict[str, dict[str, Cost]]:
    """Load the servers in turn, kind by kind; the median of the rounds counts.

    A first round is not counted: servers go on importing and caching for hundreds of requests.
    """
    few, many = (60, 30) if bench.quick else (300, 100)
    kinds: dict[str, dict[str, Any]] = {
        "whole": {"operations": few, "model": SHORT},
        "short": {"operations": few, "model": SHORT, "stream": True},
        "long": {"operations": many, "model": LONG, "stream": True},
    }
    found: dict[str, dict[str, list[Cost]]] = {name: {} for name in servers}
    for number in range(bench.rounds + 1):
        for kind, how in kinds.items():
            for name, server in servers.items():
                job = {"scenario": "complete", "path": PATH, "connections": CONNECTIONS, **how}
                job["model"] = model_name(name, int(how["model"]))
                cost = load(server, job, token=TOKEN)
                if number:
                    found[name].setdefault(kind, []).append(cost)
    return {name: {kind: median(some) for kind, some in by.items()} for name, by in found.items()}


def model_name(server: str, words: int) -> str:
    """Return what a server calls the model that says so many words."""
    return f"portico/say-{words}" if server == "portico" else f"say-{words}"


def figures(found: dict[str, dict[str, Cost]]) -> list[Figure]:
    """Return the CPU of a whole answer, of a streamed one, and of each chunk more."""
    ours, direct = found["portico"], found["direct"]
    theirs = found.get("litellm")
    return [
        Figure(
            name="chat completion, whole",
            unit="ms",
            value=ours["whole"].cpu_us / 1e3,
            also=_beside(theirs and theirs["whole"].cpu_us / 1e3, "ms")
            + _latency(ours["whole"], direct["whole"]),
        ),
        Figure(
            name=f"chat completion, stream of {SHORT} chunks",
            unit="ms",
            value=ours["short"].cpu_us / 1e3,
            also=_beside(theirs and theirs["short"].cpu_us / 1e3, "ms")
            + _latency(ours["short"], direct["short"]),
        ),
        Figure(
            name="chat completion, each chunk more",
            unit="µs",
            value=_per_chunk(ours),
            also=_beside(theirs and _per_chunk(theirs), "µs")
            + _latency(ours["long"], direct["long"]),
        ),
    ]


def _per_chunk(cost: dict[str, Cost]) -> float:
    return (cost["long"].cpu_us - cost["short"].cpu_us) / (LONG - SHORT)


def _beside(theirs: float | None, unit: str) -> str:
    return "" if theirs is None else f"LiteLLM {theirs:,.1f} {unit}; "


def _latency(ours: Cost, direct: Cost) -> str:
    return f"p50 {ours.p50_ms:.1f} ms, asked directly {direct.p50_ms:.1f} ms"


def write_config(state: Path, port: int) -> None:
    """Let a gateway ask the provider: one agent for each length, without tools, as a proxy is."""
    lab = {"baseUrl": f"http://127.0.0.1:{port}/v1", "models": [{"id": "say-1"}]}
    config = json.loads((state / "portico.json").read_text())
    config["gateway"]["http"] = {"endpoints": {"chatCompletions": {"enabled": True}}}
    config["models"] = {"providers": {"lab": lab}}
    config["tools"] = {"deny": ["*"]}
    config["agents"]["list"] = [
        {"id": f"say-{words}", "model": f"lab/say-{words}"} for words in (SHORT, LONG)
    ]
    (state / "portico.json").write_text(json.dumps(config))


# -- LiteLLM ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def litellm(python: str, folder: Path, provider: int) -> Iterator[Server]:
    """Run LiteLLM's proxy, one worker, as its own command starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "litellm.json"
    config.write_text(json.dumps(_litellm_config(provider)))
    code = "from litellm.proxy.proxy_cli import run_server; run_server()"
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "litellm.log").open("w") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            [python, "-c", code, *options, "--num_workers", "1"],
            stdout=log,
            stderr=log,
            text=True,
            cwd=folder,
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
        )
        try:
            _wait_ready(process, f"http://127.0.0.1:{port}/health/liveliness")
            said = {"url": f"http://127.0.0.1:{port}"}
            yield Server(process, time.perf_counter() - started, said)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _litellm_config(provider: int) -> dict[str, Any]:
    return {
        "model_list": [
            {
                "model_name": f"say-{words}",
                "litellm_params": {
                    "model": f"openai/say-{words}",
                    "api_base": f"http://127.0.0.1:{provider}/v1",
                    "api_key": "none",
                },
            }
            for words in (SHORT, LONG)
        ],
        "general_settings": {"master_key": TOKEN},
        "litellm_settings": {"telemetry": False},
    }


def _wait_ready(process: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + LITELLM_READY_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.2)
    raise RuntimeError("LiteLLM's proxy did not become ready")
