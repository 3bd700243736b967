"""Where a setup code leads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec

from portico.config import load
from portico.config.live import LiveConfig
from portico.config.paths import resolve_paths
from portico.process.lock import LockInfo
from portico.wiring.devices import GatewayWhereabouts


def whereabouts(
    folder: Path, *addresses: str, published: str | None = None, **gateway: Any
) -> GatewayWhereabouts:
    """A gateway that listens on these addresses."""
    file = folder / "portico.json"
    file.write_text(json.dumps({"gateway": {"auth": {"token": "t" * 32}, **gateway}}))
    file.chmod(0o600)
    paths = resolve_paths(env={}, config=str(file), state_dir=str(folder))
    live = LiveConfig(load(paths, env={}), env={})
    info = LockInfo(os.getpid(), 18789, 1, addresses[0], "1", addresses)
    paths.lock_file.write_bytes(msgspec.json.encode(info))
    return GatewayWhereabouts(live, paths.lock_file, lambda: published)


def test_only_here(tmp_path: Path) -> None:
    found = whereabouts(tmp_path, "http://127.0.0.1:18789").reach(prefer_remote=False)
    assert found.url is None
    assert "gateway.bind" in found.problem


def test_on_the_local_network(tmp_path: Path) -> None:
    listed = ("http://127.0.0.1:1", "http://[fd00::5]:1", "http://8.8.8.8:1", "http://10.0.0.5:1")
    found = whereabouts(tmp_path, *listed, bind="lan").reach(prefer_remote=False)
    assert found.url == "ws://10.0.0.5:1"
    assert found.urls == ("ws://10.0.0.5:1", "ws://[fd00::5]:1")
    assert found.source == "gateway.bind=lan"


def test_where_somebody_else_serves_it(tmp_path: Path) -> None:
    where = whereabouts(
        tmp_path, "http://10.0.0.5:1", published="https://box.tail.ts.net", bind="lan"
    )
    assert where.reach(prefer_remote=False).url == "wss://box.tail.ts.net"


def test_by_the_origin_it_is_known_by(tmp_path: Path) -> None:
    where = whereabouts(
        tmp_path,
        "http://10.0.0.5:1",
        published="https://box.tail.ts.net",
        bind="lan",
        publicOrigin="https://gw.example.com",
    )
    found = where.reach(prefer_remote=False)
    assert (found.url, found.source) == ("wss://gw.example.com", "gateway.publicOrigin")
    assert found.tls_fingerprint is None


def test_by_its_remote_address(tmp_path: Path) -> None:
    remote = {"url": "wss://gw.example", "tlsFingerprint": "AB:" * 31 + "AB"}
    where = whereabouts(tmp_path, "http://10.0.0.5:1", bind="lan", remote=remote)
    assert where.reach(prefer_remote=False).url == "ws://10.0.0.5:1"
    found = where.reach(prefer_remote=True)
    assert (found.url, found.source) == ("wss://gw.example", "gateway.remote.url")
    assert found.tls_fingerprint == "ab" * 32
    assert where.fingerprint_at("wss://gw.example") is None
