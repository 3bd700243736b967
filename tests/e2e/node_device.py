"""A node over a plain WebSocket, for a test that plays one."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any, Self

from websockets.sync.client import connect

from tests.e2e.gateway import GatewayProcess, Refused
from tests.fakes.control_plane import Device
from tests.published import check_answer

Frame = dict[str, Any]


class NodeDevice:
    """One connection of a node.

    Args:
        device: its key; the same key is the same node.
        how: more for `connect`.
    """

    def __init__(
        self,
        gateway: GatewayProcess,
        *commands: str,
        device: Device | None = None,
        **how: Any,
    ) -> None:
        self.device = device or Device()
        self.events: list[Frame] = []
        self._next_id = 0
        self._open = ExitStack()
        self._socket = self._open.enter_context(connect(gateway.ws_url, open_timeout=30))
        nonce = self._frame()["payload"]["nonce"]
        client = {
            "id": "node-host",
            "mode": "node",
            "version": "1.0.0",
            "platform": "linux",
            "deviceFamily": "Linux",
            "displayName": "test node",
        }
        params = {
            "minProtocol": 4,
            "maxProtocol": 4,
            "client": client,
            "role": "node",
            "scopes": [],
            "caps": ["system"],
            "commands": list(commands),
            "auth": {"token": gateway.token},
            **how,
        }
        params["device"] = self.device.proof(params, nonce)
        self.hello = self.call("connect", **params)

    @property
    def node_id(self) -> str:
        return self.device.id

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._open.close()

    def call(self, method: str, **params: Any) -> Any:
        """Call, and return the answer's payload; events that come before it are kept."""
        self._next_id += 1
        frame = {"type": "req", "id": str(self._next_id), "method": method, "params": params}
        self._socket.send(json.dumps(frame))
        while True:
            answer = self._frame()
            if answer["type"] == "event":
                self.events.append(answer)
            elif answer["id"] == frame["id"]:
                if not answer["ok"]:
                    raise Refused(answer["error"])
                check_answer(method, answer.get("payload"))
                return answer.get("payload")

    def wait_event(self, name: str) -> Frame:
        """Take the next event with this name, and return it whole."""
        for number, frame in enumerate(self.events):
            if frame["event"] == name:
                return self.events.pop(number)
        while True:
            frame = self._frame()
            if frame.get("event") == name:
                return frame
            self.events.append(frame)

    def answer(self, request: Frame, **result: Any) -> Any:
        """Answer a command."""
        return self.call("node.invoke.result", id=request["id"], nodeId=self.node_id, **result)

    def _frame(self) -> Frame:
        return dict(json.loads(self._socket.recv(timeout=60)))
