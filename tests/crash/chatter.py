"""A chat client that reconnects: says things one after the other and waits for each answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.e2e.gateway import GatewayProcess, connect_params

ANSWER_S = 30.0


class Chatter:
    """One person at one client.

    Attributes:
        answers: what came as final events, by run.
        codes: with what its connections were closed.
        refused: how many times it was not let in at once.
    """

    def __init__(self, gateway: GatewayProcess, name: str) -> None:
        self.answers: dict[str, list[str]] = {}
        self.codes: list[int] = []
        self.refused = 0
        self.said = 0
        self._gateway = gateway
        self.name = name
        self._socket: ClientConnection | None = None
        self._number = 0

    async def talk(self, stop: asyncio.Event) -> None:
        """Say one thing after the other until told to stop; each must be answered."""
        while not stop.is_set():
            key = f"{self.name}-{self.said}"
            self.said += 1
            async with asyncio.timeout(ANSWER_S):
                await self._say(key, f"/sim delay_ms={(self.said % 4) * 40} words=4\n{key}")
        if self._socket is not None:
            await self._socket.close()

    async def _say(self, key: str, text: str) -> None:
        params = {"sessionKey": self.name, "message": text, "idempotencyKey": key}
        tries = 0
        while True:
            tries += 1
            try:
                socket = await self._connected()
                await self._call(socket, "chat.send", params)
                if tries > 1 and await self._has_ended(socket, key):
                    return
                while key not in self.answers:
                    self._note(json.loads(await socket.recv()))
            except (WebSocketException, OSError):
                if self._socket is not None and self._socket.close_code is not None:
                    self.codes.append(self._socket.close_code)
                self._socket = None
            else:
                return

    async def _has_ended(self, socket: ClientConnection, key: str) -> bool:
        """Its end may have been told while we were away: then it is in the history."""
        waited = await self._call(socket, "agent.wait", {"runId": key, "timeoutMs": 20_000})
        if waited["status"] == "ok":
            self.answers.setdefault(key, [])
        return bool(waited["status"] == "ok")

    async def _connected(self) -> ClientConnection:
        while self._socket is None:
            socket = await connect(self._gateway.ws_url, max_size=None, open_timeout=30)
            try:
                await self._call(socket, "connect", connect_params(self._gateway.token))
                self._socket = socket
            except (WebSocketException, OSError, LookupError):
                self.refused += 1
                await socket.close()
        return self._socket

    async def _call(self, socket: ClientConnection, method: str, params: dict[str, Any]) -> Any:
        self._number += 1
        request = {"type": "req", "id": str(self._number), "method": method, "params": params}
        await socket.send(json.dumps(request))
        while True:
            frame = json.loads(await socket.recv())
            if frame.get("id") != str(self._number):
                self._note(frame)
            elif frame["ok"]:
                return frame.get("payload")
            else:
                raise LookupError(frame["error"])

    def _note(self, frame: dict[str, Any]) -> None:
        payload = frame.get("payload") or {}
        if frame.get("event") == "chat" and payload.get("state") == "final":
            text = payload["message"]["content"][0]["text"]
            self.answers.setdefault(payload["runId"], []).append(text)
