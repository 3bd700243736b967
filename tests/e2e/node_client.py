"""The published JavaScript client in a process of its own, as a Python object.

Not here: the client (npm), and what it is made to do (`js/driver.mjs`).
"""

from __future__ import annotations

import itertools
import json
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

FOLDER = Path(__file__).parent / "js"
INSTALLED = FOLDER / "node_modules" / "@openclaw" / "gateway-client"
WAIT_S = 40.0
Report = dict[str, Any]


def find_node() -> str:
    """Return the node of the development environment, else the one on the path."""
    ours = Path(sys.executable).with_name("node")
    found = str(ours) if ours.exists() else shutil.which("node")
    assert found is not None, "no node: `make setup` installs one"
    return found


class NodeClient:
    """One `GatewayClient`. `reports` holds all it said, in order."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self._incoming: queue.Queue[Report | None] = queue.Queue()
        self._ids = itertools.count(1)
        self._process = subprocess.Popen(
            [find_node(), "driver.mjs"],
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=_read, args=(self._process.stdout, self._incoming))
        self._reader.start()

    def start(self, url: str, token: str | None, **options: Any) -> None:
        """Let the client connect; it says `hello` when it has."""
        self._tell("start", url=url, token=token, minProtocol=4, maxProtocol=4, **options)

    def request(self, method: str, params: Any = None, *, expect_final: bool = False) -> Report:
        """Call a method and return the client's report of the answer."""
        number = next(self._ids)
        self._tell(
            "request", id=number, method=method, params=params or {}, expectFinal=expect_final
        )
        return self.wait("answer", lambda report: report["id"] == number)

    def call(self, method: str, params: Any = None) -> Any:
        """Call a method that must succeed and return its payload."""
        answer = self.request(method, params)
        assert answer["ok"], answer
        return answer["payload"]

    def wait(
        self, kind: str, fits: Callable[[Report], bool] = lambda _: True, *, since: int = 0
    ) -> Report:
        """Return the first report of a kind that fits, from number `since` on; wait for it."""
        for report in self.reports[since:]:
            if report["on"] == kind and fits(report):
                return report
        while True:
            report = self._next()
            if report["on"] == kind and fits(report):
                return report

    def events(self, name: str, *, since: int = 0) -> list[Report]:
        """Return the events of a name that came so far."""
        came = self.reports[since:]
        return [report for report in came if report["on"] == "event" and report["event"] == name]

    def close(self) -> None:
        """Stop the client and its process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(WAIT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _tell(self, op: str, **args: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"op": op, **args}) + "\n")
        self._process.stdin.flush()

    def _next(self) -> Report:
        try:
            report = self._incoming.get(timeout=WAIT_S)
        except queue.Empty:
            report = None
        assert report is not None, f"nothing came; before: {self.reports[-5:]}"
        self.reports.append(report)
        return report


def _read(output: IO[str], reports: queue.Queue[Report | None]) -> None:
    for line in output:
        reports.put(json.loads(line))
    reports.put(None)
