"""What a gateway tells of itself on the local network, and reading what others tell.

Guarantees: nothing secret; what is read is cut to what a record may hold, and is a hint: nobody has
signed it.

Source: OpenClaw gateway protocol, "Bind, TLS, discovery"; RFC 6763, sections 4.1.1 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SERVICE: Final = "_openclaw-gw._tcp.local."
MAX_LABEL_BYTES: Final = 63
MAX_VALUE_BYTES: Final = 200
_FINGERPRINT_CHARS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Beacon:
    """One gateway's record.

    Attributes:
        lan_host: its name on the local network, without `.local`.
        tls_sha256: of its certificate, in hex.
        tailnet_dns: its name in the tailnet.
        ssh_port, cli_path: only when everything is told.
    """

    name: str
    lan_host: str
    port: int
    has_tls: bool = False
    tls_sha256: str | None = None
    tailnet_dns: str | None = None
    ssh_port: int | None = None
    cli_path: str | None = None

    def instance(self) -> str:
        """The name of the service, fit for one label."""
        plain = self.name.replace(".", " ").strip() or self.lan_host
        cut = plain.encode()[:MAX_LABEL_BYTES].decode(errors="ignore")
        return f"{cut}.{SERVICE}"

    def txt(self) -> dict[str, str]:
        """The TXT record."""
        values = {
            "role": "gateway",
            "transport": "gateway",
            "displayName": self.name,
            "lanHost": f"{self.lan_host}.local",
            "gatewayPort": str(self.port),
            "gatewayTls": "1" if self.has_tls else None,
            "gatewayTlsSha256": self.tls_sha256 if self.has_tls else None,
            "tailnetDns": self.tailnet_dns,
            "sshPort": None if self.ssh_port is None else str(self.ssh_port),
            "cliPath": self.cli_path,
        }
        return {name: _cut(value) for name, value in values.items() if value}


@dataclass(frozen=True, slots=True)
class Found:
    """A gateway that somebody says is there.

    Attributes:
        url: where the service itself answers; never taken from the TXT record.
    """

    name: str
    host: str
    addresses: tuple[str, ...]
    port: int
    has_tls: bool
    tls_sha256: str | None
    tailnet_dns: str | None
    ssh_port: int | None

    @property
    def url(self) -> str:
        """Its WebSocket address."""
        address = self.addresses[0] if self.addresses else self.host
        shown = f"[{address}]" if ":" in address else address
        return f"ws{'s' if self.has_tls else ''}://{shown}:{self.port}"


def found(
    *,
    instance: str,
    host: str,
    addresses: tuple[str, ...],
    port: int,
    txt: Mapping[bytes, bytes | None],
) -> Found | None:
    """Read a record; `None`: it is not one of a gateway."""
    told = {_text(name): _text(value or b"") for name, value in txt.items()}
    if told.get("role", "gateway") != "gateway" or not 0 < port < 65_536:
        return None
    sha256 = told.get("gatewayTlsSha256", "").lower()
    is_hex = len(sha256) == _FINGERPRINT_CHARS and not set(sha256) - set("0123456789abcdef")
    ssh_port = told.get("sshPort", "")
    return Found(
        name=told.get("displayName") or instance.removesuffix(f".{SERVICE}"),
        host=host.rstrip("."),
        addresses=addresses,
        port=port,
        has_tls=told.get("gatewayTls") == "1",
        tls_sha256=sha256 if is_hex else None,
        tailnet_dns=told.get("tailnetDns") or None,
        ssh_port=int(ssh_port) if ssh_port.isdecimal() and len(ssh_port) <= 5 else None,
    )


def _text(value: bytes) -> str:
    text = value[:MAX_VALUE_BYTES].decode(errors="replace")
    return "".join(char for char in text if char.isprintable())


def _cut(value: str) -> str:
    return value.encode()[:MAX_VALUE_BYTES].decode(errors="ignore")
