"""The settings of a mailbox."""

from __future__ import annotations

import ipaddress
from typing import Literal, Self

from pydantic import field_validator, model_validator
from typing_extensions import override

from portico.channels.email.addresses import normalised
from portico.config.sections.base import setting
from portico.config.sections.channels import AccountConfig

Encryption = Literal["implicit", "starttls", "none"]
_HOST = r"^[A-Za-z0-9._:-]{1,253}$"
_LINE = r"^[^\x00-\x1f\x7f]+$"
_IMAP_PORTS: dict[Encryption, int] = {"implicit": 993, "starttls": 143, "none": 143}
_SMTP_PORTS: dict[Encryption, int] = {"implicit": 465, "starttls": 587, "none": 25}


class EmailAccount(AccountConfig):
    """One mailbox."""

    address: str = setting(doc="The account's address: mail from it is sent as this.", reload="hot")
    aliases: tuple[str, ...] = setting(
        (), "Other addresses that are this mailbox, too.", reload="hot"
    )
    username: str | None = setting(
        None, "What to log in as; unset: the address.", reload="hot", pattern=_LINE
    )
    password: str | None = setting(
        None, "The password, or an app password.", reload="hot", secret=True, min_length=1
    )
    access_token: str | None = setting(
        None,
        "An OAuth 2 access token in place of a password (XOAUTH2).",
        reload="hot",
        secret=True,
        pattern=r"^[\x21-\x7e]+$",
    )
    imap_host: str = setting(doc="The IMAP server.", reload="hot", pattern=_HOST)
    imap_port: int | None = setting(None, "Its port; unset: 993, or 143.", reload="hot")
    imap_tls: Encryption = setting(
        "implicit", "implicit: TLS from the start; starttls; none.", reload="hot"
    )
    smtp_host: str = setting(doc="The SMTP server.", reload="hot", pattern=_HOST)
    smtp_port: int | None = setting(None, "Its port; unset: 465, 587 or 25.", reload="hot")
    smtp_tls: Encryption = setting(
        "implicit", "implicit: TLS from the start; starttls; none.", reload="hot"
    )
    smtp_auth: bool = setting(True, "false: the SMTP server wants no login.", reload="hot")
    allow_plaintext: bool = setting(
        False, "Allow tls none to servers on other machines.", reload="hot"
    )
    tls_ca_file: str | None = setting(
        None, "Certificates to trust besides the system's, in PEM.", reload="hot"
    )
    folder: str = setting("INBOX", "The folder to read.", reload="hot", pattern=_LINE)
    first_start: Literal["new", "unseen"] = setting(
        "new",
        "new: what is there at the first start stays as it is; unseen: what is unread is answered.",
        reload="hot",
    )
    mark_seen: bool = setting(True, "Mark mail as read once it is on disk.", reload="hot")
    move_to: str | None = setting(
        None, "A folder to move mail to once it is on disk.", reload="hot", pattern=_LINE
    )
    idle: bool = setting(True, "Use IDLE where the server has it.", reload="hot")
    idle_seconds: int = setting(
        240,
        "How long one IDLE lasts before the server is heard again.",
        reload="hot",
        ge=1,
        le=540,
    )
    poll_seconds: int = setting(
        60, "How often to look where there is no IDLE.", reload="hot", ge=1, le=540
    )
    timeout_seconds: int = setting(
        20, "How long a server may take to answer a command.", reload="hot", ge=1, le=60
    )
    sessions: Literal["thread", "sender"] = setting(
        "thread", "One conversation per thread, or per sender.", reload="hot"
    )
    authserv_id: str | None = setting(
        None,
        "The name your mail server signs its Authentication-Results with: then it proves senders.",
        reload="hot",
        pattern=r"^[^\s;]+$",
    )
    unproven: Literal["untrusted", "refuse", "trust"] = setting(
        "untrusted",
        "Mail whose sender nobody proves. untrusted: answered, with harmless tools only; refuse: "
        "recorded; trust: believed (closed networks). What fails a proof is always refused.",
        reload="hot",
    )
    answer_cc: bool = setting(
        False, "Also answer mail the account only has a copy of.", reload="hot"
    )
    answers_per_hour: int = setting(
        30, "Answers to one sender in an hour, against loops; 0: no limit.", reload="hot", ge=0
    )
    cut_quotes: bool = setting(
        True, "Leave out quoted history and signatures in replies to the account.", reload="hot"
    )
    show_subject: bool = setting(
        True, "Begin the first message of a thread with its subject.", reload="hot"
    )
    subject: str = setting(
        "Message from your assistant", "The subject of mail that answers none.", pattern=_LINE
    )
    text_max_chars: int = setting(100_000, "Longer texts are cut.", reload="hot", ge=1000)
    message_max_mb: float = setting(
        30, "Of larger mail only the beginning is fetched, in MB.", reload="hot", gt=0, le=200
    )
    attachments_max: int = setting(20, "More attachments are only named.", reload="hot", ge=0)

    @field_validator("address")
    @classmethod
    def _one_address(cls, value: str) -> str:
        return _address(value)

    @field_validator("aliases")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_address(one) for one in value)

    @field_validator("allow_from", mode="after")
    @classmethod
    def _normal(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(normalised(one) or one for one in value)

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        for host, tls, name in (
            (self.imap_host, self.imap_tls, "imapTls"),
            (self.smtp_host, self.smtp_tls, "smtpTls"),
        ):
            if tls == "none" and not self.allow_plaintext and not _is_this_machine(host):
                raise ValueError(
                    f"{name} none would send the password readable to {host}: "
                    "if that is meant, set allowPlaintext, too"
                )
        return self

    @property
    def own(self) -> frozenset[str]:
        """Every address that is this mailbox."""
        return frozenset({self.address, *self.aliases})

    @property
    def login(self) -> str:
        """What to log in as."""
        return self.username or self.address

    @property
    def imap_address(self) -> tuple[str, int]:
        """Host and port."""
        return self.imap_host, self.imap_port or _IMAP_PORTS[self.imap_tls]

    @property
    def smtp_address(self) -> tuple[str, int]:
        """Host and port."""
        return self.smtp_host, self.smtp_port or _SMTP_PORTS[self.smtp_tls]

    @property
    @override
    def stream(self) -> str:
        """Mail is numbered in each folder of each mailbox."""
        host, port = self.imap_address
        return f"{self.login}@{host}:{port}/{self.folder}"

    @property
    @override
    def missing(self) -> str | None:
        """Nobody logs in with nothing."""
        if self.password is None and self.access_token is None:
            return "password or accessToken"
        return None


def _address(value: str) -> str:
    found = normalised(value)
    if found is None:
        raise ValueError("must be an address, such as agent@example.org")
    return found


def _is_this_machine(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
