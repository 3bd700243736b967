"""An asynchronous client of the gateway's control plane.

    async with connect("ws://127.0.0.1:18789", token=TOKEN) as gateway:
        print(await gateway.call("health"))
        async for event in gateway.events("chat"):
            print(event)

Guarantees: importing this package imports no network library; connecting does.
Not here: commands (`portico.cli`), and everything the gateway itself needs.
"""

from __future__ import annotations

from portico.client.answer import Answer, Piece
from portico.client.client import GatewayClient
from portico.client.errors import (
    ClientError,
    ConnectionLost,
    ConnectRefused,
    Refused,
    RunFailed,
    TimedOut,
    Unreachable,
)
from portico.client.identity import DeviceIdentity, load_or_create_identity
from portico.client.model import (
    OPERATOR_SCOPES,
    ClientName,
    ClientSettings,
    Credentials,
    Event,
    Gap,
    Hello,
    Offer,
)
from portico.client.opening import connect
from portico.client.streams import EventStream
from portico.client.tokens import DeviceTokens
from portico.protocol.errors import Outcome

__all__ = [
    "OPERATOR_SCOPES",
    "Answer",
    "ClientError",
    "ClientName",
    "ClientSettings",
    "ConnectRefused",
    "ConnectionLost",
    "Credentials",
    "DeviceIdentity",
    "DeviceTokens",
    "Event",
    "EventStream",
    "Gap",
    "GatewayClient",
    "Hello",
    "Offer",
    "Outcome",
    "Piece",
    "Refused",
    "RunFailed",
    "TimedOut",
    "Unreachable",
    "connect",
    "load_or_create_identity",
]
