"""Any bytes are a mail or are said not to be one; what becomes of a mail is a message or an event.

`HYPOTHESIS_PROFILE=deep pytest tests/property/test_mail_fuzz.py` looks longer.
"""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.channels.contract import Outgoing, Rejected
from portico.channels.email.addresses import addresses, decoded, normalised, only_address
from portico.channels.email.authenticity import judge
from portico.channels.email.composing import compose
from portico.channels.email.config import EmailAccount
from portico.channels.email.html import to_text
from portico.channels.email.inbound import taken
from portico.channels.email.quoting import newly_written
from portico.channels.email.reading import Limits, Unreadable, read
from portico.channels.model import ChannelEvent, InboundMessage, Peer, ReplyRoute

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # odd codecs warn

ACCOUNT = EmailAccount(
    address="agent@portico.example", password="x", imap_host="a.example", smtp_host="b.example"
)
LIMITS = Limits(text_chars=2_000, file_bytes=5_000, files=3)
NAMES = st.sampled_from(
    [
        *("From", "To", "Cc", "Subject", "Message-ID", "References", "In-Reply-To", "Date"),
        *("Content-Type", "Content-Disposition", "Content-Transfer-Encoding", "MIME-Version"),
        *("Authentication-Results", "Auto-Submitted", "Return-Path", "Content-ID", "X-\xff"),
    ]
)
VALUES = st.sampled_from(
    [
        *("ann@people.example", '"Ann" <ann@people.example>', "<>", "a@b, c@d", "=?utf-8?b?w7w=?="),
        *(
            "=?utf-8?q?=ZZ?=",
            "=?klingon?b?AAAA?=",
            '"<a@b>" <c@d>',
            "(((((",
            "\xfc\xe4\x80",
            "<a@b>",
        ),
        *('multipart/mixed; boundary="B"', "multipart/alternative; boundary=B", "text/html"),
        *("image/\x00", "text/\xfc", "550 \x00 \x80", "5.1.1\x00"),
        *("multipart/report; report-type=delivery-status; boundary=B", "message/delivery-status"),
        *("text/plain; charset=utf-7", "text/plain; charset=idna", "text/plain; charset*=x''%FF"),
        *("attachment; filename*0*=utf-8''%FF; filename*1=b", 'attachment; filename="../../x"'),
        *(
            "message/rfc822",
            "base64",
            "quoted-printable",
            "uuencode",
            "8bit",
            "text/plain;format=flowed",
        ),
        *("Thu, 99 Zzz 99999 99:99:99 +9999", "Thu, 1 Jan 1970 00:00:00 +0000", "auto-replied"),
        *(
            "mx; dmarc=fail",
            'mx; dkim=pass header.d="x',
            "mx; (((;",
            "=" * 300,
            "\x00\x01",
            ";" * 50,
        ),
    ]
)
BODIES = st.sampled_from(
    [
        *(
            "hello\r\n",
            "--B\r\n\r\none\r\n--B\r\nContent-Type: text/html\r\n\r\n<b>two\r\n--B--\r\n",
        ),
        *(
            "--B\r\n" * 30,
            "w7zDvA==",
            "=FF=\r\n",
            "begin 644 x\r\n#0V%T\r\n`\r\nend\r\n",
            "\x00\xff",
        ),
        *("--B\r\nContent-Type: message/rfc822\r\n\r\nFrom: x\r\n\r\ny\r\n--B--", "<" * 500),
        "--B\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\nStatus: 9\r\n--B--",
        (
            "--B\r\nContent-Type: message/delivery-status\r\n\r\nAction: \x00\xff\r\n"
            "Diagnostic-Code: smtp; \x00\xff\r\nFinal-Recipient: \xff\r\n--B--"
        ),
    ]
)
HEADERS = st.lists(st.tuples(NAMES, VALUES | st.text(max_size=30)), max_size=8)
MAILS = st.builds(
    lambda headers, body, end: (
        "".join(f"{n}: {v}\r\n" for n, v in headers).encode("utf-8", "surrogatepass") + end + body
    ),
    HEADERS,
    BODIES.map(lambda text: text.encode("latin-1")) | st.binary(max_size=200),
    st.sampled_from([b"\r\n", b"\n", b"", b"\r"]),
)


@given(raw=st.binary(max_size=500) | MAILS, is_cut=st.booleans())
def test_any_bytes_are_a_message_an_event_or_unreadable(raw: bytes, is_cut: bool) -> None:
    try:
        letter = read(raw, LIMITS)
    except Unreadable:
        return
    found = taken(letter, ACCOUNT, is_cut=is_cut)
    assert isinstance(found, (InboundMessage, ChannelEvent))
    assert b"\\u0000" not in msgspec.json.encode(found)  # it can be stored, also by PostgreSQL
    if isinstance(found, InboundMessage):
        assert normalised(found.sender) == found.sender == found.peer.id
        assert len(found.text) < 3_000
        assert len(found.attachments) <= 500
        assert found.is_untrusted is True
        route = ReplyRoute("email", "a", found.peer, found.thread_id, found.reply_context)
        mail = compose(
            Outgoing("dlv_1", route, "hi"), (), text="hi", config=ACCOUNT, now_s=0
        ).as_bytes()
        head = mail.partition(b"\r\n\r\n")[0]
        names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in b" \t"]
        assert len(names) == len(set(names)) <= 12


@given(text=st.text(max_size=300) | VALUES)
def test_no_header_raises(text: str) -> None:
    for address in (*addresses(text), only_address(text)):
        assert address is None or normalised(address[1]) == address[1]
    assert not set(decoded(text)) & set("\r\n\0")
    judge([text, text], "people.example", "mx")
    assert newly_written(text) or not text.strip()
    to_text(text)


@given(
    to=st.text(max_size=40),
    subject=st.text(max_size=80),
    ids=st.lists(st.text(max_size=30), max_size=3),
    text=st.text(max_size=200),
)
def test_what_is_sent_has_the_headers_it_should_have(
    to: str, subject: str, ids: list[str], text: str
) -> None:
    context: dict[str, Any] = {"subject": subject, "messageId": to, "references": ids}
    for peer in (to, "ann@people.example"):
        route = ReplyRoute("email", "a", Peer("direct", peer), subject, context)
        with contextlib.suppress(Rejected):
            mail = compose(Outgoing("dlv_1", route, text), (), text=text, config=ACCOUNT, now_s=0)
            raw = mail.as_bytes()
            head = raw.partition(b"\r\n\r\n")[0]
            known = {b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Auto-Submitted"}
            known |= {b"MIME-Version", b"Content-Type", b"X-Auto-Response-Suppress"}
            known |= {b"In-Reply-To", b"References"}
            lines = [line for line in head.split(b"\r\n") if line[:1] not in b" \t"]
            assert {line.partition(b":")[0] for line in lines} <= known
