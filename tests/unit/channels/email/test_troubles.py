"""What an SMTP server's answers mean."""

from __future__ import annotations

import pytest
from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPNotSupported,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from portico.channels.contract import AuthExpired, RateLimited, Rejected, Transient
from portico.channels.email.troubles import not_sent, stated_wait_s


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SMTPResponseException(450, "4.7.1 Greylisted, try again in 300 seconds"), RateLimited),
        (SMTPResponseException(421, "wait 5 minutes"), RateLimited),
        (SMTPResponseException(451, "4.3.0 Local error"), Transient),
        (SMTPResponseException(454, "in 5 seconds"), Transient),
        (SMTPResponseException(550, "5.1.1 No such user"), Rejected),
        (SMTPResponseException(552, "5.3.4 Too big"), Rejected),
        (SMTPResponseException(530, "5.7.0 Authentication required"), AuthExpired),
        (SMTPResponseException(-1, "Malformed"), Transient),
        (SMTPAuthenticationError(535, "5.7.8 Bad"), AuthExpired),
        (SMTPAuthenticationError(534, "5.7.9 Use an app password"), AuthExpired),
        (SMTPAuthenticationError(454, "4.7.0 Later"), Transient),
        (SMTPConnectError("refused"), Transient),
        (SMTPServerDisconnected("gone"), Transient),
        (SMTPNotSupported("no AUTH"), Rejected),
        (ConnectionResetError(), Transient),
        (ValueError("x\ny"), Rejected),
    ],
)
def test_each_answer_is_one_of_six(error: Exception, kind: type[Exception]) -> None:
    found = not_sent(error)
    assert type(found) is kind
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("try again in 300 seconds", 300),
        ("in 5 minutes", 300),
        ("retry in 2h", 3600),
        ("4.7.1 Greylisted", None),
        ("wait 00:05:00", None),
    ],
)
def test_a_stated_wait_is_understood(text: str, wait_s: float | None) -> None:
    assert stated_wait_s(text) == wait_s
