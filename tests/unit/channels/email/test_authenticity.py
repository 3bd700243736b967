"""Who wrote a mail, as far as the server that received it can say."""

from __future__ import annotations

import pytest

from portico.channels.email.authenticity import judge

MX = "mx.example"
GOOGLE = (
    "mx.google.com; dkim=pass header.i=@people.example header.s=a header.b=abc; "
    "spf=pass (google.com: domain of ann@people.example designates 1.2.3.4 as permitted) "
    "smtp.mailfrom=ann@people.example; "
    "dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=people.example"
)


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ([], "unproven"),
        ([f"{MX}; none"], "unproven"),
        ([f"{MX} 1; dmarc=pass header.from=people.example"], "proven"),
        ([f"{MX}; dmarc=pass header.from=evil.example"], "unproven"),
        ([f"{MX}; dmarc=fail header.from=people.example"], "failed"),
        ([f"{MX}; dmarc=fail; dkim=pass header.d=people.example"], "failed"),
        ([f"{MX}; dkim=pass header.d=people.example"], "proven"),
        ([f"{MX}; dkim=pass header.d=PEOPLE.example; spf=fail smtp.mailfrom=x@y"], "proven"),
        ([f"{MX}; dkim=pass header.d=example"], "unproven"),
        ([f"{MX}; dkim=pass header.d=sub.people.example"], "unproven"),
        ([f"{MX}; dkim=pass header.d=evilpeople.example"], "unproven"),
        ([f"{MX}; spf=pass smtp.mailfrom=bounces@people.example"], "proven"),
        ([f"{MX}; spf=fail smtp.mailfrom=ann@people.example"], "failed"),
        ([f"{MX}; spf=softfail smtp.mailfrom=ann@people.example"], "unproven"),
        ([f"{MX}; dkim=fail header.d=people.example; spf=none"], "failed"),
        (["evil.example; dmarc=pass header.from=people.example"], "unproven"),
        ([f"evil.example; x=y; {MX}; dmarc=pass header.from=people.example"], "unproven"),
        ([f'"evil; {MX}; dmarc=pass"; x=y'], "unproven"),
        ([f"(evil) {MX} (a (b) ;); dmarc (x;) = pass header.from=people.example"], "proven"),
        ([f"{MX}; dkim=pass header.d=people.example", f"{MX}; dmarc=fail"], "failed"),
        ([f'{MX}; reason="dmarc=fail"; spf=pass smtp.mailfrom=people.example'], "proven"),
    ],
)
def test_only_the_trusted_server_proves(headers: list[str], verdict: str) -> None:
    assert judge(headers, "people.example", MX).verdict == verdict


def test_what_gmail_writes() -> None:
    assert judge([GOOGLE], "people.example", "mx.google.com").verdict == "proven"
    assert judge([GOOGLE], "other.example", "mx.google.com").verdict == "unproven"


def test_without_a_trusted_server_nothing_is_proven_but_a_failure_counts() -> None:
    assert judge([GOOGLE], "people.example", None).verdict == "unproven"
    failed = [f"{MX}; dmarc=fail header.from=people.example", GOOGLE]
    assert judge(failed, "people.example", None).verdict == "failed"
    assert judge([GOOGLE, failed[0]], "people.example", None).verdict == "unproven"
