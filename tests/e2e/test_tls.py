"""https and wss with a certificate of one's own, and what is said when there is none."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
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
    assert httpx2.get(f"{url}/healthz", verify=trust, timeout=10).status_code == 200
    with connect(ws_url, ssl=trust, open_timeout=10) as socket:
        challenge = json.loads(socket.recv(timeout=10))
    assert challenge["event"] == "connect.challenge"
    with pytest.raises(httpx2.HTTPError):
        httpx2.get(url.replace("https", "http") + "/healthz", timeout=10)
    assert portico(gateway.state_dir, "health").returncode == 0
    named = portico(gateway.state_dir, "health", "--url", ws_url, "--token", TOKEN)
    assert named.returncode == 0, named.stderr


def test_tls_without_a_certificate_says_what_to_do(tmp_path: Path) -> None:
    auth = {"mode": "token", "token": TOKEN}
    config = {"gateway": {"auth": auth, "tls": {"enabled": True, "autoGenerate": True}}}
    (tmp_path / "portico.json").write_text(json.dumps(config))
    done = portico(tmp_path, "run", "--port", "0")
    assert done.returncode == 6
    assert "gateway.tls: TLS is on without a certificate. Next: set gateway.tls.certPath" in (
        done.stderr
    )
    assert "not used by this version: gateway.tls.autoGenerate" in done.stderr
