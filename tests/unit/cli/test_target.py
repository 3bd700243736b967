from __future__ import annotations

import json
from pathlib import Path

import pytest

from portico.cli.command import Remote
from portico.cli.exit import ExitCode, Failure
from portico.cli.target import client_settings, resolve_target, running_url, websocket_url
from portico.client import Credentials
from portico.config import resolve_paths
from portico.net.self_signed import write_self_signed
from portico.process.lock import LockInfo, acquire


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / ".portico").mkdir()
    return {"HOME": str(tmp_path)}


def write(env: dict[str, str], text: str) -> None:
    Path(env["HOME"], ".portico", "portico.json").write_text(text)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("ws://host:1", "ws://host:1"),
        ("http://host:1/path", "ws://host:1/path"),
        ("https://host", "wss://host"),
        ("host:18789", "ws://host:18789"),
        ("http://127.0.0.1:18789/#token=abc", "ws://127.0.0.1:18789/"),
    ],
)
def test_address_in_any_form_becomes_a_websocket_url(given: str, meant: str) -> None:
    assert websocket_url(given) == meant


@pytest.mark.parametrize("given", ["ftp://host", "ws://", ""])
def test_other_addresses_are_usage_errors(given: str) -> None:
    with pytest.raises(Failure) as caught:
        websocket_url(given)
    assert caught.value.exit_code == ExitCode.USAGE


def test_without_options_the_configured_gateway_is_meant(env: dict[str, str]) -> None:
    write(env, '{ gateway: { port: 4242, auth: { token: "secret-of-this-machine" } } }')
    target = resolve_target(Remote(), env)
    assert target.url == "ws://127.0.0.1:4242"
    assert target.credentials == Credentials(token="secret-of-this-machine")


def test_running_gateway_beats_the_configured_port(env: dict[str, str]) -> None:
    write(env, "{ gateway: { port: 4242 } }")
    paths = resolve_paths(env=env)
    info = LockInfo(pid=1, port=5151, started_at=0, url="http://127.0.0.1:5151")
    lock = acquire(paths.lock_file, info)
    assert resolve_target(Remote(), env).url == "ws://127.0.0.1:5151"
    lock.release()
    assert running_url(paths) is None


def test_secret_of_this_machine_is_not_sent_elsewhere(env: dict[str, str]) -> None:
    write(env, '{ gateway: { auth: { token: "secret-of-this-machine" } } }')
    elsewhere = resolve_target(Remote(url="wss://elsewhere.example"), env)
    assert not elsewhere.credentials
    here = resolve_target(Remote(url="ws://127.0.0.1:99"), env)
    assert here.credentials.token == "secret-of-this-machine"


def test_options_beat_the_environment_beats_the_file(env: dict[str, str]) -> None:
    write(env, '{ gateway: { auth: { token: "from-the-file" } } }')
    env |= {"PORTICO_GATEWAY_TOKEN": "from-env", "PORTICO_GATEWAY_URL": "ws://a.example"}
    assert resolve_target(Remote(), env).url == "ws://a.example"
    assert resolve_target(Remote(), env).credentials.token == "from-env"
    chosen = resolve_target(Remote(url="ws://b.example", token="given"), env)
    assert (chosen.url, chosen.credentials.token) == ("ws://b.example", "given")


def test_password_mode_sends_the_password(env: dict[str, str]) -> None:
    write(env, '{ gateway: { auth: { mode: "password", password: "open-sesame" } } }')
    assert resolve_target(Remote(), env).credentials == Credentials(password="open-sesame")


def test_config_of_a_client_names_its_remote_gateway(env: dict[str, str]) -> None:
    write(
        env,
        '{ gateway: { mode: "remote", remote: { url: "https://g.example", token: "theirs" } } }',
    )
    target = resolve_target(Remote(), env)
    assert target.url == "wss://g.example"
    assert target.credentials.token == "theirs"


def test_remote_connection_is_signed_and_a_local_one_is_not(env: dict[str, str]) -> None:
    remote = resolve_target(Remote(url="wss://g.example", token="t"), env)
    local = resolve_target(Remote(url="ws://localhost:1", token="t"), env)
    key = Path(env["HOME"], ".portico", "identity", "device.json")
    assert client_settings(local, timeout_s=1).device is None
    assert not key.exists()
    assert client_settings(remote, timeout_s=1).device is not None
    assert key.stat().st_mode & 0o777 == 0o600


PIN = "ab" * 32
NOW_MS = 1_800_000_000_000


def test_a_fingerprint_is_compared_wherever_it_comes_from(env: dict[str, str]) -> None:
    remote = {"url": "https://g.example", "tlsFingerprint": PIN}
    write(env, json.dumps({"gateway": {"mode": "remote", "remote": remote}}))
    by_option = resolve_target(Remote(url="wss://h.example", tls_fingerprint=PIN), env)
    by_file = resolve_target(Remote(), env)
    by_env = resolve_target(
        Remote(url="wss://h.example"), env | {"PORTICO_GATEWAY_TLS_FINGERPRINT": PIN}
    )
    for target in (by_option, by_file, by_env):
        assert target.tls is not None
        assert target.tls.sslobject_class.__name__ == "PinnedObject"
    assert resolve_target(Remote(url="wss://h.example"), env).tls is None


@pytest.mark.parametrize(("url", "pin"), [("ws://h.example", PIN), ("wss://h.example", "abc")])
def test_a_fingerprint_that_cannot_be_compared_is_a_usage_error(
    url: str, pin: str, env: dict[str, str]
) -> None:
    with pytest.raises(Failure) as caught:
        resolve_target(Remote(url=url, tls_fingerprint=pin), env)
    assert caught.value.exit_code == ExitCode.USAGE


def test_the_authorities_of_a_remote_gateway_are_the_named_ones(env: dict[str, str]) -> None:
    file = Path(env["HOME"], "ca.pem")
    write_self_signed(file, file.with_name("key.pem"), names=["g.example"], now_ms=NOW_MS)
    remote = {"url": "https://g.example", "tlsCaPath": str(file)}
    write(env, json.dumps({"gateway": {"mode": "remote", "remote": remote}}))
    target = resolve_target(Remote(), env)
    assert target.tls is not None
    assert target.tls.check_hostname is True
    assert target.tls.cert_store_stats()["x509"] == 1, "this one, and no others"
    file.write_text("no certificate")
    with pytest.raises(Failure, match="tlsCaPath"):
        resolve_target(Remote(), env)
