"""`portico gateway discover`: which gateways tell of themselves here."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from portico.cli.command import HERE, Local, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.output import print_json, print_table
from portico.discovery.mdns import MdnsUnavailable, Where, discover
from portico.discovery.records import Found


@command("discover")
async def discover_(
    *,
    timeout: Annotated[float, Parameter(help="Seconds to listen.")] = 3.0,  # noqa: ASYNC109  # how long is what is asked for
    interface: tuple[str, ...] = (),
    here: Local = HERE,
) -> int:
    """List the gateways that tell of themselves on the local network.

    What they tell is a hint: anybody on the network can tell anything. Compare the fingerprint with
    what the gateway's own machine shows (portico gateway status) before you pin it.

    Exit code 3: none answers.

    Args:
        interface: Address of this machine on whose network to ask; may be repeated. [default: all]

    Examples:
        portico gateway discover
        portico gateway discover --timeout 10 --json
    """
    try:
        found = await discover(timeout, Where(interface))
    except MdnsUnavailable as error:
        raise Failure(
            "The local network cannot be asked.", code="discover.unavailable", next_step=str(error)
        ) from None
    if here.json:
        print_json({"gateways": [_shown(one) for one in found]})
    else:
        _print(found)
    return ExitCode.OK if found else ExitCode.UNREACHABLE


def _shown(one: Found) -> dict[str, Any]:
    shown = {
        "name": one.name,
        "url": one.url,
        "host": one.host,
        "addresses": list(one.addresses),
        "port": one.port,
        "tls": one.has_tls,
        "tlsSha256": one.tls_sha256,
        "tailnetDns": one.tailnet_dns,
        "sshPort": one.ssh_port,
        "connect": _connect(one),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _connect(one: Found) -> str:
    """The command that talks to it; what only its owner knows is left out."""
    pin = f" --tls-fingerprint {one.tls_sha256}" if one.tls_sha256 else ""
    return f"portico gateway probe --url {one.url}{pin}"


def _print(found: list[Found]) -> None:
    if not found:
        print("No gateway tells of itself here.")
        return
    print_table(
        ("Name", "URL", "TLS sha256"),
        [(one.name, one.url, one.tls_sha256 or ("" if one.has_tls else "no TLS")) for one in found],
    )
    print("\nConnect, with the token of the gateway in PORTICO_GATEWAY_TOKEN:")
    for one in found:
        print(f"  {_connect(one)}")
    print(
        "\nThese are hints that nobody has signed. Compare a fingerprint on the gateway's machine:"
    )
    print("  portico gateway status")
