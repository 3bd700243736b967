"""A small asynchronous client of the gateway's control plane.

Guarantees: importing this package imports no network library; `GatewayClient.connect` does.
Not here: commands (`portico.cli`), and everything the gateway itself needs.
"""

from __future__ import annotations

from portico.client.client import GatewayClient
from portico.client.errors import (
    ClientError,
    ConnectionLost,
    ConnectRefused,
    Refused,
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
)

__all__ = [
    "OPERATOR_SCOPES",
    "ClientError",
    "ClientName",
    "ClientSettings",
    "ConnectRefused",
    "ConnectionLost",
    "Credentials",
    "DeviceIdentity",
    "Event",
    "Gap",
    "GatewayClient",
    "Hello",
    "Refused",
    "TimedOut",
    "Unreachable",
    "load_or_create_identity",
]
