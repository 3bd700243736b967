"""A certificate of the gateway's own, for TLS without an authority that vouches for it.

Guarantees: ECDSA on P-256, a fresh key for each certificate; the key file is never readable by
others, not even while it is written; a pair that is half written is written again.

Source: RFC 5280 for the extensions; NIST SP 800-186 for the curve.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

# Clients pin the certificate itself: each renewal asks every one of them to pin it again.
VALID_DAYS: Final = 3_650
RENEW_DAYS: Final = 30
_SKEW: Final = timedelta(hours=1)
"""Clients whose clocks are behind believe it at once, too."""
_MAX_COMMON_NAME: Final = 64  # RFC 5280, ub-common-name


def write_self_signed(cert: Path, key: Path, *, names: Iterable[str], now_ms: int) -> None:
    """Write a new certificate and its key in place of what is there.

    Args:
        names: host names and IP addresses it is for; the first names its owner.

    Raises:
        OSError: a file cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    secret = ec.generate_private_key(ec.SECP256R1())
    certificate = _signed(secret, list(names), datetime.fromtimestamp(now_ms / 1000, UTC))
    cert.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = serialization.Encoding.PEM
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    _replace(key, secret.private_bytes(pem, pkcs8, plain), 0o600)
    _replace(cert, certificate.public_bytes(pem), 0o644)


def is_renewal_due(cert_pem: bytes, *, now_ms: int) -> bool:
    """Whether a certificate ends soon, or is none."""
    from cryptography import x509

    try:
        ends = x509.load_pem_x509_certificate(cert_pem).not_valid_after_utc
    except ValueError:
        return True
    return ends - timedelta(days=RENEW_DAYS) <= datetime.fromtimestamp(now_ms / 1000, UTC)


def ends_at(cert_pem: bytes) -> datetime:
    """Return when a certificate ends.

    Raises:
        ValueError: it is none.
    """
    from cryptography import x509

    return x509.load_pem_x509_certificate(cert_pem).not_valid_after_utc


def _signed(secret: EllipticCurvePrivateKey, names: list[str], now: datetime) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    owner = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:_MAX_COMMON_NAME])])
    public = secret.public_key()
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName([_named(name) for name in dict.fromkeys(names)]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_signing_only(), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(owner)
        .issuer_name(owner)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=VALID_DAYS))
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(secret, hashes.SHA256())


def _named(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _signing_only() -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _replace(path: Path, content: bytes, mode: int) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
