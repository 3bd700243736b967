"""`connect`: from an address and a secret to a client.

Not here: which gateway the command line means (`portico.cli.target`).
"""

from __future__ import annotations

import platform
import ssl
from pathlib import Path
from typing import Any

from portico import __version__
from portico.client.client import GatewayClient
from portico.client.identity import DeviceIdentity, load_or_create_identity
from portico.client.model import (
    OPERATOR_SCOPES,
    ClientName,
    ClientSettings,
    Credentials,
    Offer,
)
from portico.client.tokens import DeviceTokens
from portico.protocol.scopes import Role

IDENTITY_FILE = Path("identity") / "device.json"
TOKENS_FILE = Path("identity") / "device-tokens.json"


def connect(
    url: str,
    *,
    token: str | None = None,
    password: str | None = None,
    role: str = Role.OPERATOR,
    scopes: tuple[str, ...] | None = None,
    offer: Offer | None = None,
    state_dir: Path | None = None,
    display_name: str | None = None,
    reconnect: bool = True,
    tls: ssl.SSLContext | None = None,
    **more: Any,
) -> GatewayClient:
    """Return a client of a gateway; `async with` connects it.

    Args:
        url: `ws://` or `wss://`.
        token, password: the gateway's shared secret. On the gateway's own machine it is enough.
        role: `operator`, or `node` (which needs a `state_dir`).
        scopes: what an operator asks for; else all that the command line asks for.
        offer: what a node can do.
        state_dir: where the key of this device and the tokens it is given are kept, with mode
            0600. Needed from another machine: a gateway gives strangers without a device nothing.
        reconnect: come back after a lost connection.
        more: further fields of `ClientSettings`.

    Raises:
        ValueError: the key file is broken, or a node has no `state_dir`.
        OSError: the key file can be neither read nor written.
    """
    is_node = role == Role.NODE
    if is_node and state_dir is None:
        raise ValueError("a node needs a state_dir for the key of its device")
    name = ClientName(
        id="node-host" if is_node else "gateway-client",
        mode="node" if is_node else "backend",
        version=__version__,
        platform=platform.system().lower(),
        display_name=display_name,
    )
    asked = () if is_node else OPERATOR_SCOPES
    device, tokens = (None, None) if state_dir is None else _of(state_dir)
    settings = ClientSettings(
        url=url,
        credentials=Credentials(token=token, password=password),
        name=name,
        role=role,
        scopes=asked if scopes is None else scopes,
        offer=offer or Offer(),
        device=device,
        tokens=tokens,
        reconnect=reconnect,
        tls=tls,
        **more,
    )
    return GatewayClient(settings)


def _of(state_dir: Path) -> tuple[DeviceIdentity, DeviceTokens]:
    device = load_or_create_identity(state_dir / IDENTITY_FILE)
    return device, DeviceTokens(state_dir / TOKENS_FILE)
