"""Devices that come to a gateway's door, from elsewhere unless they say otherwise.

The gateway has to be started with `BEHIND_A_PROXY`.
"""

from __future__ import annotations

import json
from typing import Any

from websockets.sync.client import connect

from tests.e2e.gateway import GatewayProcess
from tests.fakes.control_plane import Device

# A proxy of this machine that is believed, and what it says of somebody.
BEHIND_A_PROXY = {"gateway": {"trustedProxies": ["127.0.0.1"]}}
ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}
NODE = {"id": "node-host", "version": "1", "platform": "linux", "mode": "node"}


def comes(
    gateway: GatewayProcess,
    device: Device,
    *,
    name: str | None = None,
    auth: dict[str, str] | None = None,
    is_local: bool = False,
    broken: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Connect once as a device; return the whole answer to `connect`.

    Args:
        broken: members of its proof, put in after it was signed.
    """
    with connect(
        gateway.ws_url, additional_headers={} if is_local else ELSEWHERE, open_timeout=30
    ) as socket:
        nonce = json.loads(socket.recv(timeout=30))["payload"]["nonce"]
        params = device.params(nonce, auth=auth or {"token": gateway.token}, **changes)
        if name is not None:
            params["client"] = {**params["client"], "displayName": name}
            params["device"] = device.proof(params, nonce)
        params["device"] |= broken or {}
        socket.send(json.dumps({"type": "req", "id": "c", "method": "connect", "params": params}))
        while True:
            answer: dict[str, Any] = json.loads(socket.recv(timeout=30))
            if answer["type"] == "res":
                return answer
