from __future__ import annotations

from portico.discovery.records import SERVICE, Beacon, found

SHA = "ab" * 32


def test_the_record_holds_what_the_protocol_names() -> None:
    plain = Beacon(name="Attic", lan_host="attic", port=18789)
    assert plain.txt() == {
        "role": "gateway",
        "transport": "gateway",
        "displayName": "Attic",
        "lanHost": "attic.local",
        "gatewayPort": "18789",
    }
    full = Beacon(
        name="Attic",
        lan_host="attic",
        port=1,
        has_tls=True,
        tls_sha256=SHA,
        tailnet_dns="attic.tail1.ts.net",
        ssh_port=22,
        cli_path="/usr/bin/portico",
    ).txt()
    assert (full["gatewayTls"], full["gatewayTlsSha256"]) == ("1", SHA)
    assert (full["sshPort"], full["cliPath"]) == ("22", "/usr/bin/portico")


def test_a_name_is_cut_to_one_label() -> None:
    long = Beacon(name="ä" * 60 + ".local", lan_host="attic", port=1)
    label = long.instance().removesuffix(f".{SERVICE}")
    assert len(label.encode()) <= 63
    assert "." not in label
    assert Beacon(name=" ", lan_host="attic", port=1).instance() == f"attic.{SERVICE}"


def read(port: int = 18789, **txt: str) -> object:
    return found(
        instance=f"Attic.{SERVICE}",
        host="attic.local.",
        addresses=("192.168.1.7",),
        port=port,
        txt={name.encode(): value.encode() for name, value in txt.items()},
    )


def test_what_is_read_is_never_more_than_a_hint() -> None:
    one = found(
        instance=f"Attic.{SERVICE}",
        host="attic.local.",
        addresses=("fe80::1", "192.168.1.7"),
        port=18789,
        txt={
            b"displayName": b"\x1b[31mEvil\n" + b"x" * 500,
            b"gatewayTls": b"1",
            b"gatewayTlsSha256": b"not-a-fingerprint",
            b"gatewayPort": b"1",
            b"lanHost": b"elsewhere.example",
            b"sshPort": b"99999999",
            b"odd": None,
        },
    )
    assert one is not None
    assert one.url == "wss://[fe80::1]:18789"  # where it answers, whatever it says
    assert one.tls_sha256 is None
    assert one.ssh_port is None
    assert one.name.isprintable()
    assert len(one.name) <= 200


def test_other_services_are_left_out() -> None:
    assert read(role="node") is None
    assert read(port=0) is None
    assert read(role="gateway") is not None
