"""The certificate the gateway's port shows: which files, its fingerprint, and its renewal.

Theory of operation: one TLS context serves every connection. The files are looked at now and then;
when they have changed and are a pair, the context takes them over, and connections from then on are
shown the new certificate. A generated one is made again before it ends.

Guarantees: what is not a certificate and its key is never taken over, the old one stays; a private
key is never logged; open connections are not touched.

Source: OpenClaw gateway protocol, "Bind, TLS, discovery"; OpenSSL, SSL_CTX_use_certificate.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from portico.net.interfaces import own_addresses
from portico.net.self_signed import is_renewal_due, write_self_signed

if TYPE_CHECKING:
    from portico.clock import Clock
    from portico.config.model import PorticoConfig
    from portico.config.paths import ConfigPaths

log = structlog.get_logger()

_CERT_NAME: Final = "gateway-cert.pem"
_KEY_NAME: Final = "gateway-key.pem"
_END: Final = b"-----END CERTIFICATE-----"
_RENEWAL_LOOKS_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the certificate and its key are.

    Attributes:
        is_generated: they are the gateway's own, and it may write them.
    """

    cert: Path
    key: Path
    is_generated: bool = False


def certificate_files(config: PorticoConfig, paths: ConfigPaths) -> CertificateFiles | None:
    """Return the files in use; `None`: the port has no TLS."""
    tls = config.gateway.tls
    if not tls.enabled:
        return None
    if tls.cert_path and tls.key_path:
        return CertificateFiles(Path(tls.cert_path), Path(tls.key_path))
    return CertificateFiles(
        paths.tls_dir / _CERT_NAME, paths.tls_dir / _KEY_NAME, is_generated=tls.auto_generate
    )


def served_fingerprint(config: PorticoConfig, paths: ConfigPaths) -> str | None:
    """Return the SHA-256 of the certificate the port shows, in lowercase hex.

    `None`: no TLS, or no certificate yet.
    """
    files = certificate_files(config, paths)
    try:
        return fingerprint(files.cert.read_bytes()) if files else None
    except (OSError, ValueError):
        return None


def fingerprint(pem: bytes) -> str:
    """Return the SHA-256 of the first certificate of a PEM file, in lowercase hex.

    Raises:
        ValueError: there is none.
    """
    first, end, _ = pem.partition(_END)
    start = first.find(b"-----BEGIN CERTIFICATE-----")
    if start < 0 or not end:
        raise ValueError("no certificate")
    der = ssl.PEM_cert_to_DER_cert((first[start:] + end).decode("ascii"))
    return hashlib.sha256(der).hexdigest()


def ensure_certificate(config: PorticoConfig, paths: ConfigPaths, *, now_ms: int) -> None:
    """Make the certificate that is to be generated, when it is not there or ends soon.

    Raises:
        OSError: it cannot be written.
    """
    files = certificate_files(config, paths)
    if files is None or not files.is_generated:
        return
    if files.key.is_file() and files.cert.is_file() and is_pair(files):
        if not is_renewal_due(files.cert.read_bytes(), now_ms=now_ms):
            return
        log.warning("tls.renewed", note="pinned clients need the new fingerprint")
    write_self_signed(files.cert, files.key, names=own_names(config), now_ms=now_ms)


def own_names(config: PorticoConfig) -> list[str]:
    """Return every name and address this machine may be called by."""
    host = socket.gethostname()
    names = [host, "localhost", "127.0.0.1", "::1", *own_addresses()]
    if "." not in host:
        names.append(f"{host}.local")
    if config.gateway.custom_bind_host:
        names.append(config.gateway.custom_bind_host)
    return [name for name in dict.fromkeys(names) if name and name.isascii()]


def is_pair(files: CertificateFiles) -> bool:
    """Whether the files are a certificate and its key."""
    try:
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return False
    return True


def _load(context: ssl.SSLContext, files: CertificateFiles) -> None:
    # An empty passphrase: OpenSSL would ask for one on the terminal.
    context.load_cert_chain(files.cert, files.key, password="")


class ServerCertificate:
    """The TLS side of the port. One without files does nothing.

    Args:
        ensure: makes a generated certificate anew when it is time.
        watch_s: how often the files are looked at.
    """

    def __init__(
        self,
        files: CertificateFiles | None,
        *,
        clock: Clock,
        ensure: Callable[[], None],
        watch_s: float,
    ) -> None:
        self._files = files
        self._clock = clock
        self._ensure = ensure
        self._watch_s = watch_s
        self._context: ssl.SSLContext | None = None
        self._seen: tuple[object, ...] = ()
        self._listeners: list[Callable[[], None]] = []
        self.fingerprint: str | None = None

    @property
    def is_on(self) -> bool:
        """Whether the port has TLS."""
        return self._files is not None

    def listen(self, heard: Callable[[], None]) -> None:
        """Tell somebody whenever another certificate is shown. It must not raise."""
        self._listeners.append(heard)

    def open(self) -> ssl.SSLContext:
        """Return the context of the port.

        Raises:
            OSError: the files cannot be read, or are no pair (`ssl.SSLError`).
        """
        if self._context is None and self._files is not None:
            self._ensure()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._seen = _state(self._files)
            _load(context, self._files)
            self.fingerprint = fingerprint(self._files.cert.read_bytes())
            self._context = context
        if self._context is None:
            raise ssl.SSLError("TLS is off")
        return self._context

    async def watch(self) -> None:
        """Follow the files until cancelled."""
        files = self._files
        if files is None:
            return
        next_ms = 0
        while True:
            if files.is_generated and self._clock.now_ms() >= next_ms:
                next_ms = self._clock.now_ms() + _RENEWAL_LOOKS_MS
                await asyncio.to_thread(self._renew)
            self.look(files)
            await asyncio.sleep(self._watch_s)

    def _renew(self) -> None:
        try:
            self._ensure()
        except OSError as error:
            log.error("tls.renewal_failed", error=str(error))

    def look(self, files: CertificateFiles) -> None:
        """Take over files that have changed, when they fit together."""
        state = _state(files)
        if state == self._seen or self._context is None:
            return
        self._seen = state
        if not is_pair(files):
            log.warning("tls.not_a_pair", note="the certificate in use stays", cert=str(files.cert))
            return
        try:
            _load(self._context, files)
            self.fingerprint = fingerprint(files.cert.read_bytes())
        except (OSError, ValueError) as error:  # changed once more in between
            self._seen = ()
            log.warning("tls.not_loaded", error=str(error))
            return
        log.info("tls.certificate", sha256=self.fingerprint)
        for heard in self._listeners:
            heard()


def _state(files: CertificateFiles) -> tuple[object, ...]:
    """What changes when a file is written or replaced."""
    found: list[object] = []
    for file in (files.cert, files.key):
        try:
            stat = file.stat()
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)
