"""From a message to a mail."""

from __future__ import annotations

from typing import Any

import pytest

from portico.channels.contract import Outgoing, Rejected
from portico.channels.email.automatic import delivery_of
from portico.channels.email.composing import compose, to_html
from portico.channels.email.config import EmailAccount
from portico.channels.email.html import to_text
from portico.channels.media import OutgoingFile
from portico.channels.model import Peer, ReplyRoute

ACCOUNT = EmailAccount(
    address="agent@portico.example",
    name="Pörtico, Inc.",
    password="x",
    imap_host="a.example",
    smtp_host="b.example",
)


def mail(*, to: str = "ann@b.example", thread: str | None = None, **context: Any) -> Any:
    route = ReplyRoute("email", "default", Peer("direct", to), thread, context)
    return compose(Outgoing("dlv_1", route, "hi"), (), text="hi", config=ACCOUNT, now_s=0)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Tea", "Re: Tea"),
        ("Re: Tea", "Re: Tea"),
        ("RE[2]: Tea", "RE[2]: Tea"),
        ("AW: Tee", "AW: Tee"),
        ("Regarding tea", "Re: Regarding tea"),
        ("", "Re: Message from your assistant"),
        ("x" * 400, "Re: " + "x" * 246),
    ],
)
def test_the_subject_is_kept(subject: str, expected: str) -> None:
    assert mail(subject=subject, messageId="<1@b>")["Subject"] == expected


def test_a_thread_is_gone_on_with() -> None:
    reply = mail(subject="x", messageId="<3@b>", references=["<1@b>", "<2@b>"])
    assert reply["References"] == "<1@b> <2@b> <3@b>"
    assert reply["In-Reply-To"] == "<3@b>"
    later = mail(thread="1@b")  # a message into a thread, in answer to none
    assert later["References"] == later["In-Reply-To"] == "<1@b>"
    assert mail(thread="0123456789abcdef")["References"] is None


def test_a_mail_is_known_by_its_delivery() -> None:
    own = ACCOUNT.own
    assert delivery_of(mail()["Message-ID"], own) == "dlv_1"
    assert delivery_of("<dlv_1.portico@elsewhere.example>", own) is None
    assert mail()["From"] == '"Pörtico, Inc." <agent@portico.example>'


def test_a_domain_travels_in_ascii() -> None:
    assert mail(to="ann@bücher.example")["To"] == "ann@xn--bcher-kva.example"
    for wrong in ("ann", "a@b, c@d", "a@b\nBcc: c@d", "ann@" + "ü" * 70 + ".example"):
        with pytest.raises(Rejected):
            mail(to=wrong)


def test_files_have_a_type_and_a_name_that_do_no_harm() -> None:
    route = ReplyRoute("email", "default", Peer("direct", "ann@b.example"))
    files = [
        OutgoingFile('a"\r\nX: y/b.png', "image/png", b"1"),
        OutgoingFile("", "message/rfc822", b"2"),
        OutgoingFile("x", "nonsense\r\nX: y", b"3"),
    ]
    made = compose(Outgoing("dlv_1", route, ""), files, text="", config=ACCOUNT, now_s=0)
    found = [*made.iter_attachments()]
    assert [part.get_content_type() for part in found] == [
        "image/png",
        "application/octet-stream",
        "application/octet-stream",
    ]
    assert [part.get_filename() for part in found] == ['a" X: y_b.png', "file", "x"]
    assert b"\nX: y" not in made.as_bytes()


def test_markdown_becomes_html_and_html_is_shown() -> None:
    made = to_html(
        "**b** <script>x</script> [l](javascript:x) <b onclick=x>\n\n| a |\n| - |\n| c |"
    )
    assert "<strong>b</strong>" in made
    assert "&lt;script&gt;" in made
    assert "<table>" in made
    assert "<script" not in made
    assert 'href="javascript' not in made
    assert "<b " not in made


def test_html_becomes_text() -> None:
    page = "<head><title>T</title><style>x{}</style></head><p>Hi <a href='https://e.org'>l</a></p>"
    assert to_text(page) == "Hi [l](https://e.org)"
    assert to_text("<div>" * 30_000 + "deep") == "deep"
    assert to_text("") == ""
