"""A real gateway in a process of its own: `portico run` on a free port with its own state.

Guarantees: every wait is bounded; a gateway that does not come up fails with its own words; after
`stop` nothing of it is left but its state directory.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, Self

import httpx2
import pyjson5
from websockets.sync.client import connect

from portico.process.lock import read_lock
from tests.published import check_answer
from tests.support.databases import sqlite_url
from tests.support.ports import unused_port

ROOT = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
# What must never stand in a log, whatever a client sends.
TRACEBACK = re.compile(r"Traceback \(most recent call last\)|task\.failed|\"exc(eption|_info)\"")


class GatewayProcess:
    """One gateway. The port is chosen at the first start and kept over restarts.

    Its database is migrated beforehand: gateways that start from nothing are in `test_cli`.

    Args:
        state_dir: where it keeps everything; the caller owns it.
        config: settings to write first; a token is generated where none is given.
        env: variables beside the necessary ones; nothing of the developer's own comes through.
        python: of an environment with a Portico of its own, in place of this tree's.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        config: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        python: Path | None = None,
    ) -> None:
        self._python = python
        self.state_dir = state_dir
        self.port = 0
        self.ready: dict[str, Any] = {}
        self._env = env or {}
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        sqlite_url(state_dir)
        if config is not None:
            (state_dir / "portico.json").write_text(json.dumps(config))
            (state_dir / "portico.json").chmod(0o600)

    @property
    def url(self) -> str:
        """The HTTP address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def token(self) -> str:
        """The token the first run wrote."""
        config = pyjson5.decode((self.state_dir / "portico.json").read_text())
        return str(config["gateway"]["auth"]["token"])

    @property
    def page_link(self) -> str:
        """The link that logs in, as the gateway prints it on a terminal."""
        return f"{self.url}/#token={self.token}"

    def start(self) -> Self:
        """Start, and return when it says it is ready."""
        assert self._process is None, "already running"
        self.port = self.port or unused_port()
        with (self.state_dir / "stderr.txt").open("a") as errors:
            self._process = subprocess.Popen(
                [
                    *(self._python or sys.executable, "-m", "portico", "run", "--json"),
                    *("--port", str(self.port), "--state-dir", str(self.state_dir)),
                ],
                cwd=self.state_dir,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self._lines = queue.Queue()
        self._reader = threading.Thread(
            target=_drain, args=(self._process.stdout, self._lines), daemon=True
        )
        self._reader.start()
        self.ready = self._wait_ready()
        self.port = int(self.ready["url"].rpartition(":")[2])
        return self

    def stop(self) -> int:
        """Ask it to stop; return its exit code. Safe when it does not run."""
        return self._end(signal.SIGTERM)

    def exit_code(self) -> int:
        """Wait until the process that was started ends by itself."""
        assert self._process is not None
        return self._process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """Kill -9."""
        self._end(signal.SIGKILL)

    def wait_for_the_line(self) -> None:
        """Wait until whoever a killed gateway had started to take over has ended by itself."""
        self._reader.join(READY_TIMEOUT_S)
        assert not self._reader.is_alive(), "somebody still holds its output"
        self._output.close()

    def hand_over(self) -> None:
        """Restart without a gap; return when the new process says that it is ready."""
        os.kill(self.ready["pid"], signal.SIGUSR2)
        self.ready = self._wait_ready()

    def restart(self) -> None:
        """Stop, and start again on the same port."""
        assert self.stop() == 0, self.said()
        self.start()

    def log(self) -> str:
        """The log file, and what came out on the terminal."""
        file = Path(self.ready.get("log", self.state_dir / "logs" / "gateway.jsonl"))
        return (file.read_text() if file.exists() else "") + self.said()

    def said(self) -> str:
        """What it wrote to its error output."""
        return (self.state_dir / "stderr.txt").read_text()

    def tracebacks(self) -> list[str]:
        """What in the log no gateway should write, each with what follows it."""
        text = self.log()
        return [text[found.start() : found.start() + 3000] for found in TRACEBACK.finditer(text)]

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        kept |= {"HOME": str(self.state_dir), "TZ": "UTC"}
        if self._python is None:
            kept["PYTHONPATH"] = str(ROOT / "src")
        return kept | self._env

    def _wait_ready(self) -> dict[str, Any]:
        while True:
            try:
                line = self._lines.get(timeout=READY_TIMEOUT_S)
            except queue.Empty:
                line = None
            if line is None:
                self.kill()
                raise AssertionError(f"the gateway did not become ready:\n{self.said()}")
            if line.startswith("{") and (answer := json.loads(line)).get("event") == "ready":
                return dict(answer)

    def _end(self, number: int) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        if number == signal.SIGKILL and self.ready.get("pid", process.pid) != process.pid:
            with suppress(ProcessLookupError):  # of a line of processes, the one that runs now
                os.kill(self.ready["pid"], number)
        try:
            code = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the gateway did not stop:\n{self.log()[-4000:]}") from None
        finally:
            if number == signal.SIGKILL:
                self._kill_line()
            self._reader.join(timeout=30)
            if process.stdout is not None and not self._reader.is_alive():
                process.stdout.close()
        return code

    def _kill_line(self) -> None:
        """Kill whoever holds the lock now, too: it keeps our pipe open."""
        state = read_lock(self.state_dir / "gateway.lock")
        if state is not None and state.is_held and state.info is not None:
            with suppress(ProcessLookupError):
                os.kill(state.info.pid, signal.SIGKILL)


def _drain(output: IO[str], lines: queue.Queue[str | None]) -> None:
    """Pass lines on until the other end closes: a full pipe would stop the gateway."""
    try:
        for line in output:
            lines.put(line)
    except ValueError:  # closed by us
        pass
    lines.put(None)


class Operator:
    """A plain operator over a WebSocket, for a test that needs to look or to arrange something."""

    def __init__(self, gateway: GatewayProcess, *, scopes: tuple[str, ...] = ()) -> None:
        self.events: list[dict[str, Any]] = []
        self._next_id = 0
        self._asked: dict[str, str] = {}
        self._open = ExitStack()
        self._socket = self._open.enter_context(
            connect(gateway.ws_url, max_size=None, open_timeout=30)
        )
        self._frame()  # the challenge
        self.hello = self.call("connect", **connect_params(gateway.token, scopes=scopes))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._open.close()

    def call(self, method: str, /, **params: Any) -> Any:
        """Call, and return the payload of the first answer.

        Raises:
            Refused: the gateway said no.
        """
        request_id = self.send(method, **params)
        return self.answer(request_id)

    def send(self, method: str, /, **params: Any) -> str:
        """Send a request and return its id."""
        self._next_id += 1
        request_id = str(self._next_id)
        request = {"type": "req", "id": request_id, "method": method, "params": params}
        self._asked[request_id] = method
        self._socket.send(json.dumps(request))
        return request_id

    def answer(self, request_id: str) -> Any:
        """Wait for an answer, as published; what comes before it is kept in `events`."""
        while True:
            frame = self._frame()
            if frame["type"] == "event":
                self.events.append(frame)
            elif frame["id"] == request_id:
                if not frame["ok"]:
                    raise Refused(frame["error"])
                check_answer(self._asked[request_id], frame.get("payload"))
                return frame.get("payload")

    def wait_event(self, name: str, **payload: Any) -> dict[str, Any]:
        """Wait for an event with this name whose payload has these fields; return its payload."""

        def fits(frame: dict[str, Any]) -> bool:
            body = frame.get("payload") or {}
            return frame.get("event") == name and payload.items() <= body.items()

        for frame in self.events:
            if fits(frame):
                return dict(frame["payload"])
        while True:
            frame = self._frame()
            if frame["type"] == "event":
                self.events.append(frame)
                if fits(frame):
                    return dict(frame["payload"])

    def _frame(self) -> dict[str, Any]:
        return dict(json.loads(self._socket.recv(timeout=60)))


class Refused(Exception):
    """An error answer."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.error = error


OPERATOR_SCOPES = (
    "operator.admin",
    "operator.read",
    "operator.write",
    "operator.approvals",
    "operator.pairing",
)


def connect_params(token: str, *, scopes: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the parameters of `connect` of a command line on this machine."""
    return {
        "minProtocol": 4,
        "maxProtocol": 4,
        "client": {"id": "cli", "version": "1.0.0", "platform": "test", "mode": "cli"},
        "role": "operator",
        "scopes": list(scopes or OPERATOR_SCOPES),
        "caps": ["tool-events"],
        "auth": {"token": token},
    }


def http(gateway: GatewayProcess) -> httpx2.Client:
    """Return an HTTP client with the gateway's token."""
    return httpx2.Client(
        base_url=gateway.url, headers={"Authorization": f"Bearer {gateway.token}"}, timeout=20
    )
