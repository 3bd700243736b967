"""Believing exactly one certificate: the one whose SHA-256 fingerprint is known.

For a gateway with a certificate that nobody has signed. What is compared is the certificate itself:
names, dates and signers do not matter, and a certificate of a trusted authority does not help.

Guarantees: with a pinned context nothing is sent to the other end before its certificate has been
compared; another one ends the connection with `WrongCertificate`.

Source: OpenClaw gateway protocol, "Bind, TLS, discovery"; RFC 8446, section 4.4.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
from typing import Final

_DIGITS: Final = 64


class WrongCertificate(ssl.SSLCertVerificationError):
    """The other end showed another certificate than the pinned one."""

    def __init__(self, pinned: str, shown: str | None) -> None:
        found = f"shows {readable(shown)}" if shown else "shows none"
        self.text = f"the certificate is not the pinned one: {readable(pinned)} is, it {found}"
        super().__init__(1, self.text)

    def __str__(self) -> str:  # type: ignore[explicit-override]  # typing has it since 3.12
        return self.text


def normal_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint as 64 lowercase hexadecimal digits.

    Args:
        text: with or without `sha256:` (or `SHA256 Fingerprint=`, as openssl writes), colons and
            spaces.

    Raises:
        ValueError: it is none.
    """
    given = text.strip().lower()
    given = given.rpartition("=")[2].removeprefix("sha256").lstrip(":/ ")
    digits = given.replace(":", "").replace(" ", "")
    if len(digits) != _DIGITS or set(digits) - set("0123456789abcdef"):
        raise ValueError("a SHA-256 fingerprint has 64 hexadecimal digits")
    return digits


def readable(fingerprint: str) -> str:
    """Return a fingerprint as people compare it: pairs of digits with colons."""
    return ":".join(fingerprint[at : at + 2] for at in range(0, len(fingerprint), 2)).upper()


def pinned(fingerprint: str) -> ssl.SSLContext:
    """Return a TLS context for clients that believes this certificate and no other.

    Raises:
        ValueError: it is no fingerprint.
    """
    wanted = normal_fingerprint(fingerprint)

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:  # type: ignore[explicit-override]  # as above
            super().do_handshake()
            _compare(self.getpeercert(binary_form=True), wanted)

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:  # type: ignore[explicit-override]  # noqa: FBT001, FBT002  # as in ssl
            super().do_handshake(block)
            _compare(self.getpeercert(binary_form=True), wanted)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the comparison takes the place of a chain of signatures
    context.sslobject_class = PinnedObject
    context.sslsocket_class = PinnedSocket
    return context


def _compare(shown: bytes | None, wanted: str) -> None:
    found = hashlib.sha256(shown).hexdigest() if shown else None
    if found is None or not hmac.compare_digest(found, wanted):
        raise WrongCertificate(wanted, found)
