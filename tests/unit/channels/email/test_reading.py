"""From bytes to a letter."""

from __future__ import annotations

import base64

import pytest

from portico.channels.email.automatic import bounce_in
from portico.channels.email.reading import MAX_PARTS, Limits, Unreadable, read

LIMITS = Limits()


def mail(*headers: str, body: bytes = b"hello") -> bytes:
    return "\r\n".join(("From: ann@b.example", *headers, "", "")).encode() + body


def test_charsets_real_and_claimed() -> None:
    for said, body in (
        ("utf-8", "Grüße".encode()),
        ("iso-8859-1", "Grüße".encode("latin-1")),
        ("klingon", "Grüße".encode()),
        ("us-ascii", "Grüße".encode("windows-1252")),
        ("base64", "Grüße".encode()),
    ):
        found = read(mail(f"Content-Type: text/plain; charset={said}", body=body), LIMITS)
        assert found.text == "Grüße", said
    assert read(mail(body="Grüße".encode()), LIMITS).text == "Grüße"


def test_encodings_that_are_broken_do_not_matter() -> None:
    assert read(mail("Content-Transfer-Encoding: base64", body=b"aGVsbG8"), LIMITS).text == "hello"
    assert read(mail("Content-Transfer-Encoding: base64", body=b"!!!"), LIMITS).text is not None
    quoted = mail("Content-Transfer-Encoding: quoted-printable", body=b"a=ZZb=3D")
    assert read(quoted, LIMITS).text == "a=ZZb="


def test_plain_text_is_preferred_and_html_serves_where_there_is_none() -> None:
    both = (
        b"--B\r\nContent-Type: text/plain\r\n\r\n%s\r\n"
        b"--B\r\nContent-Type: text/html\r\n\r\n<p>in <b>colour</b></p>\r\n--B--\r\n"
    )
    kind = 'Content-Type: multipart/alternative; boundary="B"'
    assert read(mail(kind, body=both % b"in black"), LIMITS).text == "in black"
    assert read(mail(kind, body=both % b"  "), LIMITS).text == "in **colour**"


def test_lines_that_were_broken_for_the_way_are_joined() -> None:
    body = b"one \r\ntwo\r\nthree\r\n> q \r\n-- \r\nAnn"
    found = read(mail("Content-Type: text/plain; format=flowed", body=body), LIMITS)
    assert found.text == "one two\nthree\n> q \n-- \nAnn"


def test_a_forwarded_mail_is_a_file() -> None:
    inner = b"From: x@y.example\r\nSubject: old news\r\n\r\ninner\r\n"
    body = b"--B\r\n\r\nsee\r\n--B\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"--B--\r\n"
    found = read(mail('Content-Type: multipart/mixed; boundary="B"', body=body), LIMITS)
    (file,) = found.attachments
    assert (found.text, file.file_name) == ("see", "old news.eml")
    assert b"inner" in base64.b64decode(file.content or "")


def test_names_of_files_are_names() -> None:
    for said, expected in (
        ('filename="../../etc/passwd"', "passwd"),
        ("filename*=utf-8''%C3%BC.txt", "ü.txt"),
        ('filename="C:\\\\a\\\\b.exe"', "b.exe"),
        ('filename="=?utf-8?q?=C3=BC.txt?="', "ü.txt"),
        (f'filename="{"x" * 400}.pdf"', "x" * 139 + ".pdf"),
        ('filename="..."', "file"),
    ):
        kind = "Content-Type: application/octet-stream"
        raw = mail(kind, f"Content-Disposition: attachment; {said}")
        assert read(raw, LIMITS).attachments[0].file_name == expected


def test_what_cannot_be_stored_is_left_out() -> None:
    raw = mail("Content-Type: image/X", "Subject: a\0bX", body=b"a\0b")
    found = read(raw.replace(b"X", b"\xff"), LIMITS)
    assert found.attachments[0].mime_type == "application/octet-stream"
    assert found.subject == "a bÿ"


def test_threads() -> None:
    first = read(mail("Message-ID: <1@b>"), LIMITS)
    reply = read(
        mail("Message-ID: <3@b>", "In-Reply-To: <2@b>", "References: <1@b>\r\n <2@b>"), LIMITS
    )
    assert first.root == reply.root == "<1@b>"
    assert read(mail("In-Reply-To: nonsense <2@b> x"), LIMITS).root == "<2@b>"
    many = " ".join(f"<{n}@b>" for n in range(500))
    assert (found := read(mail(f"References: {many}"), LIMITS).references)[0] == "<0@b>"
    assert (len(found), found[-1]) == (100, "<499@b>")


def test_the_same_mail_has_the_same_key_however_it_came() -> None:
    raw = mail("Message-ID: <1@b>", "Date: Thu, 1 Jan 2026 00:00:00 +0000")
    again = b"Received: from elsewhere\r\nX-Spam: no\r\n" + raw
    assert read(raw, LIMITS).key == read(again, LIMITS).key
    assert read(raw, LIMITS).key != read(raw + b"!", LIMITS).key
    assert read(raw, LIMITS).key != read(raw.replace(b"ann", b"eve"), LIMITS).key


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no headers"),
        (b"X" * 600_000, "too large"),
        (b"A: b\r\n" * 3_000 + b"\r\n", "too many headers"),
        (
            mail("Content-Type: multipart/mixed; boundary=B", body=b"--B\r\n\r\nx\r\n" * MAX_PARTS),
            "too many parts",
        ),
        (
            b"".join(
                b"Content-Type: multipart/mixed; boundary=B%d\r\n\r\n--B%d\r\n" % (n, n)
                for n in range(3_000)
            ),
            "damaged|too many",
        ),
    ],
)
def test_what_is_no_mail_is_said_not_to_be_one(raw: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read(raw, LIMITS)


@pytest.mark.parametrize("charset", ["idna", "a\0b", "\"x''y\"; charset*=a"])
def test_a_charset_that_breaks_the_library_breaks_nothing(charset: str) -> None:
    for kind in ("text/plain", "multipart/report", "multipart/mixed"):
        raw = mail(f"Content-Type: {kind}; charset={charset}", body=b"\xff\xfe")
        letter = read(raw, LIMITS)
        assert bounce_in(letter, ()) is None


def test_long_texts_are_cut() -> None:
    found = read(mail(body=b"x" * 500_000), Limits(text_chars=1_000))
    assert len(found.text) < 1_100
    assert found.text.endswith("[the rest of the mail is left out]")
