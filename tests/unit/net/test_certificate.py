from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from portico.config import default_config, resolve_paths
from portico.config.paths import ConfigPaths
from portico.net.certificate import (
    CertificateFiles,
    ServerCertificate,
    certificate_files,
    ensure_certificate,
    fingerprint,
    is_pair,
    served_fingerprint,
)
from portico.net.self_signed import VALID_DAYS, ends_at
from tests.fakes.clock import FakeClock
from tests.support.certificates import write_pair

DAY_MS = 86_400_000


@pytest.fixture
def paths(tmp_path: Path) -> ConfigPaths:
    return resolve_paths(env={}, state_dir=tmp_path)


def config(**tls: Any) -> Any:
    return default_config(gateway={"tls": {"enabled": True, **tls}})


def generated(paths: ConfigPaths, now_ms: int = 1_800_000_000_000) -> CertificateFiles:
    ensure_certificate(config(), paths, now_ms=now_ms)
    files = certificate_files(config(), paths)
    assert files is not None
    return files


def test_a_generated_certificate_is_for_every_name_of_this_machine(paths: ConfigPaths) -> None:
    files = generated(paths)
    one = x509.load_pem_x509_certificate(files.cert.read_bytes())
    key = one.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    names = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert ip_address("127.0.0.1") in names.get_values_for_type(x509.IPAddress)
    assert files.key.stat().st_mode & 0o777 == 0o600
    assert is_pair(files)


def test_the_fingerprint_is_of_the_first_certificate_of_a_chain(tmp_path: Path) -> None:
    first, _ = write_pair(tmp_path / "one")
    second, _ = write_pair(tmp_path / "two")
    der = ssl.PEM_cert_to_DER_cert(first.read_text())
    chain = b"# a comment\n" + first.read_bytes() + second.read_bytes()
    assert fingerprint(chain) == hashlib.sha256(der).hexdigest()
    with pytest.raises(ValueError, match="no certificate"):
        fingerprint(b"nothing")


def test_without_tls_there_is_no_fingerprint(paths: ConfigPaths) -> None:
    assert served_fingerprint(default_config(), paths) is None
    assert served_fingerprint(config(), paths) is None  # none was made yet
    generated(paths)
    assert served_fingerprint(config(), paths)


def test_it_is_kept_until_thirty_days_before_its_end(paths: ConfigPaths) -> None:
    now_ms = 1_800_000_000_000
    files = generated(paths, now_ms)
    first = files.cert.read_bytes()
    made = datetime.fromtimestamp(now_ms / 1000, UTC)
    assert ends_at(first) == made + timedelta(days=VALID_DAYS)
    ensure_certificate(config(), paths, now_ms=now_ms + (VALID_DAYS - 31) * DAY_MS)
    assert files.cert.read_bytes() == first
    ensure_certificate(config(), paths, now_ms=now_ms + (VALID_DAYS - 29) * DAY_MS)
    assert files.cert.read_bytes() != first
    assert is_pair(files)


@pytest.mark.parametrize("lacks", ["cert", "key"])
def test_half_a_pair_is_made_again(paths: ConfigPaths, lacks: str) -> None:
    files = generated(paths)
    getattr(files, lacks).unlink()
    generated(paths)
    assert is_pair(files)
    getattr(files, lacks).write_text("broken")
    generated(paths)
    assert is_pair(files)


def test_files_of_ones_own_are_never_written(tmp_path: Path, paths: ConfigPaths) -> None:
    given = config(certPath=str(tmp_path / "c.pem"), keyPath=str(tmp_path / "k.pem"))
    ensure_certificate(given, paths, now_ms=0)
    assert not (tmp_path / "c.pem").exists()


def test_another_pair_is_taken_over_and_told(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path)
    files = CertificateFiles(cert, key)
    one = ServerCertificate(files, clock=FakeClock(), ensure=lambda: None, watch_s=1)
    context = one.open()
    assert one.open() is context
    before, told = one.fingerprint, []
    one.listen(lambda: told.append(one.fingerprint))
    one.look(files)
    assert told == []
    key.write_text("")
    one.look(files)
    assert (told, one.fingerprint) == ([], before)
    write_pair(tmp_path)
    one.look(files)
    assert told == [one.fingerprint] == [fingerprint(cert.read_bytes())]
    assert one.fingerprint != before
