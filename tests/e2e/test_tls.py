"""https and wss with a certificate of one's own, and what is said when there is none."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from websockets.sync.client import connect

from tests.e2e.conftest import StartGateway
from tests.support.certificates import write_pair

TOKEN = "0123456789abcdef0123456789abcdef"
WAIT_S = 40


def portico(state_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "portico", *words],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(state_dir),
            "PORTICO_STATE_DIR": str(state_dir),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )


def test_everything_answers_over_tls(tmp_path: Path, start_gateway: StartGateway) -> None:
    cert, key = write_pair(tmp_path / "tls")
    tls = {"enabled": True, "certPath": str(cert), "keyPath": str(key)}
    gateway = start_gateway(
        {"gateway": {"auth": {"mode": "token", "token": TOKEN}, "tls": tls}},
    )
    url, ws_url = gateway.ready["url"], gateway.ready["wsUrl"]
    assert url.startswith("https://")
    trust = ssl.create_default_context(cafile=cert)
    assert httpx2.get(f"{url}/healthz", verify=trust, timeout=30).status_code == 200
    with connect(ws_url, ssl=trust, open_timeout=30) as socket:
        challenge = json.loads(socket.recv(timeout=30))
    assert challenge["event"] == "connect.challenge"
    with pytest.raises(httpx2.HTTPError):
        httpx2.get(url.replace("https", "http") + "/healthz", timeout=30)
    assert portico(gateway.state_dir, "health").returncode == 0
    named = portico(gateway.state_dir, "health", "--url", ws_url, "--token", TOKEN)
    assert named.returncode == 0, named.stderr


def test_tls_without_a_certificate_says_what_to_do(tmp_path: Path) -> None:
    auth = {"mode": "token", "token": TOKEN}
    config = {"gateway": {"auth": auth, "tls": {"enabled": True, "autoGenerate": False}}}
    (tmp_path / "portico.json").write_text(json.dumps(config))
    done = portico(tmp_path, "config", "validate")
    assert done.returncode == 6
    assert "gateway.tls: TLS is on without a certificate. Next: set gateway.tls.certPath" in (
        done.stdout
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shown_fingerprint(port: int) -> str:
    """SHA-256 of the certificate that a new connection is shown."""
    shown = ssl.get_server_certificate(("127.0.0.1", port), timeout=10)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).hexdigest()


def test_a_generated_certificate_is_pinned(tmp_path: Path, start_gateway: StartGateway) -> None:
    gateway = start_gateway(
        {"gateway": {"auth": {"mode": "token", "token": TOKEN}, "tls": {"enabled": True}}}
    )
    pin = gateway.ready["tlsSha256"]
    assert shown_fingerprint(gateway.port) == pin
    files = sorted((gateway.state_dir / "gateway" / "tls").iterdir())
    assert [file.name for file in files] == ["gateway-cert.pem", "gateway-key.pem"]
    assert files[1].stat().st_mode & 0o777 == 0o600
    status = portico(gateway.state_dir, "gateway", "status", "--json")
    assert json.loads(status.stdout)["tlsSha256"] == pin, status.stderr

    elsewhere = tmp_path / "another-machine"
    elsewhere.mkdir()
    there = ("--url", gateway.ready["wsUrl"], "--token", TOKEN)
    pinned = portico(elsewhere, "health", *there, "--tls-fingerprint", f"sha256:{pin}")
    assert pinned.returncode == 0, pinned.stderr
    wrong = portico(elsewhere, "health", *there, "--tls-fingerprint", "ab" * 32)
    assert wrong.returncode == 3
    assert "the certificate is not the pinned one: AB:AB:" in wrong.stderr
    nothing_known = portico(elsewhere, "health", *there)
    assert nothing_known.returncode == 3
    assert "certificate verify failed" in nothing_known.stderr
    gateway.restart()
    assert gateway.ready["tlsSha256"] == pin  # pins last


def test_a_new_certificate_is_shown_without_a_restart(
    tmp_path: Path, start_gateway: StartGateway
) -> None:
    cert, key = write_pair(tmp_path / "tls")
    tls = {"enabled": True, "certPath": str(cert), "keyPath": str(key), "watchMs": 100}
    gateway = start_gateway({"gateway": {"auth": {"mode": "token", "token": TOKEN}, "tls": tls}})
    first = gateway.ready["tlsSha256"]
    trust = ssl.create_default_context(cafile=cert)
    with connect(gateway.ready["wsUrl"], ssl=trust, open_timeout=30) as socket:
        socket.recv(timeout=30)
        key.write_text("half a file")  # as while it is being copied: what is there stays
        wait_until(lambda: "tls.not_a_pair" in gateway.log())
        assert shown_fingerprint(gateway.port) == first
        write_pair(tmp_path / "tls")
        wait_until(lambda: shown_fingerprint(gateway.port) != first)
        socket.send(json.dumps({"type": "req", "id": "1", "method": "nothing"}))
        assert json.loads(socket.recv(timeout=30))["id"] == "1"  # the connection goes on
    new = hashlib.sha256(ssl.PEM_cert_to_DER_cert(cert.read_text())).hexdigest()
    assert shown_fingerprint(gateway.port) == new
