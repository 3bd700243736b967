"""A gateway that others find and get to: addresses, mDNS, Tailscale, devices only."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import ROOT
from tests.fakes.tailscale import TailscaleProgram

TOKEN = "0123456789abcdef0123456789abcdef"
WAIT_S = 40


def portico(state_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "portico", *words, "--state-dir", str(state_dir)],
        env={"PATH": os.environ["PATH"], "HOME": str(state_dir), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )


def wait_until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_an_address_of_ones_own_is_listened_on_beside_the_loopback(
    start_gateway: StartGateway,
) -> None:
    gateway = start_gateway(
        {
            "gateway": {
                "bind": "custom",
                "customBindHost": "127.0.0.9",
                "auth": {"mode": "token", "token": TOKEN},
            }
        }
    )
    assert gateway.ready["addresses"] == [
        f"http://127.0.0.1:{gateway.port}",
        f"http://127.0.0.9:{gateway.port}",
    ]
    for address in gateway.ready["addresses"]:
        assert httpx2.get(f"{address}/healthz", timeout=30).status_code == 200
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.8", gateway.port), timeout=30).close()
    status = portico(gateway.state_dir, "status")
    assert f"http://127.0.0.9:{gateway.port}" in status.stdout, status.stderr
    lock = json.loads((gateway.state_dir / "gateway.lock").read_text())
    assert lock["addresses"] == gateway.ready["addresses"]


@pytest.mark.parametrize(
    ("gateway", "said"),
    [
        ({"bind": "lan", "auth": {"mode": "none"}}, "authentication is off, but bind lan"),
        (
            {"tailscale": {"mode": "funnel"}, "auth": {"mode": "token", "token": TOKEN}},
            "set gateway.auth.mode to password",
        ),
    ],
)
def test_what_would_let_everybody_in_lets_nobody_in(
    start_gateway: StartGateway, gateway: dict[str, Any], said: str
) -> None:
    started = start_gateway({"gateway": gateway})  # to be mended, on this machine only
    assert started.ready["recovery"] is True
    assert started.ready["addresses"] == [f"http://127.0.0.1:{started.port}"]
    assert said in started.said()
    assert said in portico(started.state_dir, "doctor").stdout


def test_an_address_of_another_machine_is_refused_by_name(tmp_path: Path) -> None:
    gateway = {"bind": "custom", "customBindHost": "192.0.2.77", "auth": {"token": TOKEN}}
    (tmp_path / "portico.json").write_text(json.dumps({"gateway": gateway}))
    done = portico(tmp_path, "run", "--port", "0")
    assert done.returncode != 0
    assert "does not have the address 192.0.2.77" in done.stderr


def test_a_gateway_is_discovered(start_gateway: StartGateway) -> None:
    name = f"Portico e2e {os.getpid()}"
    gateway = start_gateway(
        {
            "gateway": {"auth": {"mode": "token", "token": TOKEN}, "tls": {"enabled": True}},
            "discovery": {"mdns": {"mode": "full", "name": name, "interfaces": ["127.0.0.1"]}},
        }
    )

    def found() -> Any:
        asked = ("gateway", "discover", "--timeout", "2", "--interface", "127.0.0.4", "--json")
        done = portico(gateway.state_dir, *asked)
        listed = json.loads(done.stdout)["gateways"]
        return [one for one in listed if one["name"] == name]

    (one,) = wait_until(found)
    assert one["url"] == f"wss://127.0.0.1:{gateway.port}"
    assert one["tlsSha256"] == gateway.ready["tlsSha256"]
    assert one["sshPort"] == 22
    probe = [*one["connect"].split()[1:], "--token", TOKEN]
    assert portico(gateway.state_dir, *probe).returncode == 0
    assert gateway.stop() == 0
    assert found() == []


def test_a_route_of_tailscale_leads_to_a_door_of_its_own(
    tmp_path: Path, start_gateway: StartGateway
) -> None:
    tailscale = TailscaleProgram(tmp_path / "tailscale", backend="Starting")
    gateway = start_gateway(
        {
            "gateway": {
                "auth": {"mode": "token", "token": TOKEN},
                "tailscale": {
                    "mode": "serve",
                    "program": str(tailscale.path),
                    "socket": str(tmp_path / "none"),
                    "retryMs": 100,
                },
            }
        }
    )

    def way() -> dict[str, Any]:
        probe = portico(gateway.state_dir, "health", "--probe", "--json")
        return dict(json.loads(probe.stdout)["reach"]["tailscale"])

    assert "Starting" in wait_until(lambda: way().get("problem"))  # the gateway runs all the same
    tailscale.change(backend="Running")
    assert wait_until(lambda: way().get("url")) == "https://gate.tail1234.ts.net"
    target = tailscale.routes["443"]["target"]
    port = int(target.rpartition(":")[2])
    assert target == f"http://127.0.0.1:{port}"
    assert port != gateway.port
    served = {"X-Forwarded-For": "100.101.102.103", "Host": "gate.tail1234.ts.net"}
    assert httpx2.get(f"{target}/healthz", headers=served, timeout=30).status_code == 200
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    named = httpx2.get(f"{target}/v1/gateway/status?request_id=x", headers=served, timeout=30)
    assert named.status_code == 401  # a name alone is nothing over HTTP
    with_token = httpx2.get(
        f"{target}/v1/gateway/status?request_id=x", headers=served | bearer, timeout=10
    )
    assert with_token.status_code == 404
    with connect(f"ws://127.0.0.1:{port}/", open_timeout=30) as client:
        assert "connect.challenge" in str(client.recv(timeout=30))
    with pytest.raises(InvalidStatus):  # on the port of everybody the same headers are refused
        connect(gateway.ws_url, additional_headers=served, open_timeout=30)
    assert gateway.stop() == 0
    assert tailscale.routes == {}


def test_only_devices_come_in_and_the_first_one_by_a_command(start_gateway: StartGateway) -> None:
    gateway = start_gateway({"gateway": {"auth": {"mode": "device"}}})
    secret = gateway.state_dir / "gateway" / "local-secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    here = portico(gateway.state_dir, "devices", "list")
    assert here.returncode == 0, here.stderr
    elsewhere = gateway.state_dir / "another-account"
    elsewhere.mkdir()
    stranger = portico(elsewhere, "devices", "list", "--url", gateway.ws_url)
    assert stranger.returncode == 4, stranger.stderr
    assert secret.read_text().strip() not in gateway.log()


NAMESPACE = """
set -e
ip link set lo up
ip link add portico0 type veth peer name portico1
ip link set portico1 up
ip addr add 10.77.0.1/24 dev portico0
ip addr add 100.101.102.103/32 dev portico0
ip link set portico0 up
exec "$@"
"""


def has_namespaces() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    tried = ["unshare", "-rn", "sh", "-c", NAMESPACE, "sh", "true"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


PROBE = """
import json, sys
sys.path[:0] = [{root!r}, {source!r}]
from pathlib import Path
import httpx2
from tests.e2e.gateway import GatewayProcess
config = json.loads(sys.argv[2])
gateway = GatewayProcess(Path(sys.argv[1]), config=config).start()
answers = {{}}
try:
    for host in ("127.0.0.1", "10.77.0.1", "100.101.102.103"):
        try:
            answers[host] = httpx2.get(f"http://{{host}}:{{gateway.port}}/healthz").status_code
        except httpx2.ConnectError:
            answers[host] = None
finally:
    gateway.stop()
print(json.dumps({{"answers": answers, "addresses": gateway.ready["addresses"]}}))
"""


@pytest.mark.parametrize(
    ("bind", "reached"),
    [
        ("loopback", ["127.0.0.1"]),
        ("lan", ["127.0.0.1", "10.77.0.1", "100.101.102.103"]),
        ("tailnet", ["127.0.0.1", "100.101.102.103"]),
    ],
)
def test_a_machine_with_networks_is_reached_on_those_that_were_named(
    tmp_path: Path, bind: str, reached: list[str]
) -> None:
    if not has_namespaces():
        pytest.skip("no network namespaces here")
    config = {"gateway": {"bind": bind, "auth": {"mode": "token", "token": TOKEN}}}
    program = PROBE.format(root=str(ROOT), source=str(ROOT / "src"))
    words = [sys.executable, "-c", program, str(tmp_path / "state"), json.dumps(config)]
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-c", NAMESPACE, "sh", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [host for host, status in found["answers"].items() if status == 200] == reached
    assert [url.split("/")[2].rpartition(":")[0] for url in found["addresses"]] == reached
