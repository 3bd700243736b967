"""The settings of a mailbox."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from portico.channels.email.config import EmailAccount

LEAST = {
    "address": "Agent@Portico.Example",
    "password": "p",
    "imapHost": "imap.portico.example",
    "smtpHost": "smtp.portico.example",
}


def account(**changes: Any) -> EmailAccount:
    return EmailAccount.model_validate({**LEAST, **changes})


def test_four_settings_are_enough() -> None:
    config = account()
    assert config.address == config.login == "Agent@portico.example"
    assert config.imap_address == ("imap.portico.example", 993)
    assert config.smtp_address == ("smtp.portico.example", 465)
    assert config.missing is None
    assert account(password=None).missing == "password or accessToken"
    assert account(smtpTls="starttls", imapTls="starttls").smtp_address[1] == 587


def test_a_password_travels_readable_only_when_that_is_said_twice() -> None:
    for name in ("imapTls", "smtpTls"):
        with pytest.raises(ValidationError, match="allowPlaintext"):
            account(**{name: "none"})
        account(**{name: "none"}, allowPlaintext=True)
    account(imapTls="none", smtpTls="none", imapHost="127.0.0.1", smtpHost="localhost")


def test_ids_are_compared_with_their_domain_in_lower_case() -> None:
    assert account(allowFrom=["Ann@B.Example", "*"]).allow_from == ("Ann@b.example", "*")


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "agent"},
        {"aliases": ["x"]},
        {"imapHost": "a b"},
        {"folder": "a\r\nb"},
        {"subject": "a\nb"},
        {"username": "a\nb"},
        {"accessToken": "a b"},
        {"idleSeconds": 1740},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        account(**wrong)


def test_another_folder_or_server_is_another_stream() -> None:
    assert len({account().stream, account(folder="Work").stream, account(imapPort=1).stream}) == 3
